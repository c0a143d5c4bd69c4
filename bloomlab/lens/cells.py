"""Cells of a run that get another run's value, one at a time or, by gradients, all at once.

A map is a grid of cells; each names a part of a spot. `swapped` runs a batch in which every row has one cell changed;
`estimated` says from gradients what each change would do, to first order (attribution patching):

    plain        Δ difference ≈ Σ (value there − value here) · gradient here
    integrated   the same with the mean gradient of runs on the way from this embedding to the other

Sources: attribution patching, Nanda, 2023; its integrated form, Hanna et al., "Have Faith in Faithfulness", 2024 (arXiv
2403.17806).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError, NearMatches
from bloomlab.guards.arguments import one_of, whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import At, Hooks, Known, NamedEdit, edited
from bloomlab.lens.gradients import gradients
from bloomlab.lens.trials import rows_at_once
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import Donors, made
from bloomlab.tracing.record import layer_of, weights_hash
from bloomlab.weights.pretrained import without_gradients

MAPS = ("stream", "mlps", "heads", "positions", "looks")


class Cell(NamedTuple):
    """A part of a spot: `where` names the index on each axis that it does not span."""

    spot: str
    where: Mapping[str, int]


@dataclass(frozen=True)
class Grid:
    """A map's cells by (row, column), and what its axes are."""

    what: str
    axes: tuple[str, str]
    shape: tuple[int, int]
    columns: tuple[str, ...]
    cells: Mapping[tuple[int, int], Cell]
    of: str = ""

    @property
    def spots(self) -> list[str]:
        """The spots of the cells."""
        return list(dict.fromkeys(cell.spot for cell in self.cells.values()))


def grid(what: str, config: BloomConfig, columns: int, layer: int | None, head: int | None) -> Grid:
    """The cells of a map: see `bloomlab.lens.patching.effects`.

    Raises:
        InputError: there is no such map, layer or head; or the map takes none.
    """
    one_of("what", what, MAPS)
    n_layer, n_head = config.n_layer, config.n_head
    if layer is not None:
        whole_within("layer", layer, 0, n_layer - 1)
    if head is not None:
        whole_within("head", head, 0, n_head - 1)
    if (head is None) == (what == "looks") or (what == "looks" and layer is None):
        raise InputError("the map 'looks' is of one head, so it needs layer=… and head=…; no other map takes a head")
    if what in ("stream", "mlps", "heads") and layer is not None:
        raise InputError(f"the map {what!r} is of all layers; leave layer=… out")
    layers = range(n_layer)
    if what == "stream":
        spots = [*(f"h.{i}.resid_pre" for i in layers), f"h.{n_layer - 1}.resid_post"]
        cells = {(p, i): Cell(spot, {"pos": p}) for p in range(columns) for i, spot in enumerate(spots)}
        return Grid(what, ("pos", "state"), (columns, n_layer + 1), ("embed", *map(str, layers)), cells)
    if what == "mlps":
        cells = {(p, i): Cell(f"h.{i}.mlp.out", {"pos": p}) for p in range(columns) for i in layers}
        return Grid(what, ("pos", "layer"), (columns, n_layer), tuple(map(str, layers)), cells)
    if what == "heads":
        cells = {(h, i): Cell(f"h.{i}.attn.mixed", {"head": h}) for h in range(n_head) for i in layers}
        return Grid(what, ("head", "layer"), (n_head, n_layer), tuple(map(str, layers)), cells)
    if what == "positions":
        heads = [(i, h) for i in ([layer] if layer is not None else layers) for h in range(n_head)]
        cells = {
            (p, c): Cell(f"h.{i}.attn.mixed", {"head": h, "query": p})
            for p in range(columns)
            for c, (i, h) in enumerate(heads)
        }
        return Grid(what, ("pos", "head"), (columns, len(heads)), tuple(f"{i}.{h}" for i, h in heads), cells)
    cells = {
        (q, k): Cell(f"h.{layer}.attn.probs", {"head": int(head or 0), "query": q, "key": k})
        for q in range(columns)
        for k in range(q + 1)
    }
    return Grid(what, ("query", "key"), (columns, columns), tuple(map(str, range(columns))), cells, f"{layer}.{head}")


@dataclass(frozen=True)
class Run(NearMatches):
    """One text as a model has read it: its ids (1, pos), what it has at some spots, and the logits (vocab) after it."""

    ids: Tensor
    values: Mapping[str, Tensor]
    logits: Tensor


