"""Attention: every head in small, one head's matrix, and the sum behind each of its cells.

`attention_payload(trace)` is everything the picture needs, as numbers and bytes. `AttentionView` carries it to the
page and listens.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from bloomlab.lens.attention import rollout
from bloomlab.lens.reads import check
from bloomlab.model.alibi import slopes
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._reading import ReadingView, code_parts, text_picture
from bloomlab.views._static import names, static_html, static_text

if TYPE_CHECKING:
    from bloomlab.trace import Trace

READ = ["attn.scores", "attn.probs"]
TILE = 64  # a thumbnail has at most this many cells a side; of a longer text it shows the largest of each block
EXACT_BYTES = 1_000_000  # exact values of the whole layer cross to the page if they fit here, else of one head
SAVED_BYTES = 24_000_000  # and into a saved page those of all heads, if they fit here
SAVED_AVERAGES = 6_000_000  # and all means and rollouts, if they fit here

CODE = """\
import bloomlab
from bloomlab.lens.attention import head_average, rollout
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
probs = trace.stack("attn.probs")[:, 0]
means, flows = head_average(probs), rollout(probs)
patterns = {"head": probs[{layer}, {head}], "layer": means[{layer}], "all": means.mean(0), "rollout": flows[{layer}]}
print(patterns["{pattern}"][{query}, {key}])  # what the matrix shows; of "head", the probability the model used
scores = trace["h.{layer}.attn.scores"][0, {head}]
print(score_ledger(scores, slopes(HEADS)[{head}], query={query}, key={key}))
"""


# ---- what the picture needs: pure functions of a trace ----


def attention_payload(trace: "Trace", layer: int = 0, head: int = 0) -> dict[str, Any]:
    """All that the page draws from: every head in small, the layer of one head exactly.

    Arrays are bytes, and of a matrix only the causal half (key ≤ query), row by row: the cell of a query and a key
    is number query·(query + 1)/2 + key. `thumbs` holds a byte a cell for all heads of all layers, the colour step
    round(255·√p); see `exact_values` for the rest.
    """
    check(trace, READ)
    layers, heads, tokens = trace.config.n_layer, trace.config.n_head, len(trace.tokens)
    block = max(1, math.ceil(tokens / TILE))
    picture = {**text_picture(trace), "slopes": slopes(heads), "block": block}
    thumbs = b"".join(
        _causal(colour_steps(trace[f"h.{layer}.attn.probs"][0], block)).numpy().tobytes() for layer in range(layers)
    )
    first, count = exact_reach(heads, tokens, layer, head)
    return {"picture": picture, "thumbs": thumbs, **exact_values(trace, first, count)}


def strongest(trace: "Trace", layer: int, head: int) -> dict[str, int]:
    """The last token as the query, and the token before it that it looks at most: how far away that is matters."""
    check(trace, READ)
    last = len(trace.tokens) - 1
    return {"query": last, "key": int(trace[f"h.{layer}.attn.probs"][0, head, last, : last or 1].argmax())}


def exact_reach(heads: int, tokens: int, layer: int, head: int) -> tuple[int, int]:
    """Which heads' exact values to send along: the first, numbered through all layers, and how many."""
    whole_layer = 2 * 4 * heads * tokens * (tokens + 1) // 2
    return (layer * heads, heads) if whole_layer <= EXACT_BYTES else (layer * heads + head, 1)


def exact_values(trace: "Trace", first: int, count: int) -> dict[str, Any]:
    """The scores before ALiBi and the probabilities of `count` heads, numbered through all layers, as float32."""
    heads = trace.config.n_head
    values: dict[str, Any] = {"exact": {"first": first, "count": count}}
    for name in ("scores", "probs"):
        values[name] = b"".join(
            _causal(trace[f"h.{number // heads}.attn.{name}"][0, number % heads].detach().float().cpu())
            .numpy().tobytes()
            for number in range(first, first + count)
        )  # fmt: skip
    return values


