"""One edit over many texts: every number is that of a run by hand, whatever else is in the batch."""

import re
from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.over_texts import ENDS, OverTexts, over_texts
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.edits import zero

TEXT = "Leo lives in Oslo. Leo lives in"
SPOT = "h.3.attn.mixed"
MIXED = [TEXT, "Ana", "Ana has a cat. Ana has a", *(f"{'Leo has a cat. ' * n}Leo has a" for n in range(1, 6))]
BOUND = 3e-5  # measured: 6.7e-6


def made(*changes: float, pairs: list[tuple[str, str]] | None = None) -> OverTexts:
    count = len(changes)
    texts = tuple(f"text {place}" for place in range(count))
    before = torch.full((count,), 2.0)
    several = tuple(pairs or [(" a", " b")] * count)
    return OverTexts("zero() at x", "logit difference", texts, several, before, before + torch.tensor(changes))


def by_hand(lab: Lab, text: str, metric: str, pair: tuple[str, str], edit: Any) -> float:
    logits = lab.trace(text, ["logits"], edit)["logits"][0, -1]
    answer, rival = (lab.tokenizer.encode(token)[0] for token in pair)
    return float(logits.softmax(-1)[answer] if metric == "probability" else logits[answer] - logits[rival])


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["logit difference", "probability"])
def test_texts_of_any_lengths_give_the_numbers_of_single_runs(lab: Lab, metric: str) -> None:
    found = lab.ablate(TEXT, SPOT, texts=MIXED[1:], metric=metric, head=4).found
    assert found.texts == tuple(MIXED) and len({len(lab.tokenizer.encode(text)) for text in MIXED}) > 4
    for place, text in enumerate(MIXED):
        for values, edit in ((found.before, None), (found.after, {SPOT: zero(head=4)})):
            hand = by_hand(lab, text, metric, found.pairs[place], edit)
            assert values[place].item() == pytest.approx(hand, abs=BOUND)
    alone = [lab.ablate(text, SPOT, texts=[text], metric=metric, head=4).found for text in MIXED]
    torch.testing.assert_close(found.after, torch.cat([one.after for one in alone]), atol=BOUND, rtol=0)


def test_mean_spread_and_the_count_against_are_those_of_the_changes() -> None:
    found = made(*(float(-change) for change in range(10)), 4.0)
    assert found.mean == pytest.approx(-41 / 11) and found.against == 2  # 0 is not its way, either
    assert found.spread == (pytest.approx(-8.0), pytest.approx(0.0))
    assert "mean of 11 texts: logit of ' a' less ' b' 2.000 → −1.727 with zero() at x" in found.sentence
    assert found.sentence.endswith("in 8 of 10 texts from −8.000 to 0.000; 2 of 11 go the other way.")


def test_the_table_has_the_mean_this_text_and_both_ends_of_the_others() -> None:
    few = made(1.0, 3.0, 2.0).rows()
    assert [row[0] for row in few] == ["mean", "text 0", "text 2", "text 1"]
    many = made(*map(float, range(2 * ENDS + 4))).rows()
    names = [row[0] for row in many]
    assert names[1:6] == ["text 0", "text 1", "text 2", "text 3", "text 4"] and names[6] == "… 3 texts between"
    assert names[7:] == ["text 8", "text 9", "text 10", "text 11"]
    assert [len(row) for row in many] == [len(OverTexts.head)] * len(many)
    exact = made(*map(float, range(2 * ENDS + 1))).rows()  # one more than it shows: none lies between
    assert len(exact) == 2 + 2 * ENDS and len({row[0] for row in exact}) == len(exact)
    assert [row[0] for row in made(1.0).rows()] == ["text 0"] and "mean" not in made(1.0).sentence


def test_every_text_is_a_record() -> None:
    rows = made(1.0, -2.0, pairs=[(" a", " b"), (" c", " d")]).records()
    assert rows[1] == {"text": "text 1", "answer": " c", "rival": " d", "before": 2.0, "after": 0.0, "change": -2.0}


