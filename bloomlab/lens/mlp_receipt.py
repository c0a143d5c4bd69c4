"""An MLP's line of a receipt, opened: into its neurons, and into what it would lose without each part it reads.

    line    = Σ neurons post[n] · (down[n] − its mean) · γ·d / σ + bias        the last norm held: an exact sum
    without = line − line of mlp(norm(state before it − part))                 that norm set anew: no sum

The second says who the MLP answers to: a part that adds little itself may be what the MLP's line rests on.

Sources: neurons as directions, Geva et al., "Transformer Feed-Forward Layers Are Key-Value Memories", 2021 (arXiv
2012.14913); the last norm, as in `bloomlab.lens.receipt`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import HookError, NearMatches
from bloomlab.guards.arguments import whole_within
from bloomlab.lens.receipt import READ as PARTS
from bloomlab.lens.receipt import Versus, body, part_names, scaled_direction, stream_parts
from bloomlab.lens.refute import number
from bloomlab.tracing.trace import Trace
from bloomlab.weights.for_others import linear_map
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

READ = [*PARTS, "mlp.post"]
SHOWN = 12


@dataclass(frozen=True)
class MlpLines(NearMatches):
    """The line of one MLP, taken apart.

    Attributes:
        layer: which MLP.
        kind: "neurons" or "without".
        names: "neuron 0", … and "bias"; or the parts of the stream that the MLP reads.
        values: (part) their lines, which sum to the MLP's; or what the MLP's line loses without each.
        line: the MLP's own.
    """

    layer: int
    kind: str
    names: tuple[str, ...]
    values: Tensor
    line: float

    head = ("part", "nats")

    @property
    def order(self) -> list[int]:
        """The parts, the largest first."""
        places: list[int] = self.values.abs().argsort(descending=True, stable=True).tolist()
        return places

    @property
    def sentence(self) -> str:
        """What was found, in words with its numbers."""
        first, mlp = self.order[0], f"MLP {self.layer} ({number(self.line)} nats)"
        if self.kind == "neurons":
            few = self.values[self.order[:SHOWN]].sum().item()
            return (
                f"{mlp}: its {len(self.names) - 1} neurons and its bias sum to that; {self.names[first]} has most, "
                f"{number(self.values[first].item())}, and the largest {min(SHOWN, len(self.names))} {number(few)}."
            )
        return f"{mlp} would lose most without {self.names[first]}: {number(self.values[first].item())}."

    def rows(self) -> list[list[str]]:
        """The largest parts; the others of neurons as one row."""
        rows = [[self.names[place], number(self.values[place].item())] for place in self.order[:SHOWN]]
        if self.kind == "neurons" and len(self.names) > SHOWN:
            rest = self.values[self.order[SHOWN:]].sum().item()
            rows.append([f"{len(self.names) - SHOWN} smaller ones", number(rest)])
        return rows

    def records(self) -> list[dict[str, Any]]:
        """A row for each part, in the order of the model."""
        return [{"part": name, "nats": value} for name, value in zip(self.names, self.values.tolist(), strict=True)]


def neurons(
    model: BloomPreTrainedModel, trace: Trace, layer: int, token: int, versus: Versus, position: int = -1
) -> MlpLines:
    """The line of one MLP in the receipt of an output, as its neurons; the trace must have read READ.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> trace = lab.trace("Leo lives in Oslo. Leo lives in", READ)
    >>> found = neurons(lab.model, trace, 3, 300, 301)
    >>> found.values.shape, bool(abs(found.values.double().sum() - found.line) < 1e-4)
    (torch.Size([513]), True)

    Raises:
        HookError: the trace lacks a spot.
        InputError: there is no such layer or output, or the stream is no sum.
    """
    scaled, line = _line(model, trace, layer, token, versus, position)
    matrix, shift = linear_map(body(model).h[layer].mlp.dense_4h_to_h)
    post = trace[f"h.{layer}.mlp.post"][0, position].double().cpu()
    values = post * (scaled @ matrix.double().cpu())
    bias = torch.zeros_like(scaled[0]) if shift is None else scaled @ shift.double().cpu()
    names = (*(f"neuron {neuron}" for neuron in range(len(values))), "bias")
    return MlpLines(layer, "neurons", names, torch.cat([values, bias[None]]).float(), line)


def without(
    model: BloomPreTrainedModel, trace: Trace, layer: int, token: int, versus: Versus, position: int = -1
) -> MlpLines:
    """What the line of one MLP loses without each part of the state that it reads; the trace must have read READ.

    The part is taken out at this position alone, and only for this MLP.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> trace = lab.trace("Leo lives in Oslo. Leo lives in", READ)
    >>> without(lab.model, trace, 3, 300, 301).names[-2:]
    ('head 3.7', 'attention bias 3')

    Raises:
        HookError, InputError: as `neurons` does.
    """
    scaled, line = _line(model, trace, layer, token, versus, position)
    block = body(model).h[layer]
    above, _ = stream_parts(model, trace, position, layer + 1)
    parts = above[0, :-1]  # all but the MLP itself: what it reads is their sum

    def run() -> Tensor:
        states = torch.cat([parts.sum(0)[None], parts.sum(0) - parts]).to(block.mlp.dense_4h_to_h.weight)
        out: Tensor = block.mlp(block.post_attention_layernorm(states)[None])[0]
        return out.double().cpu() @ scaled

    lines: Tensor = without_gradients(run)
    names = part_names(layer + 1, trace.config.n_head)[:-1]
    return MlpLines(layer, "without", names, (lines[0] - lines[1:]).float(), line)


def _line(
    model: BloomPreTrainedModel, trace: Trace, layer: int, token: int, versus: Versus, position: int
) -> tuple[Tensor, float]:
    """What a vector of the stream is multiplied by, (hidden), and the line of the MLP."""
    whole_within("layer", layer, 0, trace.config.n_layer - 1)
    if f"h.{layer}.mlp.post" not in trace:
        raise HookError(f"an MLP is opened with mlp.post; make the trace with lab.trace(text, read={READ!r})")
    scaled = scaled_direction(model, trace, token, versus, position)
    return scaled, (trace[f"h.{layer}.mlp.out"][0, position].double().cpu() @ scaled).item()
