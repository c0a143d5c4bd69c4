"""The receipts of several texts are each what it is by itself."""

from functools import partial

import pytest
import torch

from bloomlab.lab import Lab
from bloomlab.lens.receipt import READ, receipt
from bloomlab.lens.receipts import Receipts, receipts
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.donors import drawn
from bloomlab.tracing.edits import zero


def found(lab: Lab, n: int = 3, **settings: object) -> Receipts:
    pairs = recaps(lab.tokenizer, n, between=" ")
    instead = partial(drawn, [case.text for case in pairs])
    *_, last = receipts(lab.model, lab.tokenizer, pairs, instead, **settings)  # type: ignore[arg-type]
    assert last.done == last.total == 37 * n
    return last.results[0]


@pytest.mark.slow
def test_each_is_the_receipt_and_the_edit_of_its_own_text(lab: Lab) -> None:
    several, pairs = found(lab), recaps(lab.tokenizer, 3, between=" ")
    texts = [case.text for case in pairs]
    for row, case in enumerate(pairs):
        answer, rival = (lab.tokenizer.encode(token)[0] for token in (case.answer, case.rival))
        alone = receipt(lab.model, lab.trace(case.text, READ), answer, rival)
        torch.testing.assert_close(several.direct[row], alone.direct, atol=1e-4, rtol=0)
        assert several.difference[row].item() == pytest.approx(alone.difference, abs=1e-4)
        edit = {"h.3.attn.mixed": drawn(texts, head=4)}
        after = lab.trace(case.text, ["logits"], edit)["logits"][0, -1]
        lost = alone.difference - (after[answer] - after[rival]).item()
        assert several.total[row, several.names.index("head 3.4")].item() == pytest.approx(lost, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("versus", ["mean", None])
def test_each_can_be_measured_by_the_mean_or_by_nothing(lab: Lab, versus: str | None) -> None:
    several, case = found(lab, 2, versus=versus), recaps(lab.tokenizer, 2, between=" ")[1]
    answer = lab.tokenizer.encode(case.answer)[0]
    logits = lab.trace(case.text, ["logits"])["logits"][0, -1]
    expected = logits[answer] - (logits.mean() if versus else 0)
    assert several.difference[1].item() == pytest.approx(expected.item(), abs=1e-4)
    assert several.direct.sum(1)[1].item() == pytest.approx(expected.item(), abs=1e-3)
    assert several.total[:, -2:].eq(0).all()


@pytest.mark.slow
def test_the_table_has_their_mean_and_spread(lab: Lab) -> None:
    pairs = recaps(lab.tokenizer, 3, between=" ")
    table = lab.receipt(pairs[0].text, pairs[0].answer, pairs[0].rival, texts=pairs)
    several = found(lab)
    assert table.texts is not None and table.texts.direct.equal(several.direct)
    part = several.names.index("head 3.4")
    mean, spread = several.total[:, part].mean().item(), several.total[:, part].std(unbiased=False).item()
    (line,) = (row for row in repr(table).splitlines() if row.startswith("head 3.4"))
    assert f"{mean:+.2f} ± {spread:.2f}" in line and "3 texts: direct" in repr(table)
    assert "mean ± standard deviation, each of its own answer" in table._repr_html_()
    one = lab.receipt(pairs[0].text, texts=[pairs[1].text])
    assert one.texts is None and "texts: direct" not in repr(one)


@pytest.mark.slow
def test_progress_counts_every_run(lab: Lab) -> None:
    pairs = recaps(lab.tokenizer, 2, between=" ")
    steps = list(receipts(lab.model, lab.tokenizer, pairs, zero))
    assert [len(step.results) for step in steps[:3]] == [0, 0, 1]  # read, then with the direct lines
    first = steps[2].results[0]
    assert first.total[:, 0].isnan().all() and first.total[:, -1].eq(0).all() and first.direct.isfinite().all()
    assert steps[-1].done == steps[-1].total == 74 and steps[-1].results[0].total.isfinite().all()
