"""Maps of effects: each cell is the edit one would make by hand, and the estimate says how far it can be trusted."""

from itertools import pairwise
from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.cells import Cell, estimated, read, swapped
from bloomlab.lens.effect_map import TURNED, Effects
from bloomlab.lens.patching import effects, effects_over
from bloomlab.lens.trials import rows_at_once
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.donors import copied, drawn, hold, in_words, usual
from bloomlab.tracing.edits import patch, zero
from tests.tiny_random import byte_tokenizer, random_model

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
SYDNEY, UNTOLD = RECAP.replace("Oslo", "Sydney"), RECAP.replace("again", "cat")
BOUND = 2e-5  # of a share: a batch rounds otherwise than a run by itself


def last(lab: Lab, *texts: str, **settings: Any) -> Effects:
    *_, step = effects(lab.model, lab.tokenizer, *texts, **settings)
    assert step.done == step.total
    return step.results[0]


def lead(lab: Lab, found: Effects, text: str, edit: Any = None) -> float:
    logits = lab.trace(text, ["logits"], edit)["logits"][0, -1]
    answer, rival = (lab.tokenizer.encode(token)[0] for token in (found.answer, found.rival))
    return float(logits[answer] - logits[rival])


BY_HAND: list[tuple[dict[str, Any], tuple[int, int], str, dict[str, int]]] = [
    ({"what": "stream"}, (3, 1), "h.0.resid_post", {"pos": 3}),
    ({"what": "stream"}, (3, 0), "embed", {"pos": 3}),
    ({"what": "stream"}, (19, 4), "h.3.resid_post", {"pos": 19}),
    ({"what": "mlps"}, (3, 0), "h.0.mlp.out", {"pos": 3}),
    ({"what": "heads"}, (4, 3), "h.3.attn.mixed", {"head": 4}),
    ({"what": "positions"}, (19, 28), "h.3.attn.mixed", {"head": 4, "query": 19}),
    ({"what": "positions", "layer": 3}, (19, 5), "h.3.attn.mixed", {"head": 5, "query": 19}),
    ({"what": "looks", "layer": 3, "head": 5}, (19, 3), "h.3.attn.probs", {"head": 5, "query": 19, "key": 3}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "place", "spot", "where"), BY_HAND)
@pytest.mark.parametrize("mode", ["needed", "enough"])
def test_a_cell_is_the_copy_one_would_make_by_hand(
    lab: Lab, settings: dict[str, Any], place: tuple[int, int], spot: str, where: dict[str, int], mode: str
) -> None:
    found = last(lab, RECAP, SYDNEY, mode=mode, estimate="none", **settings)
    into, out_of = (RECAP, SYDNEY) if mode == "needed" else (SYDNEY, RECAP)
    edit = {spot: patch(lab.trace(out_of, [spot])[spot], **where)}
    before, after, end = lead(lab, found, into), lead(lab, found, into, edit), lead(lab, found, out_of)
    assert found.exact[place].item() == pytest.approx((before - after) / (before - end), abs=BOUND)
    assert found.here - found.there == pytest.approx(abs(before - end), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "usual", "drawn", "copied"])
def test_what_stands_in_a_cells_place_is_what_the_edit_puts_there(lab: Lab, kind: str) -> None:
    texts = [case.text for case in recaps(lab.tokenizer, 6, between=" ")]
    instead = {"zero": zero(), "usual": usual(texts), "drawn": drawn(texts), "copied": copied(SYDNEY)}[kind]
    for what, place, spot, where in (
        ("heads", (4, 3), "h.3.attn.mixed", {"head": 4}),
        ("mlps", (19, 2), "h.2.mlp.out", {"pos": 19}),
        ("stream", (3, 1), "h.0.resid_post", {"pos": 3}),
    ):
        found = last(lab, RECAP, instead=instead, what=what)
        before, after = lead(lab, found, RECAP), lead(lab, found, RECAP, {spot: instead.at(**where)})
        assert found.exact[place].item() == pytest.approx((before - after) / before, abs=BOUND), what
        assert found.unit == found.here and found.instead == in_words(instead)


