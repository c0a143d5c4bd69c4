"""Recording a Trace of a JAX run: the same Trace, so that every lens and view works on it.

trace = bloomlab.jax.record(model, lab.tokenizer, "Leo lives in Oslo.", read=["attn.scores", "attn.probs"])
lab.alibi(trace)
"""

from collections.abc import Iterable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import jax.numpy as jnp
import torch
from torch import Tensor

from bloomlab.guards.memory import in_words
from bloomlab.hooks import At, Edit, Edits, Hooks, Spot, edited
from bloomlab.jax.checkpoint import array, tensor, to_state
from bloomlab.jax.pretrained import FlaxBloomPreTrainedModel
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing import record as torch_record
from bloomlab.tracing.trace import Trace


@in_words
def record(
    model: FlaxBloomPreTrainedModel,
    tokenizer: BloomTokenizerFast,
    text: str | Sequence[str] | Tensor,
    read: Iterable[str] = (),
    edit: Edits | None = None,
) -> Trace:
    """Run the JAX model over a text, or several, and keep what is named; see `bloomlab.tracing.record.record`.

    The edits are those of torch (`zero(head=3)`): they work on tensors, and the result goes back into the run.

    Raises:
        HookError: a name fits no spot; nothing has run then.
        InputError: the text is empty or is not a text.
        MemoryLimitError: the readings would not fit into this machine's memory.
    """
    trace = torch_record.record(_InTorch(model), tokenizer, text, read, edit)  # type: ignore[arg-type]  # a stand-in
    trace.provenance["model"] = model.name
    trace.provenance["versions"] |= {name: version(name) for name in ("jax", "flax")}
    return trace


class _InTorch:
    """A JAX model behind a torch interface: tensors and torch's hooks in, readings out as tensors."""

    device = torch.device("cpu")

    def __init__(self, model: FlaxBloomPreTrainedModel) -> None:
        self.model, self.config = model, model.config
        self.dtype: torch.dtype = getattr(torch, jnp.dtype(model.dtype).name)

    def hook_names(self) -> dict[str, Spot]:
        return self.model.hook_names()

    def named_parameters(self) -> Iterable[tuple[str, Tensor]]:
        return to_state(self.model.params).items()

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, hooks: Hooks, **_: Any) -> None:
        inside = Hooks(
            hooks.read, {name: [partial(_edit, edit) for edit in edits] for name, edits in hooks.edit.items()}
        )
        self.model(input_ids, attention_mask, hooks=inside)
        hooks.start(0)
        hooks.edit = {}  # they were made inside
        for name, reading in inside.readings.items():
            hooks(name, tensor(reading.tensor), reading.axes)


def _edit(edit: Edit, values: Any, at: At) -> Any:
    return array(edited(tensor(values), edit, at))