def read(model: BloomForCausalLM, ids: Tensor, spots: Sequence[str]) -> Run:
    """Read a text's ids (1, pos), with its values at these spots and the states before every layer."""
    states = [f"h.{layer}.resid_pre" for layer in range(model.config.n_layer)]
    hooks = Hooks([*states, *spots])
    logits = without_gradients(model, input_ids=ids, use_cache=False, hooks=hooks, logits_to_keep=1).logits
    return Run(ids, {name: reading.tensor for name, reading in hooks.readings.items()}, logits[0, -1].float().cpu())


def swapped(model: BloomForCausalLM, into: Run, values: Mapping[str, Tensor], cells: Sequence[Cell]) -> Tensor:
    """The logits (cell, vocab) of a run in which each cell in turn has its part of `values`; all are of one spot.

    Only the layers from the spot up are computed; the states below are those of `into`. With a cell that spans its
    whole spot in the stream, the logits are those of the run that the values are from, bit for bit:

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> one, two = (read(lab.model, lab.trace(f"Leo lives in {city}.").ids, []) for city in ("Oslo", "Lima"))
    >>> torch.equal(swapped(lab.model, one, two.values, [Cell("h.2.resid_pre", {})])[0], two.logits)
    True
    """
    spot, n_layer = cells[0].spot, model.config.n_layer
    layer = min(layer_of(spot, n_layer), n_layer - 1)

    def change(tensor: Tensor, at: At) -> Tensor:
        changed = tensor.clone()
        for row, cell in enumerate(cells):
            index = index_of(cell, at.axes)
            changed[(row, *index)] = values[spot][(0, *index)]
        return changed

    states = into.values[f"h.{layer}.resid_pre"].expand(len(cells), -1, -1)
    hooks = Hooks(edit={spot: change}, known=Known(layer, states))
    ids = into.ids.expand(len(cells), -1)
    logits: Tensor = without_gradients(model, input_ids=ids, use_cache=False, hooks=hooks, logits_to_keep=1).logits
    return logits[:, -1].float().cpu()


def index_of(cell: Cell, axes: Sequence[str]) -> tuple[int | slice, ...]:
    """Where a cell is in a spot's tensor, the batch axis left out."""
    return tuple(cell.where.get(axis, slice(None)) for axis in axes[1:])


class _AllAtOnce(Donors):
    """Donors of which one run of some texts gives all spots, not a run for each."""

    spots: tuple[str, ...] = ()
    last: tuple[object, Hooks | None] = None, None

    def read_anew(self, spot: str, rows: Sequence[Sequence[int]]) -> Tensor:
        key = tuple(map(tuple, rows))
        if self.last[0] != key:
            hooks = Hooks(self.spots)
            ids = torch.tensor(rows, device=self.ids.device)
            without_gradients(self.model, input_ids=ids, use_cache=False, hooks=hooks)
            self.last = key, hooks
        hooks = self.last[1] or Hooks()
        return hooks[spot]


def in_place(
    model: BloomForCausalLM, tokenizer: BloomTokenizerFast, base: Run, instead: NamedEdit, spots: Sequence[str]
) -> dict[str, Tensor]:
    """What an edit puts at each spot, made of the values of a run."""
    beside = [spot for spot in spots if spot.endswith("probs")]
    donors = _AllAtOnce(model, tokenizer, weights_hash(model), base.ids, base.values.__getitem__, beside)
    donors.spots = tuple(spots)
    axes = model.hook_names()
    found = {}
    for spot in spots:
        (edit,) = made([instead], donors, spot)
        found[spot] = edited(base.values[spot], edit, At(spot, tuple(axes[spot].axes.split()), 0))
    return found


def estimated(
    model: BloomForCausalLM,
    base: Run,
    values: Mapping[str, Tensor],
    pair: tuple[int, int],
    spots: Sequence[str],
    steps: int,
) -> Iterator[dict[str, Tensor]]:
    """The change of D that each number of each spot makes, to first order: (spot's axes without batch), in float64.

    After each batch of gradients comes the sum so far, the last being the estimate. Without steps the gradient is that
    of the run itself; else the mean of as many runs, at the middle of each step of the way to the other embedding.
    """
    start, end = base.values["h.0.resid_pre"], values["h.0.resid_pre"]
    shares = torch.tensor([(step + 0.5) / steps for step in range(steps)] or [0.0]).to(start)
    total: dict[str, Tensor] = {}
    for some in shares.split(rows_at_once(model, base.ids.shape[1])):
        states = start + some[:, None, None] * (end - start)
        for spot, found in gradients(model, base.ids, states, pair, spots)[1].items():
            change = (values[spot] - base.values[spot])[0].double() * found.double().sum(0) / len(shares)
            total[spot] = total[spot] + change.cpu() if spot in total else change.cpu()
        yield total
