"""torch's own tools for programs: torch.export, and the transforms of torch.func, on every head."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jvp, vmap
from torch.utils import _pytree as pytree

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.hooks import Hooks, in_transform
from bloomlab.model.bloom import BloomModel
from bloomlab.model.cache import KVCache
from bloomlab.tracing.edits import zero

CONFIG = BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=4, pad_token_id=3)
IDS = torch.randint(4, 50, (3, 6), generator=torch.Generator().manual_seed(0))
LABELS: dict[Any, Any] = {
    BloomForCausalLM: {"labels": IDS},
    BloomForSequenceClassification: {"labels": torch.tensor([0, 1, 0])},
    BloomForTokenClassification: {"labels": IDS % 2},
    BloomForQuestionAnswering: {"start_positions": torch.tensor([0, 1, 2]), "end_positions": torch.tensor([3, 1, 5])},
}


def model(head: Any, **more: Any) -> Any:
    torch.manual_seed(0)
    return head(BloomConfig(**{**CONFIG.to_dict(), **more})).eval()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("head", [BloomModel, *LABELS])
def test_an_exported_program_returns_what_the_model_returns(head: Any) -> None:
    made = model(head)
    program = torch.export.export(made, (IDS,), {"attention_mask": torch.ones_like(IDS)})
    got, expected = program.module()(IDS, attention_mask=torch.ones_like(IDS)), made(IDS)
    assert type(got) is type(expected) and list(got) == list(expected)
    torch.testing.assert_close(got[0], expected[0], atol=1e-6, rtol=0)
    if "past_key_values" in expected:
        assert isinstance(got.past_key_values, KVCache)
        torch.testing.assert_close(got.past_key_values[1], expected.past_key_values[1], atol=1e-6, rtol=0)


def test_torch_looks_inside_what_is_returned_and_puts_it_together_again() -> None:
    out = model(BloomForCausalLM)(IDS, output_attentions=True)
    leaves, shape = pytree.tree_flatten(out)
    assert sum(isinstance(leaf, Tensor) for leaf in leaves) == 1 + 2 * 2 + 2
    again = pytree.tree_unflatten(leaves, shape)
    assert list(again) == list(out) and again.logits is out.logits and len(again.past_key_values) == 2


@pytest.mark.parametrize("head", LABELS)
def test_gradients_of_each_row_by_itself_equal_those_of_a_loop(head: Any) -> None:
    made = model(head)
    weights = {name: value.detach() for name, value in made.named_parameters()}

    def loss(weights: dict[str, Tensor], ids: Tensor, labels: dict[str, Tensor]) -> Tensor:
        row = {"input_ids": ids[None], **{name: value[None] for name, value in labels.items()}}
        return functional_call(made, weights, (), row).loss

    got = vmap(grad(loss), in_dims=(None, 0, 0))(weights, IDS, LABELS[head])
    for i in range(len(IDS)):
        made.zero_grad()
        made(IDS[i : i + 1], **{name: value[i : i + 1] for name, value in LABELS[head].items()}).loss.backward()
        for name, value in made.named_parameters():
            torch.testing.assert_close(got[name][i], value.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_derivatives_forwards_and_second_ones() -> None:
    made = model(BloomForCausalLM)
    x = made.get_input_embeddings()(IDS).detach().double()
    made = made.double()
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def logits(x: Tensor) -> Tensor:
        return made(inputs_embeds=x, use_cache=False).logits

    _, along = jvp(logits, (x,), (step,))
    with torch.no_grad():
        torch.testing.assert_close(
            along, (logits(x + 1e-6 * step) - logits(x - 1e-6 * step)) / 2e-6, atol=1e-5, rtol=1e-4
        )

    def last(row: Tensor) -> Tensor:
        return logits(torch.cat([row, x[:1, 1:]], 1))[0, -1, 7]

    twice = hessian(last)(x[:1, :1]).view(16, 16)
    torch.testing.assert_close(twice, twice.T, atol=1e-9, rtol=0)
    assert twice.abs().max() > 1e-6


def test_masks_and_edits_work_inside_a_transform_and_checks_come_back_after_it() -> None:
    made = model(BloomForCausalLM)
    mask = torch.ones_like(IDS)
    mask[1, :2] = 0
    each = vmap(lambda row, own: made(row[None], attention_mask=own[None], use_cache=False).logits[0])(IDS, mask)
    real = mask.bool()
    torch.testing.assert_close(each[real], made(IDS, attention_mask=mask).logits[real], atol=1e-5, rtol=0)
    edit = {"h.0.attn.mixed": zero(head=1)}
    edited = vmap(lambda row: made(row[None], use_cache=False, hooks=Hooks(edit=edit)).logits[0])(IDS)
    torch.testing.assert_close(edited, made(IDS, hooks=Hooks(edit=edit)).logits, atol=1e-5, rtol=0)
    assert not in_transform()
    with pytest.raises(InputError, match="token ids must be from 0 to 49"):
        made(IDS + 100)
