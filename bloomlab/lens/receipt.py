"""Which part wrote this token? A difference of two logits as a sum: a receipt, with a line for each part of the model.

    last = embedding + Σ heads + Σ attention biases + Σ MLPs              the residual stream is a sum
    logit(a) − logit(b) = (last − mean) / σ · γ·d + β·d                   d = row a − row b of the last matrix

    direct    (part − its mean) / σ · γ·d      the last norm held at its measured size σ
    adapted   what the difference loses when the part is left out and the last norm sets σ anew
    total     what it loses when something stands in the part's place and all that follows is computed anew

Softmax sees differences only, so that is what a receipt is of; a logit alone (`versus=None`) holds what all tokens get.
Where total and direct part, `moved` says which later part did it.

Sources: direct logit attribution, Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021; the last
norm, Heimersheim and Nanda, 2024 (arXiv 2404.15255); self-repair, McGrath et al., 2023 (2307.15771).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bloomlab.errors import InputError, NearMatches
from bloomlab.hooks import Edit, NamedEdit
from bloomlab.lens.inputs import check
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.weights.for_others import linear_map
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

READ = ["embed", "attn.mixed", "attn.out", "mlp.out", "resid_post"]
ROWS_AT_ONCE = 32  # parts that are replaced in one run
MEAN = "mean"

Versus = int | Sequence[int] | str | None
"""What an output is measured by: another one, several (their mean), "mean" (that of all), or None."""


@dataclass(frozen=True)
class Receipt(NearMatches):
    """A difference of two logits, a line for each part.

    Attributes:
        names: "embedding", "head 0.0", …, "attention bias 0", "MLP 0", …, "norm bias", "head bias".
        direct: (part) the lines; they sum to the difference.
        adapted: (part) what is lost without the part, the last norm set anew.
        difference: of the two logits, as the model computes it.
        error: how far the sum of the lines is from it.
        total: (part) what is lost when the part is replaced and all else computed anew; None until it was measured.
        moved: (part, part) by how much the direct line of the second then changes, the last norm held; None until it
            was measured.
    """

    names: tuple[str, ...]
    direct: Tensor
    adapted: Tensor
    difference: float
    error: float
    total: Tensor | None = None
    moved: Tensor | None = None

    def by_whom(self, part: int) -> tuple[int, float] | None:
        """The later part whose line changes most when this one is replaced, and by how much; None if none does."""
        if self.moved is None:
            return None
        changes = self.moved[part].clone()
        changes[part] = 0
        most = int(changes.abs().argmax())
        return (most, changes[most].item()) if changes[most] else None


def part_names(n_layer: int, n_head: int) -> tuple[str, ...]:
    """The lines of a receipt that are parts of the stream, in the order of the model.

    >>> part_names(1, 2)
    ('embedding', 'head 0.0', 'head 0.1', 'attention bias 0', 'MLP 0')
    """
    names = ["embedding"]
    for layer in range(n_layer):
        names += [f"head {layer}.{head}" for head in range(n_head)]
        names += [f"attention bias {layer}", f"MLP {layer}"]
    return tuple(names)


def stream_parts(
    model: BloomPreTrainedModel, trace: Trace, position: int = -1, layers: int | None = None
) -> tuple[Tensor, Tensor]:
    """The parts of a state at one position, and that state: (batch, part, hidden), (batch, hidden), float64.

    The state is that after so many layers; by default, the last. An attention's bias is what it adds beyond its heads.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> parts, last = stream_parts(lab.model, lab.trace("Leo lives in", READ))
    >>> parts.shape, bool((parts.sum(1) - last).abs().max() < 1e-4)
    (torch.Size([1, 41, 128]), True)

    Raises:
        HookError: the trace lacks a spot of READ.
        InputError: the layer norms replace the stream, which is then not a sum; or the trace is of another model.
    """
    check(trace if len(trace.ids) == 1 else trace.row(0), READ)
    config = trace.config
    if config.apply_residual_connection_post_layernorm:
        raise InputError(
            "this model's stream is not a sum: apply_residual_connection_post_layernorm=True puts a layer norm in its "
            "place before each addition, so there is no receipt; lens.logit_lens reads its states"
        )
    if (model.config.hidden_size, model.config.n_layer) != (config.hidden_size, config.n_layer):
        raise InputError("the trace is of a model of another size; pass the model that was traced")
    columns = trace.ids.shape[1]
    if not -columns <= position < columns:
        raise InputError(f"the text has {columns} tokens, so a position is from 0 to {columns - 1}; got {position}")

    def at(spot: str, axis: int = 1) -> Tensor:
        return trace[spot].detach().select(axis, position % columns).double().cpu()

    layers = config.n_layer if layers is None else layers
    parts = [at("embed")]
    for layer, block in enumerate(body(model).h[:layers]):
        weight = linear_map(block.self_attention.dense)[0].double().cpu().unflatten(1, (config.n_head, -1))
        heads = torch.einsum("bhd,ohd->bho", at(f"h.{layer}.attn.mixed", 2), weight)
        parts += [*heads.unbind(1), at(f"h.{layer}.attn.out") - heads.sum(1), at(f"h.{layer}.mlp.out")]
    return torch.stack(parts, 1), at(f"h.{layers - 1}.resid_post" if layers else "embed")


def receipt(model: BloomPreTrainedModel, trace: Trace, token: int, versus: Versus, position: int = -1) -> Receipt:
    """The receipt of one output against another: `versus` is its id, several (their mean), "mean" (of all), or None.

    For a task head the outputs are its labels, and the trace is of its own model.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> city, other = (lab.tokens(word)[0].id for word in (" Oslo", " Lima"))
    >>> found = receipt(lab.model, lab.trace("Leo lives in Oslo. Leo lives in", READ), city, other)
    >>> found.error < 1e-4 * max(1, abs(found.difference)), found.total is None
    (True, True)

    Raises:
        HookError, InputError: as `stream_parts`; or there is no such output.
    """
    if len(trace.ids) != 1:
        raise InputError(f"a receipt is of one text, but this trace has {len(trace.ids)}; pick one with trace.row(0)")
    parts, last = stream_parts(model, trace, position)
    direction, constant = _direction(model, token, versus)
    norm = body(model).ln_f
    scaled = norm.weight.detach().double().cpu() * direction
    lines = _lines(norm, parts, last, scaled)[0]
    adapted = (_normed(norm, last) - _normed(norm, last[:, None] - parts)[0]) @ scaled  # the state without each part
    biases = torch.stack([(norm.bias.detach().double().cpu() * direction).sum(), constant])
    logits = said(model, trace, position)
    difference = (logits[token] - _mean_of(logits, versus)).item()
    direct = torch.cat([lines, biases])
    return Receipt(
        (*part_names(trace.config.n_layer, trace.config.n_head), "norm bias", "head bias"),
        direct.float(),
        torch.cat([adapted, biases]).float(),
        difference,
        abs(direct.sum().item() - difference),
    )


def total_effects(
    model: BloomPreTrainedModel,
    run: Callable[[Tensor, dict[str, list[Edit]]], Trace],
    trace: Trace,
    found: Receipt,
    token: int,
    versus: Versus,
    position: int = -1,
    instead: Callable[..., NamedEdit] = zero,
) -> Iterator[tuple[int, Receipt]]:
    """Measure `total` and `moved` of a receipt, some parts at a time: (parts that are done, the receipt so far).

    What has not been measured yet is NaN in `total`.

    `run(ids, edit)` traces READ in rows of ids; `instead(**axes)` is what stands in a part's place: zeros by default.
    Parts are replaced at every position. The biases stay as they are: nothing stands in their place.
    """
    norm = body(model).ln_f
    scaled = norm.weight.detach().double().cpu() * _direction(model, token, versus)[0]
    whole, last = stream_parts(model, trace, position)
    before = _lines(norm, whole, last, scaled)[0]
    total, moved = torch.zeros(len(found.direct)), torch.zeros(len(found.direct), len(found.direct))
    parts = list(places_of_parts(trace.config.n_layer, trace.config.n_head).items())
    total[[number for number, _ in parts]] = torch.nan
    for first in range(0, len(parts), ROWS_AT_ONCE):
        some = parts[first : first + ROWS_AT_ONCE]
        edit: dict[str, list[Edit]] = {}
        for row, (_, (spot, axes)) in enumerate(some):
            edit.setdefault(spot, []).append(instead(batch=row, **axes))
        rows = run(trace.ids.expand(len(some), -1), edit)
        after, last_after = stream_parts(model, rows, position)
        lost = before.sum() - _lines(norm, after, last_after, scaled).sum(1)
        changes = (_lines(norm, after, last, scaled) - before).float()
        for (number, _), loss, change in zip(some, lost, changes, strict=True):
            total[number], moved[number, : len(change)] = loss.float(), change
        yield first + len(some), replace(found, total=total.clone(), moved=moved.clone())


def body(model: BloomPreTrainedModel) -> Any:
    """The BloomModel under a head."""
    output_layer(model)
    return model.transformer


def output_layer(model: BloomPreTrainedModel) -> nn.Linear:
    """The last matrix: of the vocabulary, or of a task head's labels.

    Raises:
        InputError: the model has no head.
    """
    for name in ("lm_head", "score", "classifier", "qa_outputs"):
        layer = getattr(model, name, None)
        if isinstance(layer, nn.Linear):
            return layer
    raise InputError(f"a receipt is of a model with a head, but got {type(model).__name__}")


def places_of_parts(n_layer: int, n_head: int) -> dict[int, tuple[str, dict[str, int]]]:
    """Where each part is replaced, by its number; nothing stands in a bias's place."""
    found: list[tuple[str, dict[str, int]]] = [("embed", {})]
    for layer in range(n_layer):
        found += [(f"h.{layer}.attn.mixed", {"head": head}) for head in range(n_head)]
        found += [("", {}), (f"h.{layer}.mlp.out", {})]
    return {number: (spot, axes) for number, (spot, axes) in enumerate(found) if spot}