def test_all_positions_of_a_layer_give_the_other_texts_logits_bit_for_bit(lab: Lab) -> None:
    one, two = (read(lab.model, lab.trace(text, ()).ids, ["h.3.resid_post"]) for text in (RECAP, SYDNEY))
    for spot in [*(f"h.{layer}.resid_pre" for layer in range(4)), "h.3.resid_post"]:
        assert torch.equal(swapped(lab.model, one, two.values, [Cell(spot, {})])[0], two.logits), spot
    assert not torch.equal(swapped(lab.model, one, two.values, [Cell("h.1.resid_pre", {"pos": 2})])[0], two.logits)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"what": name} for name in ("stream", "mlps", "heads", "positions")])
def test_a_text_against_itself_is_exactly_nothing_and_all_of_it(lab: Lab, settings: dict[str, Any]) -> None:
    needed, enough = (last(lab, RECAP, RECAP, mode=mode, **settings).exact for mode in ("needed", "enough"))
    assert needed.eq(0).all() and enough.eq(1).all()
    held = last(lab, RECAP, instead=hold(), **settings)
    assert held.exact.eq(0).all() and not held.ran.any()
    assert held.estimate is not None and held.estimate.eq(0).all()


@pytest.mark.slow
def test_a_query_has_no_cell_for_keys_that_come_later(lab: Lab) -> None:
    found = last(lab, RECAP, SYDNEY, what="looks", layer=1, head=1)
    later = torch.ones(20, 20).triu(1).bool()
    assert found.exact.isnan().equal(later) and found.is_cell.equal(~later)
    again = last(lab, RECAP, RECAP, what="looks", layer=1, head=1).exact
    assert again.isnan().equal(later) and again[~later].eq(0).all()


def test_cells_before_the_first_difference_are_nothing_and_are_not_run(lab: Lab) -> None:
    found = last(lab, RECAP, SYDNEY)
    assert found.exact[:3].eq(0).all() and not found.ran[:3].any()
    assert not found.ran[4:, 0].any() and found.exact[4:, 0].eq(0).all()  # the same tokens again, before attention
    assert found.ran[3].all() and found.ran[4:, 1:].all()


def test_the_estimate_is_exact_where_all_that_follows_is_linear(lab: Lab) -> None:
    """At `final`, with as few steps as there are; one norm earlier it is not."""
    one, two = (read(lab.model, lab.trace(text, ()).ids, ["final", "h.3.resid_post"]) for text in (RECAP, SYDNEY))
    pair = tuple(lab.tokenizer.encode(word)[0] for word in (" Oslo", " Sydney"))
    truth = ((two.logits - one.logits)[pair[0]] - (two.logits - one.logits)[pair[1]]).item()
    for steps in (0, 1, 2):
        *_, changes = estimated(lab.model, one, two.values, pair, ["final", "h.3.resid_post"], steps)  # type: ignore[arg-type]
        assert changes["final"].sum().item() == pytest.approx(truth, abs=1e-4)
        assert changes["final"][:-1].eq(0).all()
        assert abs(changes["h.3.resid_post"].sum().item() - truth) > 0.01, steps


def test_the_integrated_estimate_sums_to_the_difference_at_the_embedding(lab: Lab) -> None:
    """Its gradients are those of the way from one embedding to the other: integrated gradients, which are complete."""
    for mode in ("needed", "enough"):
        found = last(lab, RECAP, UNTOLD, answer=" Oslo", mode=mode, exact=0)
        assert found.estimate is not None
        assert found.estimate[:, 0].sum().item() == pytest.approx(1, abs=0.03)
    plain = last(lab, RECAP, UNTOLD, answer=" Oslo", estimate="plain", exact=0)
    assert plain.estimate is not None and plain.estimate[:, 0].sum() < 0.1


