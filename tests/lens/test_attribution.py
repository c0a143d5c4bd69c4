"""Which tokens mattered: held to another library's gradients, and to edits by hand."""

from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor

from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Hooks
from bloomlab.lab import Lab
from bloomlab.lens.attribution import RESIDUE, Attribution, attribution, mean_embedding
from bloomlab.lens.attributions import attributions
from bloomlab.tiny.pairs import recaps
from bloomlab.tracing.donors import drawn
from bloomlab.tracing.edits import zero

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
OSLO_SYDNEY = {"answer": " Oslo", "rival": " Sydney"}


def last(lab: Lab, text: str = RECAP, **settings: Any) -> Attribution:
    *_, step = attribution(lab.model, lab.tokenizer, text, **settings)
    assert step.done == step.total
    return step.results[0]


def lead_of_embeddings(lab: Lab, found: Attribution, ids: Tensor) -> Callable[[Tensor], Tensor]:
    """D as a function of the embedding (row, pos, hidden), as the other library asks for it."""
    answer, rival = (lab.tokenizer.encode(token)[0] for token in (found.answer, found.rival))

    def lead(embeddings: Tensor) -> Tensor:
        hooks = Hooks(edit={"embed": lambda x, at: embeddings})
        logits = lab.model(ids.expand(len(embeddings), -1), hooks=hooks).logits[:, -1]
        return logits[:, answer] - logits[:, rival]

    return lead


def both(lab: Lab, found: Attribution, text: str) -> tuple[Any, Tensor, Tensor]:
    """D as a function of the embedding, the text's own, and that of the baseline."""
    trace = lab.trace(text, ["embed"])
    baseline = lab.trace(text, ["embed"], {"embed": mean_embedding(lab.model)})["embed"]
    return lead_of_embeddings(lab, found, trace.ids), trace["embed"], baseline


@pytest.mark.slow
@pytest.mark.parametrize("text", [RECAP, "Ana habite à Paris. Ana", "Leo"])
def test_integrated_gradients_are_those_of_captum(lab: Lab, text: str) -> None:
    found = last(lab, text)
    lead, own, baseline = both(lab, found, text)
    theirs, delta = captum.attr.IntegratedGradients(lead).attribute(
        own, baseline, n_steps=found.steps, method="gausslegendre", return_convergence_delta=True
    )
    torch.testing.assert_close(found.integrated, theirs.sum(-1)[0].float(), atol=1e-4, rtol=0)
    assert found.residue == pytest.approx(delta.item(), abs=1e-4)