def test_pairs_of_the_tiny_world_bring_their_own_answers(lab: Lab) -> None:
    stories = recaps(lab.tokenizer, 6)
    shown = lab.ablate(stories[0].text, SPOT, texts=stories, head=4)
    found = shown.found
    assert found.texts == tuple(story.text for story in stories)  # this text is one of them, and is read once
    assert found.pairs == tuple((story.answer, story.rival) for story in stories)
    assert found.mean < -1 and found.against == 0
    assert shown.sentence == repr(shown).splitlines()[0] and "zero(head=4) at h.3.attn.mixed" in shown.sentence
    assert len(re.findall("<tr>", shown._repr_html_())) == 1 + len(found.rows())
    other = lab.ablate(stories[0].text, SPOT, texts=stories, head=4, answer=" Lima", rival=" Oslo").found
    assert other.pairs == ((" Lima", " Oslo"), *found.pairs[1:])


def test_cases_of_a_template_may_name_positions(lab: Lab) -> None:
    cases = lab.cases("{who} lives in {city}. {who} lives in", 5, answer=" {city}", who=["Leo", "Ana"], city=["Oslo"])
    last = cases.tokens - 1
    found = lab.ablate(cases[0].text, "h.3.attn.mixed", texts=cases, head=4, query=last).found
    assert found.texts == tuple(cases.texts)
    hand = by_hand(lab, cases[1].text, found.metric, found.pairs[1], {SPOT: zero(head=4, query=last)})
    assert found.after[1].item() == pytest.approx(hand, abs=BOUND)


def test_a_part_of_every_layer_can_be_taken_out(lab: Lab) -> None:
    found = lab.ablate(TEXT, "mlp.out", texts=[TEXT]).found
    hand = by_hand(lab, TEXT, found.metric, found.pairs[0], {"mlp.out": zero()})
    assert found.after[0].item() == pytest.approx(hand, abs=BOUND) and found.edit == "zero() at mlp.out"


def test_nothing_to_take_out_is_a_change_of_exactly_nothing(lab: Lab) -> None:
    edits = {"h.0.mlp.pre": (lambda x, at: x,)}
    *_, last = over_texts(lab.model, lab.tokenizer, [Case(text) for text in MIXED], edits)
    (found,) = last.results
    assert not found.change.any() and found.against == len(MIXED)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"texts": []}, InputError, "texts is empty"),
        ({"texts": "Leo lives in"}, InputError, "texts is a list of texts"),
        ({"texts": [""]}, InputError, "none of them empty"),
        ({"texts": [5]}, InputError, "texts is a list of texts"),
        ({"texts": ["x" * 3000]}, InputError, "3000 tokens|at least|at most"),
        ({"texts": ["Leo"], "query": 0}, InputError, "1 of 1 texts have others"),
        ({"texts": ["Leo"], "query": 99}, HookError, "query goes from 0 to"),
        ({"texts": ["Leo"], "head": 99}, HookError, "head at .* goes from 0 to 7, but got 99"),
        ({"texts": ["Leo"], "neuron": 1}, HookError, "neuron"),
        ({"texts": ["Leo"], "metric": "loss"}, InputError, "'logit difference' or 'probability'"),
        ({"texts": ["Leo"], "answer": "Oslo and Lima"}, InputError, "answer must be one token"),
        ({"texts": ["Leo"], "answer": " Oslo", "rival": " Oslo"}, InputError, "the same token"),
        ({"answer": " Oslo"}, InputError, "answer=' Oslo' says what is measured in several texts; pass texts="),
        ({"metric": "probability"}, InputError, "pass texts="),
    ],
)
def test_bad_input_is_one_sentence(lab: Lab, asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lab.ablate(TEXT, SPOT, **asked)


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_half_measured(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    before = lab.ablate(TEXT, SPOT, texts=MIXED, head=4).found
    with monkeypatch.context() as patched:
        patched.setattr("bloomlab.lens.instead.measured", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lab.ablate(TEXT, SPOT, texts=MIXED, head=4)
    assert lab.ablate(TEXT, SPOT, texts=MIXED, head=4).found.after.equal(before.after)
