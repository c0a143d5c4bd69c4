import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import Categorical

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens import inputs
from bloomlab.lens.hidden import stream
from bloomlab.lens.logit_lens import READ, lens_rows, logit_lens, read_out, summary
from tests.lens.sentences import SENTENCES
from tests.tiny_random import random_model

LOGITS = [*READ, "logits"]


@pytest.mark.parametrize("language", SENTENCES)
def test_the_last_row_is_what_the_model_says_bit_for_bit(language: str, lab: Lab) -> None:
    trace = lab.trace(SENTENCES[language], read=LOGITS)
    assert torch.equal(
        read_out(lab.model, trace[f"h.{lab.model.config.n_layer - 1}.resid_post"][0]), trace["logits"][0]
    )
    last = logit_lens(lab.model, trace)[-1]
    probs, ids = trace["logits"][0].softmax(-1).topk(5)
    assert torch.equal(last.ids, ids)
    assert torch.allclose(last.probs, probs, atol=1e-6)


@pytest.mark.parametrize("n_head", [1, 6, 7])
@pytest.mark.parametrize("normed", [False, True])
def test_the_last_row_of_a_padded_text_is_what_the_model_says(
    n_head: int, normed: bool, random_lab: Callable[..., Lab]
) -> None:
    lab = random_lab(n_head, apply_residual_connection_post_layernorm=normed)
    trace = lab.trace(["abcdefgh", "xyz"], read=LOGITS).row(1)
    probs = trace["logits"][0].softmax(-1)
    last = logit_lens(lab.model, trace, top=300)[-1]
    assert torch.allclose(last.probs, probs.gather(-1, last.ids), atol=1e-5)
    assert torch.allclose(last.entropy, Categorical(probs=probs).entropy(), atol=1e-4)


def test_in_bfloat16_the_last_row_is_what_the_model_says(random_lab: Callable[..., Lab]) -> None:
    lab = random_lab()
    lab.model.to(torch.bfloat16)
    trace = lab.trace("abcdef", read=LOGITS)
    assert torch.equal(read_out(lab.model, stream(trace).states[-1]), trace["logits"][0])


def test_each_row_is_final_norm_and_table_applied_to_its_state(random_lab: Callable[..., Lab]) -> None:
    lab = random_lab()
    trace = lab.trace("abcd", read=READ)
    norm, table = lab.model.transformer.ln_f, lab.model.transformer.word_embeddings.weight
    for row, state in zip(logit_lens(lab.model, trace, top=300), stream(trace).states, strict=True):
        centred = state - state.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        probs = ((norm.weight * centred / spread + norm.bias) @ table.T).softmax(-1).detach()
        assert torch.allclose(row.probs, probs.gather(-1, row.ids), atol=1e-5), row.label


def test_the_mean_surprise_of_the_last_row_is_the_loss(lab: Lab) -> None:
    trace = lab.trace(SENTENCES["en"], read=READ)
    last = logit_lens(lab.model, trace)[-1]
    assert last.surprise[:-1].mean().item() == pytest.approx(lab.model(trace.ids, labels=trace.ids).loss.item())
    assert math.isnan(last.surprise[-1])


def test_the_rank_is_the_place_in_the_sorted_list(lab: Lab) -> None:
    trace = lab.trace(SENTENCES["zh"], read=READ)
    for row in logit_lens(lab.model, trace, top=lab.model.config.vocab_size):
        for pos, following in enumerate(trace.ids[0, 1:].tolist()):
            assert row.ids[pos].tolist().index(following) + 1 == row.rank[pos]
        assert row.rank[-1] == 0


def test_a_model_without_an_idea_has_the_entropy_of_its_vocabulary() -> None:
    ids, probs, entropy, rank, _ = summary(torch.zeros(1, 64), torch.tensor([5]), 3)
    assert entropy.item() == pytest.approx(math.log(64))
    assert probs[0].tolist() == pytest.approx([1 / 64] * 3)
    assert rank.item() == 1  # none is likelier
    assert len(set(ids[0].tolist())) == 3


def test_a_token_that_cannot_be_has_no_part_in_the_entropy() -> None:
    _, _, entropy, _, surprise = summary(torch.tensor([[0.0, 0.0, -math.inf]]), torch.tensor([2]), 1)
    assert entropy.item() == pytest.approx(math.log(2))
    assert surprise.item() == math.inf


@pytest.mark.parametrize("language", SENTENCES)
def test_the_first_row_says_the_token_itself_and_the_answer_appears_on_the_way_up(language: str, lab: Lab) -> None:
    trace = lab.trace(SENTENCES[language], read=READ)
    first, *_, last = rows = logit_lens(lab.model, trace)
    assert len(rows) == 2 * lab.model.config.n_layer + 1
    assert torch.equal(first.ids[:, 0], trace.ids[0])  # the weights are tied
    assert first.entropy.mean() < 0.1
    assert last.rank[:-1].float().median() < first.rank[:-1].float().median() / 5


@pytest.mark.slow
def test_the_size_of_parts_does_not_matter(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = lab.trace(SENTENCES["hi"], read=READ)
    whole = logit_lens(lab.model, trace)
    monkeypatch.setattr(inputs, "AT_ONCE", 2 * lab.model.config.vocab_size)
    for a, b in zip(whole, logit_lens(lab.model, trace), strict=True):
        assert torch.equal(a.ids, b.ids)
        assert torch.allclose(a.probs, b.probs, atol=1e-6) and torch.equal(a.rank, b.rank)


def test_rows_come_one_by_one_and_gradients_stay_on(lab: Lab) -> None:
    rows = lens_rows(lab.model, lab.trace("Leo", read=READ))
    assert [next(rows).label, next(rows).label] == ["embed", "0 mid"]
    assert torch.is_grad_enabled()


def test_a_trace_without_the_states_is_refused_before_anything_runs(lab: Lab) -> None:
    with pytest.raises(HookError, match=r"read=\['embed', 'resid_mid', 'resid_post'\]"):
        lens_rows(lab.model, lab.trace("Leo", read=["resid_post"]))


def test_a_trace_of_another_model_is_refused(lab: Lab) -> None:
    with pytest.raises(InputError, match=f"{lab.model.config.hidden_size} wide, but this one is 24 wide"):
        logit_lens(random_model(), lab.trace("Leo", read=READ))


@pytest.mark.parametrize("top", [0, 1_000_000, 2.0, True])
def test_a_number_of_tokens_that_is_none_is_refused(top: object, lab: Lab) -> None:
    with pytest.raises(InputError, match=f"from 1 to {lab.model.config.vocab_size}"):
        logit_lens(lab.model, lab.trace("Leo", read=READ), top)  # type: ignore[arg-type]
