"""The explorer: a sentence, every attention head, one head's matrix, and the sum behind each of its cells.

`explorer_payload(trace)` is everything the picture needs, as numbers and bytes. `Explorer` carries it to the
page and listens: it computes nothing itself, `read` does.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from bloomlab.chips import chips
from bloomlab.errors import InputError
from bloomlab.model.alibi import slopes
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._page import page
from bloomlab.views._reading import ReadingView, code_parts, stamp
from bloomlab.views._static import names, static_html, static_text

if TYPE_CHECKING:
    from bloomlab.trace import Trace

TILE = 64  # a thumbnail has at most this many cells a side; of a longer text it shows the largest of each block
EXACT_BYTES = 1_000_000  # exact values of the whole layer cross to the page if they fit here, else of one head
SAVED_BYTES = 24_000_000  # and into a saved page those of all heads, if they fit here

CODE = """\
import bloomlab
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
print(trace["h.{layer}.attn.probs"][0, {head}, {query}, {key}])  # the probability the model used
scores = trace["h.{layer}.attn.scores"][0, {head}]
print(score_ledger(scores, slopes(HEADS)[{head}], query={query}, key={key}))
"""


# ---- what the picture needs: pure functions of a trace ----


def explorer_payload(trace: "Trace", layer: int = 0, head: int = 0) -> dict[str, Any]:
    """All that the page draws from: every head in small, the layer of one head exactly.

    Arrays are bytes, and of a matrix only the causal half (key ≤ query), row by row: the cell of a query and a key
    is number query·(query + 1)/2 + key. `thumbs` holds a byte a cell for all heads of all layers, the colour step
    round(255·√p); see `exact_values` for the rest.
    """
    layers, heads, tokens = trace.config.n_layer, trace.config.n_head, list(trace.tokens)
    block = max(1, math.ceil(len(tokens) / TILE))
    picture = {
        "text": trace.text,
        "layers": layers,
        "heads": heads,
        "slopes": slopes(heads),
        "tokens": [{"id": token.id, "bytes": token.bytes.hex(" ")} for token in tokens],
        "chips": [{"shown": chip.shown, "tokens": list(chip.tokens)} for chip in chips(tokens)],
        "block": block,
        "stamp": stamp(trace.provenance),
    }
    thumbs = b"".join(
        _causal(_largest(trace[f"h.{layer}.attn.probs"][0].detach().float().cpu(), block))
        .sqrt().mul(255).round().to(torch.uint8).numpy().tobytes()
        for layer in range(layers)
    )  # fmt: skip
    first, count = exact_reach(heads, len(tokens), layer, head)
    return {"picture": picture, "thumbs": thumbs, **exact_values(trace, first, count)}


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


def saved_state(trace: "Trace", picture: dict[str, Any], thumbs: bytes, layer: int, head: int) -> dict[str, Any]:
    """The picture for a page that has no kernel to ask: exact values of as many heads as a file should hold."""
    heads, tokens = trace.config.n_head, len(trace.tokens)
    first, count = 0, trace.config.n_layer * heads
    if 2 * 4 * count * tokens * (tokens + 1) // 2 > SAVED_BYTES:
        first, count = exact_reach(heads, tokens, layer, head)
    return {"picture": picture, "thumbs": thumbs, **exact_values(trace, first, count)}


def _causal(matrix: Tensor) -> Tensor:
    """The half with key ≤ query of the last two axes, row by row: (…, query, key) -> (…, cell)."""
    rows, columns = torch.tril_indices(*matrix.shape[-2:])
    return matrix[..., rows, columns].contiguous()


def _largest(probs: Tensor, block: int) -> Tensor:
    """The largest value of each block of cells, so that no thin stripe gets lost in a thumbnail."""
    if block == 1:
        return probs
    return torch.nn.functional.max_pool2d(probs, block, ceil_mode=True)


# ---- the view: traits only ----


class Explorer(ReadingView):
    """A sentence, every attention head, one head's matrix, and the sum behind each of its cells.

    `read(text)` gives the Trace to show, with "attn.scores" and "attn.probs" of every layer; it is called again
    for each text typed into the page. `setup` is the Python that made `lab`, for `.code`.

        view = Explorer(read, "Leo lives in Oslo.")
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # point at a cell, here or in the page
        view.show("Another text.")
        view.trace                                                   # the numbers themselves
        view.save("leo.html")                                        # works offline; also .png and .svg
    """

    _esm = module_text("explorer")
    _css = style_text("explorer")

    # what the page sets
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    key = traitlets.Int(0).tag(sync=True)
    mode = traitlets.Enum(("probability", "content", "position", "both"), "probability").tag(sync=True)

    # what the page draws
    thumbs = traitlets.Bytes().tag(sync=True)
    exact = traitlets.Dict({"first": 0, "count": 0}).tag(sync=True)
    scores = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)

    def _take(self, trace: "Trace") -> None:
        layer = min(self.layer, trace.config.n_layer - 1)
        head = min(self.head, trace.config.n_head - 1)
        payload = explorer_payload(trace, layer, head)
        last = len(trace.tokens) - 1
        strongest = int(trace[f"h.{layer}.attn.probs"][0, head, last].argmax())
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        self.trace = trace  # the traits below are observed, and what is sent along is cut from it
        for name, value in payload.items():
            setattr(self, name, value)
        self.layer, self.head, self.query, self.key = layer, head, last, strongest

    @property
    def code(self) -> str:
        """The Python that computes the numbers of the selected cell."""
        parts = self.picture.get("code", [])
        return "".join(str(getattr(self, part)) if i % 2 else part for i, part in enumerate(parts))

    def save(self, path: str | Path) -> Path:
        """Write the view to a file: .html (interactive, needs no network), .png or .svg (the head's matrix)."""
        path = Path(path)
        if self.trace is None:
            raise InputError("there is nothing to save yet; show a text first: view.show('Leo lives in Oslo.')")
        if path.suffix == ".html":
            state = saved_state(self.trace, self.picture, self.thumbs, self.layer, self.head)
            state |= {name: getattr(self, name) for name in ("layer", "head", "query", "key", "mode", "scale")}
            still = static_html(self.picture, self.thumbs, self.layer, self.head, self.query)
            path.write_text(page("explorer", state, still, self.text), encoding="utf-8")
        elif path.suffix in (".png", ".svg"):
            from bloomlab.views._figure import matrix_figure  # matplotlib, only when it is asked for

            probs = self.trace[f"h.{self.layer}.attn.probs"][0, self.head]
            title = f"layer {self.layer}, head {self.head}"
            matrix_figure(probs, names(self.picture), title, self.picture["stamp"]).savefig(path)
        else:
            raise InputError(f"a view is saved as .html, .png or .svg; got {str(path)!r}")
        return path

    def __repr__(self) -> str:
        return static_text(self.picture, self.layer, self.head)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget; and for a page without a kernel, or a terminal, the same in still form."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"] = static_html(self.picture, self.thumbs, self.layer, self.head, self.query)
        return data, metadata

    # ---- listening to the page ----

    @traitlets.validate("layer", "head", "query", "key")
    def _inside_the_picture(self, proposal: dict[str, Any]) -> int:
        """A place that a shorter text no longer has becomes the last one it has."""
        value = max(0, int(proposal["value"]))
        if not self.picture:
            return value
        tokens = len(self.picture["tokens"])
        name = proposal["trait"].name
        ends = {"layer": self.picture["layers"], "head": self.picture["heads"], "query": tokens}
        return min(value, self.query if name == "key" else ends[name] - 1)

    @traitlets.observe("query")
    def _no_key_after_the_query(self, _: dict[str, Any]) -> None:
        self.key = min(self.key, self.query)

    @traitlets.observe("layer", "head")
    def _send_exact_values(self, _: dict[str, Any]) -> None:
        number = self.layer * self.picture.get("heads", 0) + self.head
        if self.trace is None or 0 <= number - self.exact["first"] < self.exact["count"]:
            return
        first, count = exact_reach(self.picture["heads"], len(self.picture["tokens"]), self.layer, self.head)
        with self.hold_sync():
            for name, value in exact_values(self.trace, first, count).items():
                setattr(self, name, value)
