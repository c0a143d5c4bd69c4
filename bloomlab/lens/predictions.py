"""What would each head say if the model stopped at a layer? Every head, asked at every layer.

    logits = head(ln_f(state))           state: the residual stream after a layer, "resid_post"
    head: lm_head, score, classifier or qa_outputs

The last layer gives what the head says; at the others nothing taught it to make sense, so look for *when* the answer
appears. A task head reads the text with its own copy of the model, so another model's trace would show other states.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import At, Edit, Edits, Hooks, in_order
from bloomlab.lens.inputs import check, positions_at_once
from bloomlab.lens.logit_lens import read_out
from bloomlab.tracing.record import readable_layers
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

READ = ["resid_post"]
MAPS = ("lm_head", "score", "classifier", "qa_outputs")


def next_tokens(
    model: BloomForCausalLM, trace: Trace, here: slice = slice(None), top: int = 5
) -> tuple[Tensor, Tensor]:
    """The likeliest next tokens at each layer and column, and their probabilities: (layer, pos, top) each.

    The trace must have read READ; `here` selects columns, since each takes a while with a large vocabulary.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> ids, probs = next_tokens(lab.model, lab.trace("Leo lives in", read=READ), top=3)
    >>> ids.shape, bool((probs[..., 0] >= probs[..., 1]).all())
    (torch.Size([4, 3, 3]), True)

    Raises:
        HookError: the trace lacks a spot.
        InputError: it is of several texts, or of a model of another size.
    """
    check(trace, READ)
    states = trace.stack("resid_post")[:, 0, here]
    if states.shape[-1] != model.config.hidden_size:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {model.config.hidden_size} wide; "
            "pass the model that was traced"
        )
    # all layers together, as many cells at a time as fit: the table of a large model is read once, not once a layer
    cells = states.flatten(0, 1).split(positions_at_once(model.config.vocab_size))
    best = [read_out(model, some).float().cpu().softmax(-1).topk(top) for some in cells]
    ids, probs = (torch.cat([getattr(each, part) for each in best]) for part in ("indices", "values"))
    return ids.unflatten(0, states.shape[:2]), probs.unflatten(0, states.shape[:2])


def as_traced(trace: Trace, model: BloomPreTrainedModel) -> dict[str, Any]:
    """How a task head reads a text the way that its trace was made: `label_probs(head, ids, **as_traced(trace, head))`.

    `edit` has the trace's edits at the spots that the head's own copy of the model has, too; a change of the `logits`
    is none of its business. `read` sends the same layers through the readable lines of attention, which round otherwise
    than the fused kernel, so that what an edit does not reach stays the same bit for bit.

    Raises:
        InputError: the trace was edited, but its edits are not at hand: a file keeps only their words.
    """
    if trace.provenance.get("edits") and not trace.edit:
        raise InputError(
            "the trace was edited, but of its edits only the words are left, so the task heads cannot be edited alike; "
            "trace the text again with edit=…"
        )
    spots = model.base_model.hook_names()
    readable = sorted(readable_layers(trace.names, trace.config.n_layer))
    read = [name for name in (f"h.{layer}.attn.probs" for layer in readable) if name in spots]
    return {"edit": {name: edits for name, edits in trace.made.items() if name in spots}, "read": read}


def layer_logits(
    model: BloomPreTrainedModel, ids: Tensor, edit: Edits | None = None, read: Iterable[str] = ()
) -> Tensor:
    """What a head says about each column after each layer: ids (pos) -> (layer, pos, label).

    `edit` changes the head's own copy of the model, whose spots have the same names. What is in `read` is passed as if
    it were read (see `as_traced`).

    >>> import torch, bloomlab
    >>> head = bloomlab.BloomForTokenClassification(bloomlab.BloomConfig(
    ...     vocab_size=100, hidden_size=16, n_layer=2, n_head=4, num_labels=5)).eval()
    >>> ids = torch.tensor([5, 6, 7])
    >>> torch.equal(layer_logits(head, ids)[-1], head(ids[None]).logits[0])  # the last layer is the head itself
    True
    """
    spots = [f"h.{layer}.resid_post" for layer in range(model.config.n_layer)]
    hooks = Hooks(read=[*spots, "final"], edit=edit, passing=read)
    head: nn.Module = next(getattr(model, name) for name in MAPS if hasattr(model, name))
    trunk: Any = model.base_model

    def run() -> list[Tensor]:
        trunk(ids[None].to(model.device), use_cache=False, hooks=hooks)
        states = [*(trunk.ln_f(hooks[spot]) for spot in spots[:-1]), hooks["final"]]  # which may be edited itself
        return [head(state).float().cpu()[0] for state in states]

    return torch.stack(without_gradients(run))


def label_probs(
    model: BloomPreTrainedModel, ids: Tensor, edit: Edits | None = None, read: Iterable[str] = ()
) -> Tensor:
    """The probability of each label at each layer and column: ids (pos) -> (layer, pos, label).

    For a head that labels whole texts, column i is what it would say if the text ended there.
    """
    return layer_logits(model, ids, edit, read).softmax(-1)


def answer_probs(
    model: BloomPreTrainedModel,
    question: Tensor,
    context: Tensor,
    edit: Edits | None = None,
    read: Iterable[str] = (),
) -> Tensor:
    """How likely an answer starts (0), and ends (1), at each token of the context: ids (pos) each -> (layer, 2, pos).

    A softmax over question and context; what is missing from 1 went to the question. The columns of an edit are those
    of the context.
    """
    moved = {
        spot: [behind(one, len(question)) for one in in_order(spot, edits)] for spot, edits in (edit or {}).items()
    }
    probs = layer_logits(model, torch.cat([question, context]), moved, read).softmax(1)
    return probs[:, len(question) :].transpose(1, 2)


def behind(edit: Edit, columns: int) -> Edit:
    """The edit of a text that stands behind so many columns of another: it sees, and changes, its own columns only.

    >>> tensor, at = torch.zeros(1, 3, 1), At("embed", ("batch", "pos", "hidden"), 0)
    >>> behind(lambda x, at: x + 1, 2)(tensor, at).flatten()
    tensor([0., 0., 1.])
    """

    def change(tensor: Tensor, at: At) -> Tensor:
        here = tuple(slice(columns, None) if axis in ("pos", "query", "key") else slice(None) for axis in at.axes)
        changed = edit(tensor[here].clone(), at)
        whole = tensor.clone()
        whole[here] = changed
        return whole

    return change
