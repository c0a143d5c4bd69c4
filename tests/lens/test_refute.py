"""Controls of an edit: what each does is worked out by hand, and the verdict says what the numbers say."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import At, Edit
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.refute import DOSES, HEADS, PLACES, RANDOM, SAME, TEXTS, Control, Refutation, refute
from bloomlab.lens.trials import Trial, run
from bloomlab.tiny.facts import CITIES
from bloomlab.tracing.donors import copied, hold
from bloomlab.tracing.edits import cut, patch, zero
from tests.claims.stories import recaps

PLAIN = "Leo lives in Oslo. He has a cat. Let us say it cat. Leo lives in"
AGAIN = PLAIN.replace("it cat", "it again")
MARK, HEAD, STOP = "h.0.attn.mixed", 1, 16
SIXTEEN = {MARK: copied(AGAIN, head=HEAD, query=STOP)}
BOUND = 2e-5


def p_oslo(lab: Lab, edit: Any, text: str = PLAIN) -> float:
    probs = lab.trace(text, ["logits"], edit)["logits"][0, -1].softmax(-1)
    return float(probs[lab.tokenizer.encode(" Oslo")[0]])


@pytest.fixture(scope="module")
def sixteen(lab: Lab) -> Refutation:
    stories = [Case(story.text.replace("again", "cat"), story.text, f" {story.city}") for story in recaps(lab, 10)]
    return lab.refute(PLAIN, SIXTEEN, "probability", answer=" Oslo", texts=stories).found


@pytest.mark.slow
def test_every_control_is_the_run_that_one_would_make_by_hand(lab: Lab, sixteen: Refutation) -> None:
    donor, whole = (lab.trace(text, [MARK])[MARK] for text in (AGAIN, PLAIN))
    assert sixteen.before == pytest.approx(p_oslo(lab, None), abs=BOUND)
    assert sixteen.after == pytest.approx(p_oslo(lab, {MARK: patch(donor, head=HEAD, query=STOP)}), abs=BOUND)
    heads = {control.name: control.after for control in sixteen.of(HEADS)}
    assert heads.keys() == {f"head {head}" for head in range(8) if head != HEAD}
    assert heads["head 5"] == pytest.approx(p_oslo(lab, {MARK: patch(donor, head=5, query=STOP)}), abs=BOUND)
    places = {control.name: control.after for control in sixteen.of(PLACES)}
    assert places.keys() == {f"token {place}" for place in range(20) if place != STOP}
    assert places["token 9"] == pytest.approx(p_oslo(lab, {MARK: patch(donor, head=HEAD, query=9)}), abs=BOUND)
    half = whole + 0.5 * (donor - whole)
    assert [control.name for control in sixteen.of(DOSES)] == ["dose 0.5", "dose 2"]
    by_hand = p_oslo(lab, {MARK: patch(half, head=HEAD, query=STOP)})
    assert sixteen.of(DOSES)[0].after == pytest.approx(by_hand, abs=BOUND)
    assert len(sixteen.of(RANDOM)) == 20 and sixteen.values(RANDOM).unique().numel() == 20


@pytest.mark.slow
def test_the_other_texts_have_their_own_donor_and_their_own_answer(lab: Lab, sixteen: Refutation) -> None:
    for story, control in zip(recaps(lab, 10), sixteen.of(TEXTS), strict=True):
        text = story.text.replace("again", "cat")
        assert control.name == text
        token, logits = lab.tokenizer.encode(f" {story.city}")[0], ["logits"]
        for edit, value in (
            (None, control.before),
            ({MARK: copied(story.text, head=HEAD, query=STOP)}, control.after),
        ):
            probs = lab.trace(text, logits, edit)["logits"][0, -1].softmax(-1)
            assert value == pytest.approx(float(probs[token]), abs=BOUND)


@pytest.mark.slow
def test_the_verdict_says_the_numbers_of_the_table(sixteen: Refutation) -> None:
    sentence = sixteen.sentence
    assert sentence.startswith(f"p(' Oslo') {sixteen.before:.3f} → {sixteen.after:.3f} with copied('Leo lives in Oslo.")
    assert f"7 other heads ≤ {sixteen.values(HEADS).max():.3f}" in sentence
    assert f"19 other places ≤ {sixteen.values(PLACES).max():.3f}" in sentence
    assert "in 10 of 10 other texts the same way" in sentence and sixteen.against == 0
    assert [row[0] for row in sixteen.rows()][:5] == ["the edit", "dose 0.5", "dose 2", "random directions", HEADS]
    assert len(sixteen.records()) == 1 + len(sixteen.controls)


def test_a_control_that_comes_as_far_is_named() -> None:
    controls = [Control(HEADS, f"head {head}", 0.1, after) for head, after in enumerate((0.2, 0.35, 0.0))]
    up = Refutation("e", "probability", "a", "b", 0.1, 0.5, (*controls, Control(TEXTS, "t", 0.1, 0.05)))
    assert [control.name for control in up.as_far] == ["head 1"] and up.against == 1
    assert (
        "1 of 3 controls have half of this change or more (such as head 1: 0.350): 3 other heads ≤ 0.350" in up.sentence
    )
    assert "in 0 of 1 other texts the same way" in up.sentence
    down = replace(up, after=-0.05)
    assert [control.name for control in down.as_far] == ["head 2"] and down.against == 0
    assert "3 other heads ≥ 0.000" in down.sentence


def test_an_edit_that_reaches_nothing_has_nothing_to_refute(lab: Lab) -> None:
    found = lab.refute(PLAIN, {"h.3.attn.mixed": zero(head=2, query=0)}, answer=" Oslo", rival=" Lima").found
    assert abs(found.change) < BOUND and "nothing to refute" in found.sentence


def test_a_donor_that_is_the_text_changes_exactly_nothing(lab: Lab) -> None:
    whole = lab.trace(PLAIN, ["logits"])["logits"]
    assert lab.trace(PLAIN, ["logits"], {MARK: copied(PLAIN)})["logits"].equal(whole)
    found = lab.refute(PLAIN, {MARK: copied(PLAIN, head=1)}, n=2).found
    assert abs(found.change) < BOUND and len(found.of(HEADS)) == 7


def test_the_default_is_the_models_own_answer_against_its_runner_up(lab: Lab) -> None:
    found = lab.refute(PLAIN, SIXTEEN, n=1).found
    top = lab.trace(PLAIN, ["logits"])["logits"][0, -1].topk(2)
    assert [found.answer, found.rival] == [lab.tokenizer.decode([int(token)]) for token in top.indices]
    assert found.before == pytest.approx(float(top.values[0] - top.values[1]), abs=1e-4)


@pytest.mark.slow
def test_texts_with_the_same_answer_are_the_noise_floor(lab: Lab) -> None:
    cities = [city for city in CITIES if len(lab.tokenizer.encode(f" {city}")) == 1]
    texts = lab.cases(AGAIN.replace("Leo", "{name}").replace("Oslo", "{city}"), name=["Leo", "Ivan"], city=cities)
    found = lab.refute(AGAIN, {"h.3.attn.mixed": zero(head=4, query=19)}, texts=texts, answer=" Oslo", n=5).found
    assert [control.name for control in found.of(SAME)] == [AGAIN.replace("Leo", "Ivan")]
    by_hand = lab.trace(AGAIN, ["logits"], {"h.3.attn.mixed": copied(AGAIN.replace("Leo", "Ivan"), head=4, query=19)})[
        "logits"
    ][0, -1]
    answer, rival = (lab.tokenizer.encode(token)[0] for token in (found.answer, found.rival))
    assert found.of(SAME)[0].after == pytest.approx(float(by_hand[answer] - by_hand[rival]), abs=1e-4)


@pytest.mark.slow
def test_each_step_is_a_table_so_far_and_stopping_leaves_nothing_behind(lab: Lab) -> None:
    whole = lab.trace(PLAIN, ["logits"])["logits"]
    steps = refute(lab.model, lab.tokenizer, PLAIN, SIXTEEN, n=300)
    first = next(steps)
    assert not first.results and first.done == 1
    second = next(steps)
    assert 0 < second.done < second.total and 0 < len(second.results[0].controls) < second.total
    assert second.results[0].sentence
    steps.close()  # type: ignore[attr-defined]  # it is a generator
    assert lab.trace(PLAIN, ["logits"])["logits"].equal(whole)


@pytest.mark.slow
def test_a_bar_says_how_far_it_is_where_it_takes_long(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int | None]] = []

    class Bar:
        n, total = 0, None

        def __init__(self, **settings: Any) -> None:
            assert settings["delay"] == 2  # seconds: what is quick shows none

        def __enter__(self) -> "Bar":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def update(self, more: int) -> None:
            self.n += more
            told.append((self.n, self.total))

    monkeypatch.setattr("bloomlab.lab.tqdm", Bar)
    found = lab.refute(PLAIN, SIXTEEN, n=300).found
    runs = len(found.controls) + 2  # the text as it is, and with the edit
    assert len(told) > 2 and told[-1] == (runs, runs) and told == sorted(told)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_controls(lab: Lab) -> None:
    first, again, other = (lab.refute(PLAIN, SIXTEEN, n=3, seed=seed).found for seed in (0, 0, 1))
    assert first == again and not first.values(RANDOM).equal(other.values(RANDOM))
    assert first.values(HEADS).equal(other.values(HEADS))


def test_controls_that_there_cannot_be_are_explained(lab: Lab) -> None:
    found = lab.refute(PLAIN, {"h.0.attn.biased": cut(query=STOP, key=15, head=1)}).found
    assert found.missing.keys() == {RANDOM, DOSES, SAME} and found.of(HEADS)
    found = lab.refute(PLAIN, {"h.0.mlp.out": lambda x, at: x * 1.5}, n=2).found
    assert found.missing[HEADS] == found.missing[PLACES] == "the edit cannot be made at another place"
    alike = [AGAIN.replace("Leo", name) for name in ("Ivan", "Karim")]  # the same answer as this text's
    found = lab.refute(AGAIN, {"h.0.mlp.out": lambda x, at: x * 1.5}, texts=alike, n=2).found
    assert found.missing[SAME] == "the edit does not say what it changes" and not found.of(SAME)
    found = lab.refute(PLAIN, {"h.0.mlp.out": zero(pos=3), MARK: zero(head=1)}, n=2).found
    assert "not every edit names the same" in found.missing[HEADS] + found.missing[PLACES]
    assert [row[-1] for row in found.rows() if row[0] == HEADS] == [found.missing[HEADS]]


@pytest.mark.slow
def test_a_random_change_of_where_heads_look_is_no_control(lab: Lab) -> None:
    found = lab.refute(PLAIN, {"h.1.attn.probs": zero(head=1, key=3)}, n=2).found
    assert not found.of(RANDOM) and "look ahead" in found.missing[RANDOM] and found.of(DOSES) and found.of(HEADS)
    sliced = lab.refute(PLAIN, {MARK: zero(query=slice(2, 4))}, n=2).found
    assert "by a slice" in sliced.missing[PLACES]
    with pytest.raises(InputError, match="at most 200,000 are made"):
        lab.refute(PLAIN, {MARK: zero()}, texts=[PLAIN] * 10_000, everywhere=True)


def test_what_is_held_stays_held_in_every_control(lab: Lab) -> None:
    held = {"h.0.mlp.out": hold()}
    found = lab.refute(PLAIN, {**SIXTEEN, **held}, "probability", answer=" Oslo", n=2).found
    assert found.after == pytest.approx(p_oslo(lab, {**SIXTEEN, **held}), abs=BOUND)
    other = {MARK: copied(AGAIN, head=5, query=STOP), **held}
    heads = {control.name: control.after for control in found.of(HEADS)}
    assert heads["head 5"] == pytest.approx(p_oslo(lab, other), abs=BOUND)
    donor, whole = (lab.trace(text, [MARK])[MARK] for text in (AGAIN, PLAIN))
    half = {MARK: patch(whole + 0.5 * (donor - whole), head=HEAD, query=STOP), **held}
    assert found.of(DOSES)[0].after == pytest.approx(p_oslo(lab, half), abs=BOUND)


def test_several_heads_have_as_many_others(lab: Lab) -> None:
    found = lab.refute(PLAIN, {"h.3.attn.mixed": zero(head=[4, 5])}, n=1).found
    assert 0 < len(found.of(HEADS)) <= 8 and all(control.name.count(",") == 1 for control in found.of(HEADS))
    assert "head 4, 5" not in [control.name for control in found.of(HEADS)]


@pytest.mark.slow
def test_the_sixteen_numbers_of_lesson_00_withstand_their_controls_on_64_stories(lab: Lab) -> None:
    """DO.md's figures: 20 random directions at most .08, other heads .05, other places .04, doses rising."""
    stories = [Case(s.text.replace("again", "cat"), s.text, f" {s.city}") for s in recaps(lab, 64)]
    found = lab.refute(PLAIN, SIXTEEN, "probability", answer=" Oslo", texts=stories, everywhere=True).found
    assert found.before < 0.05 and found.after > 0.6
    assert found.values(RANDOM).max() <= 0.08
    assert found.values(HEADS).max() <= 0.05
    assert found.values(PLACES).max() <= 0.04
    half, twice = found.values(DOSES).tolist()
    assert found.before < half < 0.12 and found.after < 0.9 < twice
    assert found.against == 0 and len(found.of(TEXTS)) == 64
    assert found.sentence.startswith("mean of 65 texts: p(answer) ")


