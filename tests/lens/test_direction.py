"""A direction from two sets of texts: its vector and its curve against runs by hand."""

from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.direction import Direction, direction
from bloomlab.lens.findings import as_data
from bloomlab.tiny.world import story
from bloomlab.tracing.edits import add

AT, TEXT = "h.1.resid_post", "Leo lives in Oslo. Leo"
FRENCH = ["Leo habite à Oslo.", "Ana a un chat.", "Ana habite à Lima."]
ENGLISH = ["Leo lives in Oslo.", "Ana has a cat."]


@pytest.fixture(scope="module")
def found(lab: Lab) -> Direction:
    return lab.direction(FRENCH, ENGLISH, AT, TEXT, " habite", " lives", doses=[2, -1], n=3, max_new_tokens=4).found


@pytest.mark.slow
def test_the_vector_is_the_difference_of_the_mean_states(lab: Lab, found: Direction) -> None:
    means = [torch.cat([lab.trace(text, [AT])[AT][0] for text in texts]).mean(0) for texts in (FRENCH, ENGLISH)]
    torch.testing.assert_close(found.vector, means[0] - means[1], atol=1e-4, rtol=0)
    states = torch.cat([lab.trace(text, [AT])[AT][0] for text in FRENCH])
    assert found.size == pytest.approx((found.vector.norm() / states.norm(dim=-1).mean()).item(), rel=1e-4)


@pytest.mark.slow
def test_each_dose_is_the_run_with_the_vector_added(lab: Lab, found: Direction) -> None:
    assert found.doses.tolist() == [-1, 0, 2]
    tokens = [lab.tokenizer.encode(token)[0] for token in (" habite", " lives")]
    for dose, target, loss in zip(found.doses.tolist(), found.target, found.loss, strict=True):
        logits = lab.trace(TEXT, ["logits"], {AT: add(dose * found.vector)})["logits"][0, -1]
        assert target.item() == pytest.approx(float(logits[tokens[0]] - logits[tokens[1]]), abs=1e-3)
        losses = []
        for text in (*FRENCH, *ENGLISH):
            trace = lab.trace(text, ["logits"], {AT: found.edit(dose)})
            losses.append(-trace["logits"][0, :-1].log_softmax(-1).gather(1, trace.ids[0, 1:, None])[:, 0])
        assert loss.item() == pytest.approx(torch.cat(losses).mean().item(), abs=1e-3)
    assert found.chance_target.shape == found.chance_loss.shape == (3, 3)
    assert found.chance_target[1].allclose(found.target[1].expand(3), atol=1e-3)


def test_its_edit_is_data_and_only_named_tokens_are_moved(lab: Lab, found: Direction) -> None:
    sets = {"texts_a": tuple(FRENCH), "texts_b": tuple(ENGLISH)}
    assert as_data(found.edit(2)) == {"kind": "steer", **sets, "dose": 2, "where": {}}
    *_, step = direction(
        lab.model, lab.tokenizer, FRENCH, ENGLISH, AT, TEXT, doses=[2], n=1, max_new_tokens=1, where={"pos": 4}
    )
    one = step.results[-1]
    logits = lab.trace(TEXT, ["logits"], {AT: one.edit(2)})["logits"][0, -1]
    ids = [lab.tokenizer.encode(token)[0] for token in (one.answer, one.rival)]
    assert one.target[1].item() == pytest.approx(float(logits[ids[0]] - logits[ids[1]]), abs=1e-3)
    assert one.edit(2).where == {"pos": 4} and abs(one.target[1] - found.target[2]) > 0.1
    with pytest.raises(HookError, match="the text has 6 tokens"):
        direction(lab.model, lab.tokenizer, FRENCH, ENGLISH, AT, TEXT, where={"pos": 6})


def test_what_is_written_at_dose_0_is_what_the_model_writes(lab: Lab, found: Direction) -> None:
    assert TEXT + found.written[1] == lab.generate(TEXT, 4, do_sample=False)


def test_the_sentence_names_where_the_answer_turns_and_where_the_text_falls_apart() -> None:
    def curve(target: list[float], loss: list[float]) -> Direction:
        doses, several = torch.tensor([0.0, 1, 2, 4]), torch.zeros(4, 2)
        shown = "t", "logit difference", "a", "b"
        numbers = doses, torch.tensor(target), torch.tensor(loss), several, several
        return Direction(AT, torch.ones(2), 0.1, *shown, *numbers, ("",) * 4, 100)

    some = curve([-3, -1, 0.5, 2], [1, 1.2, 2, 5])
    assert (some.turns, some.falls_apart) == (2, 4) and len(some.rows()) == len(some.records()) == 4
    assert some.records()[2] == {
        **{"dose": 2, "target": 0.5, "loss, nats": 2, "random: target": 0, "random: loss": 0},
        "it writes": "",
    }
    ahead = curve([1, 2, 3, 4], [1, 1, 1, 1])
    assert ahead.turns is None and "dose 4 (40% of" in ahead.sentence and "does not turn" in ahead.sentence
    assert some.sentence.startswith("dose 2 (20% of a state's length at h.1.resid_post) turns the answer: ")
    assert "at dose 4 the text falls apart (more than 4.61 nats)" in some.sentence
    none = curve([-3, -2, -1, -1], [1, 1, 1, 1])
    assert (none.turns, none.falls_apart) == (None, None)
    assert "does not turn the answer" in none.sentence and "up to dose 4 the text does not fall apart" in none.sentence


@pytest.mark.slow
def test_french_less_english_writes_french_at_twice_its_length_and_falls_apart_at_eight_times(lab: Lab) -> None:
    french, english = ([story(code, seed).text for seed in range(16)] for code in ("fr", "en"))
    found = lab.direction(french, english, AT, TEXT, " habite", " lives", doses=[2, 8], n=2).found
    assert found.turns == 2 and found.falls_apart == 8
    assert found.chance_target[1].max() < -5
    assert [lab.classify(text).label for text in found.written] == ["en", "fr", "fr"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"texts_a": []}, InputError, "is empty"),
        ({"texts_b": "Leo"}, InputError, "list of texts"),
        ({"texts_a": ENGLISH}, InputError, "the same mean"),
        ({"at": "h.1.attn.mixed"}, HookError, "added to states"),
        ({"at": "resid_post"}, HookError, "added to states"),
        ({"at": 3}, HookError, "added to states"),
        ({"doses": []}, InputError, "doses is a list"),
        ({"doses": [float("nan")]}, InputError, "doses is a list"),
        ({"doses": ["2"]}, InputError, "doses is a list"),
        ({"doses": 2}, InputError, "doses is a list"),
        ({"n": 0}, InputError, "from 1 to 100"),
        ({"seed": "0"}, InputError, "whole number"),
        ({"answer": "habite Oslo"}, InputError, "must be one token"),
        ({"ordinary": ["a"]}, InputError, "one token each"),
        ({"metric": "loss"}, InputError, "'probability'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    lab: Lab, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        lab.direction(**{"texts_a": FRENCH, "texts_b": ENGLISH, "at": AT, "text": TEXT, **arguments})
    assert len(str(caught.value)) < 400