@pytest.mark.slow
def test_gradient_times_input_is_that_of_captum(lab: Lab) -> None:
    found = last(lab, **OSLO_SYDNEY)
    lead, own, _ = both(lab, found, RECAP)
    theirs = captum.attr.InputXGradient(lead).attribute(own.clone().requires_grad_())
    torch.testing.assert_close(found.gradient, theirs.detach().sum(-1)[0], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_what_is_lost_without_a_token_is_what_captum_finds(lab: Lab) -> None:
    found = last(lab, **OSLO_SYDNEY)
    lead, own, baseline = both(lab, found, RECAP)
    mask = torch.arange(own.shape[1])[None, :, None].expand_as(own)
    with torch.no_grad():
        theirs = captum.attr.FeatureAblation(lead).attribute(own, baseline, feature_mask=mask)
    torch.testing.assert_close(found.left_out, theirs[0, :, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["mean", "zero", "drawn"])
def test_what_is_left_out_is_the_edit_one_would_make_by_hand(lab: Lab, kind: str) -> None:
    texts = [case.text for case in recaps(lab.tokenizer, 6, between=" ")]
    instead = {"mean": mean_embedding(lab.model), "zero": zero(), "drawn": drawn(texts)}[kind]
    step = next(attribution(lab.model, lab.tokenizer, RECAP, instead=instead, **OSLO_SYDNEY))
    found = step.results[0]
    pair = [lab.tokenizer.encode(token)[0] for token in (found.answer, found.rival)]

    def lead(**where: int) -> float:
        logits = lab.trace(RECAP, ["logits"], {"embed": instead.at(**where)})["logits"][0, -1, pair]
        return (logits[0] - logits[1]).item()

    assert found.baseline == pytest.approx(lead(), abs=1e-4)
    for pos in (3, 15, 19):
        assert found.left_out[pos].item() == pytest.approx(found.difference - lead(pos=pos), abs=1e-4)


def test_the_mean_embedding_is_the_mean_over_the_vocabulary(lab: Lab) -> None:
    body = lab.model.transformer
    with torch.no_grad():
        every = body.word_embeddings_layernorm(body.word_embeddings.weight)
    put = lab.trace("Leo lives", ["embed"], {"embed": mean_embedding(lab.model)})["embed"]
    torch.testing.assert_close(put, every.mean(0).expand_as(put), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_steps_are_doubled_until_the_parts_sum_to_the_change(lab: Lab) -> None:
    few = last(lab, steps=2, **OSLO_SYDNEY)
    assert few.steps >= 8 and few.residue_share <= RESIDUE
    usual = last(lab, **OSLO_SYDNEY)
    assert usual.steps >= 32 and usual.residue_share <= RESIDUE
    assert usual.integrated.sum().item() == pytest.approx(usual.difference - usual.baseline + usual.residue, abs=1e-4)
    torch.testing.assert_close(few.integrated, usual.integrated, atol=0.2, rtol=0)


@pytest.mark.slow
def test_where_the_way_breaks_the_residue_is_said(lab: Lab) -> None:
    """Towards a zero vector every layer norm's answer breaks off: no number of steps closes it."""
    found = last(lab, instead=zero(), **OSLO_SYDNEY)
    assert found.steps == 512 and found.residue_share > RESIDUE


@pytest.mark.slow
def test_the_three_answers_and_where_they_part(lab: Lab) -> None:
    found = last(lab, instead=drawn([RECAP.replace("Oslo", "Sydney")]), **OSLO_SYDNEY)
    names = [row["token"] for row in found.records()]
    assert names[3] == " Oslo" and int(found.left_out.argmax()) == int(found.integrated.argmax()) == 3
    assert found.left_out[[0, 1, 2, 4, 19]].abs().max() < 1e-4  # the same token stands in its own place
    r = torch.corrcoef(torch.stack([found.left_out, found.integrated]))[0, 1].item()
    assert found.agreement == pytest.approx(r, abs=1e-5) and found.agreement > 0.99
    gaps = (found.left_out - found.integrated).abs()
    assert gaps[found.furthest] == gaps.max()


def test_each_batch_is_a_step_and_it_can_be_stopped(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    forward = type(lab.model).forward
    monkeypatch.setattr(type(lab.model), "forward", lambda *a, **k: passes.append(1) or forward(*a, **k))
    monkeypatch.setattr("bloomlab.lens.attribution.rows_at_once", lambda model, columns: 4)
    steps = attribution(lab.model, lab.tokenizer, RECAP)
    first = next(steps)
    assert (first.done, first.total) == (4, 53) and len(passes) <= 3
    found = first.results[0]
    assert found.left_out[:4].isfinite().all() and found.left_out[4:].isnan().all() and found.integrated.isnan().all()
    next(steps)
    assert len(passes) <= 4
    steps.close()  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off_and_leaves_no_trace(lab: Lab, mode: Any) -> None:
    settings = {"instead": drawn([RECAP.replace("Oslo", "Sydney")]), **OSLO_SYDNEY}
    expected = last(lab, **settings)
    with mode():
        found = last(lab, **settings)
        assert not torch.is_grad_enabled()
    assert found.integrated.equal(expected.integrated) and found.gradient.equal(expected.gradient)
    assert all(p.requires_grad and p.grad is None for p in lab.model.parameters())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": 0}, InputError, "from 1 to 512"),
        ({"steps": 33.0}, InputError, "whole number"),
        ({"instead": "mean"}, InputError, "names no axis"),
        ({"instead": zero(pos=1)}, InputError, "names no axis"),
        ({"instead": drawn(["Leo"])}, HookError, "no other text of 20 tokens"),
        ({"answer": "Leo lives"}, InputError, "one token"),
        ({"answer": " Oslo", "rival": " Oslo"}, InputError, "the same token"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    lab: Lab, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        list(attribution(lab.model, lab.tokenizer, RECAP, **arguments))


@pytest.mark.slow
def test_several_texts_give_means_and_must_have_as_many_tokens(lab: Lab) -> None:
    texts = ["Leo lives in", "Ana lives in"]
    *first, final = attributions(lab.model, lab.tokenizer, texts)
    found, alone = final.results[0], [last(lab, text) for text in texts]
    assert first[0].results == () and final.done == final.total and len(found.found) == 2
    for name in ("left_out", "gradient", "integrated"):
        several = torch.stack([getattr(one, name) for one in alone])
        torch.testing.assert_close(getattr(found.mean, name), several.mean(0))
        torch.testing.assert_close(found.spread(name), several.std(0, unbiased=False))
    assert found.mean.residue == pytest.approx(sum(one.residue for one in alone) / 2, abs=1e-5)
    with pytest.raises(InputError, match="these have 2 to 3"):
        attributions(lab.model, lab.tokenizer, [texts[0], "Leo lives"])
