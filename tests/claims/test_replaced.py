"""The table of what stands in a head's place, on 24 of its 64 stories; and that it is what traces give."""

import pytest
import torch

import bloomlab
from bloomlab.lab import Lab
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.donors import drawn
from tests.claims.replaced import WAYS, rank_correlation, replaced, table


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


def test_ranks_are_compared_not_sizes() -> None:
    first = torch.tensor([[3.0, 1.0], [2.0, 50.0]])
    assert rank_correlation(first, first**3) == pytest.approx(1) and rank_correlation(first, -first) == pytest.approx(
        -1
    )
    assert rank_correlation(torch.tensor([1.0, 2, 3, 4]), torch.tensor([2.0, 1, 4, 3])) == pytest.approx(0.6)


@pytest.mark.slow
def test_which_head_matters_depends_on_what_stands_in_its_place(lab: Lab) -> None:
    stories = recaps(lab.tokenizer, 24, between=" ")
    found = replaced(lab, stories)
    assert found.whole.mean() > 6
    zeroed, other = found.change("zero"), found.change("drawn")
    assert zeroed[0, 1] == zeroed.min() < -5 and abs(other[0, 1]) < 0.2
    assert zeroed[1, 6] == zeroed.max() > 1 and abs(other[1, 6]) < 0.1
    assert other[3, 4] == other.min() < -2 and found.change("other city")[3, 4] < 1.5 * other[3, 4]
    assert found.agreement("zero", "drawn") < 0.45 < 0.8 < found.agreement("mean here", "drawn")
    assert found.one_text("drawn").min() < 0.2 < found.one_text("drawn").mean() < 0.7
    texts = [case.text for case in stories]
    edit = {"h.3.attn.mixed": drawn(texts, head=4)}
    before, after = (lab.trace(texts[5], ["logits"], one)["logits"][0, -1] for one in (None, edit))
    answer, rival = (lab.tokenizer.encode(token)[0] for token in stories[5][2:])
    by_hand = (after - before)[answer] - (after - before)[rival]
    assert found.changes[WAYS.index("drawn"), 3, 4, 5].item() == pytest.approx(by_hand.item(), abs=1e-4)
    assert "| head 0.1 |" in table(found) and table(found).count("rank correlations") == 1


@pytest.mark.slow
def test_the_head_that_marks_a_recap_is_missed_only_where_no_line_begins(lab: Lab) -> None:
    """After a new line, as in training, and in French, the recap is known without head 1 of layer 0."""
    inline, line, french = (
        replaced(lab, recaps(lab.tokenizer, 8, language=language, between=between)).change("zero")[0, 1]
        for language, between in (("en", " "), ("en", "\n"), ("fr", "\n"))
    )
    assert inline < -4 and line > -1 and french > -1