def scaled_direction(
    model: BloomPreTrainedModel, trace: Trace, token: int, versus: Versus, position: int = -1
) -> Tensor:
    """What a vector of the stream is multiplied by for its direct line, (hidden): the last norm held, its mean out."""
    norm = body(model).ln_f
    _, last = stream_parts(model, trace, position)
    scaled = norm.weight.detach().double().cpu() * _direction(model, token, versus)[0]
    sigma = (last[0].var(-1, unbiased=False) + norm.eps).sqrt()
    held: Tensor = (scaled - scaled.mean()) / sigma
    return held


def said(model: BloomPreTrainedModel, trace: Trace, position: int = -1) -> Tensor:
    """What the head says at a position: the logits of the vocabulary, or of a task head's labels."""
    norm, outer = body(model).ln_f, output_layer(model)
    state = trace[f"h.{trace.config.n_layer - 1}.resid_post"][0, position]
    logits: Tensor = without_gradients(lambda: outer(norm(state.to(outer.weight))))
    return logits.double().cpu()


def _direction(model: BloomPreTrainedModel, token: int, versus: Versus) -> tuple[Tensor, Tensor]:
    """The row of one output minus that of the other, (hidden), and the difference of their biases, in float64."""
    layer = output_layer(model)
    weight = layer.weight.detach()
    count = len(weight)
    asked = [token] if versus is None or versus == MEAN else [token, *_ids(versus)]
    if len(asked) == 1 and versus is not None and versus != MEAN:
        raise InputError("versus names no token; name one, several, 'mean' or None")
    for one in asked:
        if type(one) is not int or not 0 <= one < count:
            raise InputError(f"the outputs are numbered from 0 to {count - 1}, but got {str(one)[:40]!r}")
    bias = torch.zeros(count, dtype=torch.float64) if layer.bias is None else layer.bias.detach().double().cpu()
    return weight[token].double().cpu() - _mean_of(weight, versus), bias[token] - _mean_of(bias, versus)


def _mean_of(rows: Tensor, versus: Versus) -> Tensor:
    """What an output is measured by: a row, the mean of some or of all, or 0."""
    if versus is None:
        return torch.zeros(rows.shape[1:], dtype=torch.float64)
    if versus == MEAN:
        some = rows.split(8192)  # a vocabulary in float64 is large
        return torch.stack([part.double().sum(0).cpu() for part in some]).sum(0) / len(rows)
    return rows[_ids(versus)].double().mean(0).cpu()


def _ids(versus: Versus) -> list[Any]:
    return list(versus) if isinstance(versus, Sequence) and not isinstance(versus, str) else [versus]


def _lines(norm: nn.LayerNorm, parts: Tensor, last: Tensor, scaled: Tensor) -> Tensor:
    """The direct line of each part, (batch, part): the last norm divides by the size of `last`."""
    sigma = (last.var(-1, unbiased=False) + norm.eps).sqrt()
    return (parts - parts.mean(-1, keepdim=True)) @ scaled / sigma[:, None]


def _normed(norm: nn.LayerNorm, states: Tensor) -> Tensor:
    """States (…, hidden) as the norm makes them, but for its weight and bias."""
    centred = states - states.mean(-1, keepdim=True)
    return centred / (states.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt()