def test_the_plain_estimate_misses_the_cell_that_matters_and_the_map_says_so(lab: Lab) -> None:
    plain, integrated = (last(lab, RECAP, UNTOLD, answer=" Oslo", estimate=name) for name in ("plain", "integrated"))
    agreement = plain.agreement
    assert agreement is not None and integrated.agreement is not None and plain.estimate is not None
    row, column = agreement.cell
    assert (row, column) == (15, 0) and plain.tokens[row].text == " again"
    assert plain.exact[row, column].item() == pytest.approx(1, abs=1e-4)  # the only token that differs
    assert plain.estimate[row, column] < 0.1
    assert agreement.miss == pytest.approx((plain.exact - plain.estimate)[row, column].item(), abs=1e-5)
    assert integrated.agreement.pearson > 0.99 > 0.9 > agreement.pearson
    assert integrated.agreement.miss < 0.3


@pytest.mark.slow
def test_pearson_and_the_top_ten_are_what_they_are_called(lab: Lab) -> None:
    found = last(lab, RECAP, SYDNEY, what="positions", estimate="plain")
    agreement = found.agreement
    assert agreement is not None and found.estimate is not None
    exact, guess = found.exact[found.ran], found.estimate[found.ran]
    assert agreement.cells == len(exact) == int(found.ran.sum())
    centred = exact - exact.mean(), guess - guess.mean()
    r = (centred[0] * centred[1]).sum() / (centred[0].norm() * centred[1].norm())
    assert agreement.pearson == pytest.approx(r.item(), abs=1e-4)
    tops = [set(values.abs().argsort(descending=True)[:10].tolist()) for values in (exact, guess)]
    assert (agreement.found, agreement.top) == (len(tops[0] & tops[1]), 10)
    assert agreement.random_miss is not None and agreement.random_miss <= agreement.miss


@pytest.mark.slow
def test_measured_first_are_differing_and_last_tokens_then_by_estimate_then_at_random(lab: Lab) -> None:
    settings = {"what": "positions", "seed": 3}
    found, again, other = (last(lab, RECAP, SYDNEY, exact=120, **{**settings, "seed": seed}) for seed in (3, 3, 4))
    assert int(found.ran.sum()) == 120 and int(found.picked.sum()) == 20
    assert found.ran[3].all() and found.ran[19].all()  # two rows of 32
    chosen, rest = found.ran & ~found.picked, found.is_cell & ~found.ran
    chosen[[3, 19]] = rest[[3, 19]] = False
    assert found.estimate is not None and found.estimate[chosen].abs().min() >= found.estimate[rest].abs().max()
    assert found.picked.equal(again.picked) and not found.picked.equal(other.picked)
    whole = last(lab, RECAP, SYDNEY, **settings)
    torch.testing.assert_close(found.exact[found.ran], whole.exact[found.ran], atol=BOUND, rtol=0)
    assert found.exact[~found.ran & found.exact.isfinite()].eq(0).all()
    assert found.values.isfinite().all()


def test_each_step_is_a_map_and_it_can_be_stopped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    forward = type(lab.model).forward
    monkeypatch.setattr(type(lab.model), "forward", lambda *a, **k: passes.append(1) or forward(*a, **k))
    steps = effects(lab.model, lab.tokenizer, RECAP, SYDNEY)
    assert not passes  # nothing runs until it is asked for
    counts = []
    for step in steps:
        counts.append(len(passes))
        if step.done:
            break
    assert step.done < step.total and int(step.results[0].ran.sum()) == step.done
    assert max(after - before for before, after in pairwise(counts)) <= 1
    steps.close()  # type: ignore[attr-defined]
    assert len(passes) == counts[-1]