@pytest.mark.slow
def test_the_sixteen_numbers_go_by_way_of_mlp_0_and_the_keys_of_head_1_1(lab: Lab) -> None:
    """DO.md's figures, means of 64 stories: MLP 0 held at most .05, the keys .06, the queries at least .6."""
    stories = recaps(lab, 64)
    cities = [lab.tokenizer.encode(f" {story.city}")[0] for story in stories]

    def p_city(held: dict[str, tuple[Edit, ...]]) -> float:
        trials = [
            Trial(
                tuple(lab.tokenizer.encode(story.text.replace("again", "cat"))),
                {MARK: (copied(story.text, head=HEAD, query=STOP),), **held},
            )
            for story in stories
        ]
        chances = [
            float(row.softmax(-1)[cities[place]])
            for places, logits in run(lab.model, lab.tokenizer, trials)
            for place, row in zip(places, logits, strict=True)
        ]
        return sum(chances) / len(chances)

    assert p_city({}) > 0.6 and p_city({"h.1.attn.q": (hold(head=1),)}) >= 0.6
    assert p_city({"h.0.mlp.out": (hold(),)}) <= 0.05 and p_city({"h.1.attn.k": (hold(head=1),)}) <= 0.06


def test_an_interrupt_leaves_the_model_as_it_was(lab: Lab) -> None:
    whole = lab.trace(PLAIN, ["logits"])["logits"]
    for moment in range(1, 20, 3):
        calls = 0

        def interrupted(tensor: torch.Tensor, at: At, moment: int = moment) -> torch.Tensor:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise KeyboardInterrupt
            return tensor * 2

        with pytest.raises(KeyboardInterrupt):
            lab.refute(PLAIN, {MARK: interrupted}, n=20)
        assert calls == moment and lab.trace(PLAIN, ["logits"])["logits"].equal(whole)