def average_values(trace: "Trace", patterns: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Patterns of several heads together, as float32 cells."""
    matrices = together(trace, patterns)
    return {
        "averaged": {"patterns": [list(pattern) for pattern in patterns]},
        "averages": b"".join(_causal(matrix).numpy().tobytes() for matrix in matrices),
    }


def together(trace: "Trace", patterns: Sequence[tuple[str, int]]) -> list[Tensor]:
    """Patterns of several heads, (query, key) each: ("layer", 2), ("all", 0), ("rollout", 2).

    The mean over the heads of a layer; over all heads of all layers; and `bloomlab.lens.attention.rollout` up to a
    layer.
    """
    if not patterns:
        return []
    each = (trace[f"h.{layer}.attn.probs"][0].detach().float().cpu().mean(0) for layer in range(trace.config.n_layer))
    means = torch.stack(list(each))  # (layer, query, key)
    flows = rollout(means[:, None]) if any(name == "rollout" for name, _ in patterns) else means
    found = {"layer": means.__getitem__, "all": lambda _: means.mean(0), "rollout": flows.__getitem__}
    return [found[name](layer) for name, layer in patterns]


def saved_averages(trace: "Trace", shown: list[tuple[str, int]]) -> dict[str, Any]:
    """For a page that has no kernel to ask: all of them, or what is shown if a file should not hold so many."""
    layers, tokens = trace.config.n_layer, len(trace.tokens)
    every = [("all", 0), *((name, layer) for name in ("layer", "rollout") for layer in range(layers))]
    fits = 4 * len(every) * tokens * (tokens + 1) // 2 <= SAVED_AVERAGES
    return average_values(trace, every if fits else shown)


def saved_values(trace: "Trace", layer: int, head: int) -> dict[str, Any]:
    """For a page that has no kernel to ask: exact values of as many heads as a file should hold."""
    heads, tokens = trace.config.n_head, len(trace.tokens)
    first, count = 0, trace.config.n_layer * heads
    if 2 * 4 * count * tokens * (tokens + 1) // 2 > SAVED_BYTES:
        first, count = exact_reach(heads, tokens, layer, head)
    return exact_values(trace, first, count)


def _causal(matrix: Tensor) -> Tensor:
    """The half with key ≤ query of the last two axes, row by row: (…, query, key) -> (…, cell)."""
    rows, columns = torch.tril_indices(*matrix.shape[-2:])
    return matrix[..., rows, columns].contiguous()


def colour_steps(probs: Tensor, block: int) -> Tensor:
    """(head, query, key) -> round(255·√p), of each block of cells the largest: no thin stripe gets lost."""
    probs = probs.detach().float().cpu()
    if block > 1:
        probs = torch.nn.functional.max_pool2d(probs, block, ceil_mode=True)
    return probs.sqrt().mul(255).round().to(torch.uint8)


# ---- the view: traits only ----


class AttentionView(ReadingView):
    """Every attention head of a text, one head's matrix, and the sum behind each of its cells.

    `read(text)` gives the Trace to show, with READ of every layer.

        view = lab.attention("Leo lives in Oslo.")
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # point at a cell, here or in the page
        view.mode = "content"                                        # or "position", "both", "probability"
        view.pattern = "rollout"                                     # or "layer", "all": means; "head"
        view.show("Another text.")
        view.trace                                                   # the numbers themselves
        view.save("leo.html")                                        # works offline; also .png and .svg
    """

    module = "attention"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    pattern = traitlets.Enum(("head", "layer", "all", "rollout"), "head").tag(sync=True)
    mode = traitlets.Enum(("probability", "content", "position", "both"), "probability").tag(sync=True)

    # what the page draws
    thumbs = traitlets.Bytes().tag(sync=True)
    exact = traitlets.Dict({"first": 0, "count": 0}).tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)
    averaged: Any = traitlets.Dict({"patterns": []}).tag(sync=True)
    averages = traitlets.Bytes().tag(sync=True)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = attention_payload(trace, place["layer"], place["head"])
        payload |= average_values(trace, self._together(place["layer"]))
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        for name, value in payload.items():
            setattr(self, name, value)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        return strongest(trace, place["layer"], place["head"])

    def _saved(self) -> dict[str, Any]:
        trace = self._shown()
        exact = saved_values(trace, self.layer, self.head)
        return super()._saved() | exact | saved_averages(trace, self._together(self.layer))

    def _matrix(self) -> tuple[Tensor, str]:
        """The probabilities that the matrix shows, (query, key), and whose they are."""
        trace, patterns = self._shown(), self._together(self.layer)
        words = {
            "head": f"layer {self.layer}, head {self.head}",
            "layer": f"mean of the {trace.config.n_head} heads of layer {self.layer}",
            "all": f"mean of all {trace.config.n_layer * trace.config.n_head} heads",
            "rollout": f"rollout up to layer {self.layer}",
        }[self.pattern]
        matrix = together(trace, patterns)[0] if patterns else trace[f"h.{self.layer}.attn.probs"][0, self.head]
        return matrix, words

    def _still(self) -> str:
        if self.trace is None:
            return "<p>bloomlab attention: nothing read yet.</p>"
        matrix, words = self._matrix()
        steps = colour_steps(matrix[None], self.picture["block"])[0].numpy()
        return static_html(self.picture, self.thumbs, steps, words, self.query)

    def _draw(self, path: Path) -> None:
        from bloomlab.views._figure import matrix_figure, save_figure  # matplotlib, only when it is asked for

        matrix, words = self._matrix()
        save_figure(matrix_figure, path, matrix, names(self.picture), words, self.picture["stamp"])

    def __repr__(self) -> str:
        return static_text(self.picture, self.layer, self.head)

    @traitlets.observe("layer", "head")
    def _send_exact_values(self, _: dict[str, Any]) -> None:
        number = self.layer * self.picture.get("heads", 0) + self.head
        if self.trace is None or 0 <= number - self.exact["first"] < self.exact["count"]:
            return
        first, count = exact_reach(self.picture["heads"], len(self.picture["tokens"]), self.layer, self.head)
        with self.hold_sync():
            for name, value in exact_values(self.trace, first, count).items():
                setattr(self, name, value)

    def _together(self, layer: int) -> list[tuple[str, int]]:
        """The pattern of several heads that is shown, if it is one."""
        return [] if self.pattern == "head" else [(self.pattern, 0 if self.pattern == "all" else layer)]

    @traitlets.observe("layer", "pattern")
    def _send_averages(self, _: dict[str, Any]) -> None:
        wanted = self._together(self.layer)
        if self.trace is None or not wanted or list(wanted[0]) in self.averaged["patterns"]:
            return
        with self.hold_sync():
            for name, value in average_values(self.trace, wanted).items():
                setattr(self, name, value)