@pytest.mark.slow
def test_the_estimates_take_as_many_passes_as_they_say(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backward pass counts as one: the plain form within four, the integrated one within eighteen."""
    rows: list[int] = []
    forward = type(lab.model).forward

    def counted(model: Any, *inputs: Any, **settings: Any) -> Any:
        ids = settings["input_ids"]
        rows.append(len(ids) * (2 if torch.is_grad_enabled() else 1))
        return forward(model, *inputs, **settings)

    monkeypatch.setattr(type(lab.model), "forward", counted)
    for what in ("stream", "positions"):
        for estimate, most in (("plain", 4), ("integrated", 18)):
            rows.clear()
            last(lab, RECAP, SYDNEY, what=what, estimate=estimate, exact=0)
            assert sum(rows) == most


@pytest.mark.slow
def test_the_noise_floor_is_what_texts_with_the_same_answer_change(lab: Lab) -> None:
    same = [RECAP.replace("cat", animal) for animal in ("dog", "horse", "fox")]
    found = last(lab, RECAP, SYDNEY, alike=[*same, SYDNEY, "Leo", RECAP])
    before = lead(lab, found, RECAP)
    moved = [abs(lead(lab, found, text) - before) for text in same if len(lab.tokens(text)) == 20]
    assert len(moved) > 1
    assert found.floor == pytest.approx(sum(moved) / len(moved) / abs(found.unit), abs=1e-4)
    assert last(lab, RECAP, SYDNEY).floor is None
    assert last(lab, RECAP, instead=drawn([*same, SYDNEY])).floor is not None


@pytest.mark.slow
def test_several_texts_give_the_mean_and_the_spread_of_their_maps(lab: Lab) -> None:
    pairs = recaps(lab.tokenizer, 4, between=" ")
    *steps, final = effects_over(lab.model, lab.tokenizer, pairs, what="heads")
    found = final.results[0]
    own = [last(lab, case.text, case.other, answer=case.answer, rival=case.rival, what="heads") for case in pairs]
    alone = [one.exact for one in own]
    torch.testing.assert_close(found.exact, torch.stack(alone).mean(0), atol=BOUND, rtol=0)
    assert found.spread is not None
    torch.testing.assert_close(found.spread, torch.stack(alone).std(0, unbiased=False), atol=BOUND, rtol=0)
    assert (found.texts, found.answer) == (4, "") and found.turned is not None
    turned = torch.stack([one.sign() != found.exact.sign() for one in alone]).double().mean(0)
    assert found.turned.equal(turned) and found.unstable.equal(turned > TURNED) and found.unstable.any()
    torch.testing.assert_close(found.nats, torch.stack([one.nats for one in own]).mean(0), atol=BOUND, rtol=0)
    torch.testing.assert_close(own[0].nats, own[0].exact * own[0].unit)
    assert next(step.results[0].texts for step in steps if step.results) == 1 and final.done == final.total


def test_a_model_whose_norms_replace_the_stream_has_maps_too() -> None:
    lab = Lab(random_model(apply_residual_connection_post_layernorm=True), byte_tokenizer(), name="random")
    found = last(lab, "Leo lives", "Leo lived", answer="e", rival="z")
    edit = {"h.1.resid_post": patch(lab.trace("Leo lived", ["h.1.resid_post"])["h.1.resid_post"], pos=8)}
    before, after = lead(lab, found, "Leo lives"), lead(lab, found, "Leo lives", edit)
    assert found.exact[8, 2].item() == pytest.approx((before - after) / found.unit, abs=1e-3)


def marks(lab: Lab) -> list[object]:
    return [
        *(torch.is_grad_enabled(), torch.is_inference_mode_enabled(), lab.model.training),
        *((parameter.requires_grad, parameter.grad is None) for parameter in lab.model.parameters()),
    ]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_are_there_whatever_is_switched_off_and_nothing_is_left(lab: Lab, mode: Any) -> None:
    expected = last(lab, RECAP, SYDNEY, exact=0).estimate
    with mode():
        before = marks(lab)
        found = last(lab, RECAP, SYDNEY, exact=0).estimate
        assert marks(lab) == before
    assert found is not None and expected is not None and found.equal(expected)


def test_frozen_weights_have_estimates_too() -> None:
    lab = Lab(random_model().requires_grad_(False), byte_tokenizer(), name="frozen")
    found = last(lab, "Leo lives", "Leo lived", answer="a", rival="b", estimate="plain", what="mlps")
    assert found.estimate is not None and found.estimate.ne(0).any()
    assert not any(parameter.requires_grad for parameter in lab.model.parameters())


def test_a_model_made_under_inference_mode_is_refused_in_a_sentence() -> None:
    with torch.inference_mode():
        lab = Lab(random_model(), byte_tokenizer(), name="inference")
        with pytest.raises(InputError, match="no gradient can pass through it; load it outside"):
            last(lab, "Leo lives", "Leo lived", answer="a", rival="b")
        assert last(lab, "Leo lives", "Leo lived", answer="a", rival="b", estimate="none").exact.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"other": None}, InputError, "exactly one"),
        ({"instead": zero()}, InputError, "exactly one"),
        ({"other": None, "instead": zero(), "mode": "enough"}, InputError, "needs other="),
        ({"other": None, "instead": zero(head=1)}, InputError, "names no axis"),
        ({"other": None, "instead": "zero"}, InputError, "names no axis"),
        ({"other": None, "instead": drawn(["Leo"])}, HookError, "no other text of 20 tokens"),
        ({"other": "Leo lives"}, InputError, "have 20 and 2"),
        ({"what": "layers"}, InputError, "'stream' or 'mlps'"),
        ({"what": "looks"}, InputError, "needs layer=… and head=…"),
        ({"head": 3}, InputError, "no other map takes a head"),
        ({"layer": 3}, InputError, "of all layers"),
        ({"what": "positions", "layer": 4}, InputError, "from 0 to 3"),
        ({"what": "looks", "layer": 0, "head": 8}, InputError, "from 0 to 7"),
        ({"mode": "noising"}, InputError, "'needed' or 'enough'"),
        ({"estimate": "exact"}, InputError, "'integrated' or 'plain'"),
        ({"estimate": "none", "exact": 0}, InputError, "nothing to do"),
        ({"exact": -1}, InputError, "from 0 to 20000"),
        ({"answer": "Leo lives"}, InputError, "one token"),
        ({"answer": " Oslo", "rival": " Oslo"}, InputError, "the same token"),
        ({"other": RECAP.replace("cat", "dog")}, InputError, "too near each other"),
        ({"seed": None}, InputError, "whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    lab: Lab, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        list(effects(lab.model, lab.tokenizer, RECAP, **{"other": SYDNEY, **arguments}))
    assert len(str(caught.value)) < 400


def test_texts_of_other_lengths_have_no_cells_in_common(lab: Lab) -> None:
    with pytest.raises(InputError, match="texts of as many tokens, but these have 1 to 20"):
        effects_over(lab.model, lab.tokenizer, [RECAP, "Leo"], zero())


def test_a_map_of_very_many_cells_is_refused_before_anything_runs(lab: Lab) -> None:
    with pytest.raises(InputError, match="at most 20,000 are measured"):
        effects(lab.model, lab.tokenizer, "Leo lives in Oslo. " * 60, instead=zero(), what="looks", layer=0, head=0)


def test_a_batch_holds_as_many_rows_as_a_large_model_takes_in_seconds() -> None:
    assert rows_at_once(random_model(), 32) == 128
    large = random_model()
    large.num_parameters = lambda *_, **__: 560_000_000  # type: ignore[method-assign]
    assert rows_at_once(large, 32) == 2 and rows_at_once(large, 100) == 1


def test_a_text_without_a_lead_is_left_out_and_counted(lab: Lab) -> None:
    case = Case(RECAP, SYDNEY, " Oslo", " Sydney")
    nothing = Case(
        SYDNEY.replace("Sydney", "Lima"), SYDNEY.replace("Sydney", "Paris"), " क", "ر"
    )  # neither text prefers one to the other
    settings = {"what": "heads", "exact": 2, "estimate": "none"}
    *_, last_one = effects_over(lab.model, lab.tokenizer, [nothing, case], **settings)
    found = last_one.results[0]
    assert (found.texts, found.left_out) == (1, 1) and found.here == pytest.approx(4.970, abs=1e-3)
    with pytest.raises(InputError, match="too near each other"):
        list(effects_over(lab.model, lab.tokenizer, [nothing], **settings))