@pytest.mark.slow
def test_means_over_texts_are_the_means_of_each_texts_own_controls(lab: Lab) -> None:
    story = recaps(lab, 1)[0]
    plain = story.text.replace("again", "cat")
    both = lab.refute(
        PLAIN, SIXTEEN, "probability", " Oslo", None, [Case(plain, story.text, f" {story.city}")], 2, everywhere=True
    ).found
    first = lab.refute(PLAIN, SIXTEEN, "probability", " Oslo", n=2).found
    edit = {MARK: copied(story.text, head=HEAD, query=STOP)}
    second = lab.refute(plain, edit, "probability", f" {story.city}", n=2).found
    for kind in (RANDOM, HEADS, PLACES, DOSES):
        torch.testing.assert_close(
            both.values(kind), (first.values(kind) + second.values(kind)) / 2, atol=BOUND, rtol=0
        )
    assert both.after == pytest.approx((first.after + second.after) / 2, abs=BOUND)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"metric": "loss"}, InputError, "'logit difference' or 'probability'"),
        ({"n": 0}, InputError, "from 1 to 1000"),
        ({"n": True}, InputError, "from 1 to 1000"),
        ({"seed": "1"}, InputError, "whole number"),
        ({"everywhere": 1}, InputError, "True or False"),
        ({"answer": "Oslo"}, InputError, "with the space before it"),
        ({"rival": " Oslo Lima"}, InputError, "rival must be one token"),
        ({"texts": []}, InputError, "is empty"),
        ({"texts": ["Leo lives in"]}, InputError, "1 of 1 texts have others"),
        ({"texts": "Leo"}, InputError, "list of texts"),
        ({"edit": {}}, HookError, "such as"),
        ({"edit": {MARK: zero(query=20)}}, HookError, "20 tokens"),
        ({"edit": {MARK: zero(head=8)}}, HookError, "from 0 to 7"),
        ({"text": ""}, InputError, "empty"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    lab: Lab, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        lab.refute(**{"text": PLAIN, "edit": SIXTEEN, **arguments})
    assert len(str(caught.value)) < 400
