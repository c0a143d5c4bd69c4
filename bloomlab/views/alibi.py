"""The ALiBi view: how steep each head's line is, how far that lets it look, and what it makes of it.

`alibi_payload(trace)` is everything the picture needs, as numbers and bytes. `AlibiView` carries it to the page.
Its length lab asks whether longer texts are harder; it runs only when someone asks.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import traitlets
from torch import Tensor

from bloomlab.chips import chips
from bloomlab.errors import BloomlabError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import alibi
from bloomlab.lens.attention import content_only, overlap, position_only
from bloomlab.lens.lengths import LengthLoss, Progress, length_lab
from bloomlab.model.alibi import slopes
from bloomlab.tiny.measure import validation_rows
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._page import page
from bloomlab.views._reading import ReadingView, code_parts, stamp

if TYPE_CHECKING:
    from bloomlab.trace import Trace

READ = ["attn.scores", "attn.probs"]
MEASURED = ("distance", "previous", "position", "content")  # of every head of every layer
LENGTHS = [32, 64, 128, 256, 512, 1024]  # of the texts that the embedded model's length lab reads
TRAINED = 128  # the embedded model was trained on texts of so many tokens
FEWEST = 64  # tokens behind a point of the length lab; fewer are too noisy to show

CODE = """\
import bloomlab
from bloomlab.lens import alibi, attention
from bloomlab.model.alibi import slopes
from bloomlab.tiny.measure import validation_rows
from bloomlab.tokenizer import BloomTokenizerFast

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
slope = slopes(HEADS)[{head}]
print(slope, alibi.reach(slope), alibi.previous_token_bound(slope))
print(alibi.bias_by_distance([slope], {distance} + 1)[0, {distance}])  # nats, {distance} tokens back
print(alibi.mean_distance(trace)[{layer}, {head}])  # tokens, layer {layer}, head {head}
print(attention.position_share(trace)[{layer}, {head}], attention.content_share(trace)[{layer}, {head}])
"""


class LengthTexts(NamedTuple):
    """What a length lab reads: which texts in words, the the length trained on if known, else 0, and how to run it."""

    says: str
    trained: int
    run: Callable[[], Iterator[Progress]]


# ---- what the length lab reads ----


def document_rows(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> LengthTexts:
    """For the embedded model: documents that training never drew, up to 8 times as long as what it was trained on."""
    ids = validation_rows(tokenizer, length=LENGTHS[-1], rows=4)
    says = f"4 rows of {LENGTHS[-1]} tokens of documents that training never drew, cut into shorter texts"
    return LengthTexts(says, TRAINED, lambda: length_lab(model, ids, LENGTHS))


def text_rows(model: BloomForCausalLM, texts: Sequence[Sequence[int]]) -> LengthTexts:
    """For any model: its own texts, as ids, all cut to the length of the shortest. Nothing is repeated or joined.

    Raises:
        InputError: the shortest has fewer than 64 tokens, so that there are no two lengths to compare.
    """
    least = min(map(len, texts))
    lengths = [32 * 2**i for i in range(least.bit_length()) if 32 * 2**i <= least]
    if len(lengths) < 2:
        raise InputError(
            f"the length lab needs texts of at least 64 tokens, to compare 32 with 64, but the shortest has {least}; "
            "pass longer ones: lab.alibi(text, texts=[…])"
        )
    ids = torch.tensor([list(text[:least]) for text in texts])
    sizes = ", ".join(str(len(text)) for text in texts[:5]) + (", …" if len(texts) > 5 else "")
    which = f"a text of {sizes} tokens" if len(texts) == 1 else f"{len(texts)} texts of {sizes} tokens"
    says = f"{which}, the first {lengths[-1]} and shorter pieces"
    return LengthTexts(says, 0, lambda: length_lab(model, ids, lengths))


# ---- what the picture needs: pure functions of a trace ----


def alibi_payload(trace: "Trace") -> dict[str, Any]:
    """All that the page draws from.

    `picture["of_heads"]` has what follows from the slopes and the text's length alone; `measured` what the heads do,
    float32 (what, layer, head) with what = MEASURED: mean distance in tokens, share given to the previous token,
    share of the pattern that position alone explains, share that content alone explains.
    """
    layers, heads, tokens = trace.config.n_layer, trace.config.n_head, list(trace.tokens)
    head_slopes = slopes(heads)
    alone = position_only(head_slopes, len(tokens))
    picture = {
        "text": trace.text,
        "layers": layers,
        "heads": heads,
        "slopes": head_slopes,
        "tokens": [{"id": token.id, "bytes": token.bytes.hex(" ")} for token in tokens],
        "chips": [{"shown": chip.shown, "tokens": list(chip.tokens)} for chip in chips(tokens)],
        "of_heads": {
            "reach": [alibi.reach(slope) for slope in head_slopes],
            "bound": [alibi.previous_token_bound(slope) for slope in head_slopes],
            "bound_here": [bound_in_text(slope, len(tokens)) for slope in head_slopes],
            "alone": alibi.mean_distance(alone[None])[0].tolist(),
            "tie": [alibi.first_tie(slope, torch.bfloat16) for slope in head_slopes],
        },
        "stamp": stamp(trace.provenance),
    }
    measured = [
        measure(trace[f"h.{layer}.attn.probs"], trace[f"h.{layer}.attn.scores"], alone) for layer in range(layers)
    ]
    return {"picture": picture, "measured": torch.stack(measured, 1).float().contiguous().numpy().tobytes()}


def measure(probs: Tensor, scores: Tensor, alone: Tensor) -> Tensor:
    """One layer's heads: MEASURED (what, head), of probs and scores (batch, head, query, key), the first text's."""
    probs, scores = (tensor[:1].detach().float().cpu() for tensor in (probs, scores))
    return torch.stack(
        [
            alibi.mean_distance(probs)[0],
            previous_share(probs[0]),
            overlap(probs[0], alone),
            overlap(probs[0], content_only(scores)[0]),
        ]
    )


def previous_share(probs: Tensor) -> Tensor:
    """What a head gives the token before, the mean over all queries that have one: (…, query, key) -> (…).

    >>> previous_share(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.3, 0.6]]))
    tensor(0.4000)
    """
    given = probs.diagonal(-1, -2, -1)
    return given.mean(-1) if given.shape[-1] else torch.zeros(probs.shape[:-2])


def bound_in_text(slope: float, tokens: int) -> float:
    """The most a head without a taste for content can give the token before, in a text so short, as a mean.

    The second token has one earlier token to look at, the third two, …: `previous_token_bound` of each.

    >>> bound_in_text(0.5, 2), round(bound_in_text(0.6931472, 3), 4)  # (1 + 2/3) / 2
    (1.0, 0.8333)
    """
    bounds = [alibi.previous_token_bound(slope, earlier) for earlier in range(1, tokens)]
    return sum(bounds) / len(bounds) if bounds else 0.0


def curve(result: LengthLoss) -> dict[str, Any]:
    """A length's line: its mean loss, and [first position, last, loss] wherever at least FEWEST tokens were read."""
    parts = [part for part in result.by_octave() if (part.last - part.first + 1) * result.rows >= FEWEST]
    return {
        "length": result.length,
        "rows": result.rows,
        "mean": result.mean,
        "points": [[part.first, part.last, part.mean] for part in parts],
    }


# ---- without script ----


def still_text(picture: dict[str, Any], layer: int, head: int) -> str:
    """One line for a terminal."""
    if not picture:
        return "AlibiView(nothing read yet; view.show('Leo lives in Oslo.') reads a text)"
    text, reach = picture["text"], picture["of_heads"]["reach"]
    return (
        f"AlibiView({text[:57] + '…' if len(text) > 58 else text!r}: {len(picture['tokens'])} tokens, "
        f"{picture['layers']} layers × {picture['heads']} heads, reach {min(reach):.0f} to {max(reach):.0f} tokens, "
        f"shows layer {layer}, head {head}; {picture['stamp']})"
    )


def still_html(picture: dict[str, Any], measured: bytes, layer: int) -> str:
    """The text's chips, and a row of numbers for every head of one layer."""
    if not picture:
        return "<p>bloomlab, ALiBi: nothing read yet.</p>"
    chip_row = " ".join(f"<code><bdi>{escape(chip['shown'])}</bdi></code>" for chip in picture["chips"])
    of_heads = picture["of_heads"]
    here = measured_of(picture, measured)[:, layer].T.tolist()
    rows = "".join(
        f"<tr><td>{head}</td><td>{slope:.4g}</td><td>{of_heads['reach'][head]:.0f}</td><td>{distance:.1f}</td>"
        f"<td>{of_heads['bound_here'][head]:.0%}</td><td>{previous:.0%}</td><td>{position:.0%}</td>"
        f"<td>{content:.0%}</td></tr>"
        for head, (slope, (distance, previous, position, content)) in enumerate(
            zip(picture["slopes"], here, strict=True)
        )
    )
    names = (
        "head", "slope", "reach, tokens", "looks back on average, tokens", "previous token: bound in this text",
        "gets", "explained by position alone", "by content alone",
    )  # fmt: skip
    return (
        f"<div><p>{chip_row}</p><p>ALiBi: each head takes slope × distance off a key's score; its reach is where "
        f"3 nats are gone. Heads of layer {layer}:</p><table><thead><tr>"
        + "".join(f"<th>{name}</th>" for name in names)
        + f"</tr></thead><tbody>{rows}</tbody></table><p><small>{escape(picture['stamp'])} · run the cell to explore"
        "</small></p></div>"
    )


def measured_of(picture: dict[str, Any], measured: bytes) -> Tensor:
    """The bytes as numbers again: (what, layer, head)."""
    shape = (len(MEASURED), picture["layers"], picture["heads"])
    return torch.frombuffer(bytearray(measured), dtype=torch.float32).view(shape)


# ---- the view: traits only ----


class AlibiView(ReadingView):
    """How steep each head's line is, how far that lets it look, and what it makes of it.

    `read(text)` gives the Trace to show, with READ of every layer. `texts` is what the length lab reads, or says in
    an InputError why there is nothing fit to be read.

        view = AlibiView(read, "Leo lives in Oslo.")
        view.layer, view.head = 2, 5
        view.query, view.key = 7, 4                   # two tokens: their distance is what the lines are read at
        view.run_length_lab()                         # loss by position; Ctrl-C keeps what is finished
        view.save("leo.html")                         # works offline; also .png and .svg
    """

    _esm = module_text("alibi")
    _css = style_text("alibi")

    # what the page sets
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    key = traitlets.Int(0).tag(sync=True)
    far = traitlets.Int(0, min=0, max=4096).tag(sync=True)  # how far the lines are drawn; 0: as far as the text
    wanted = traitlets.Int(0).tag(sync=True)  # grows by one for each run of the length lab that is asked for
    stopped = traitlets.Int(0).tag(sync=True)  # the number of a run that is no longer wanted

    # what the page draws
    measured = traitlets.Bytes().tag(sync=True)
    lengths = traitlets.Dict({"state": "idle", "done": 0, "total": 0, "message": "", "curves": []}).tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        text: "str | Trace" = "",
        setup: str = "",
        texts: "Callable[[str], LengthTexts] | None" = None,
        **traits: Any,
    ) -> None:
        self._texts = texts
        self._run: Iterator[Progress] | None = None
        self.length_losses: tuple[LengthLoss, ...] = ()
        super().__init__(read, text, setup, **traits)

    def _take(self, trace: "Trace") -> None:
        payload = alibi_payload(trace)
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        last = len(trace.tokens) - 1
        for name, value in payload.items():
            setattr(self, name, value)
        self.layer, self.head = self.layer, self.head  # a smaller model moves them inside
        self.query, self.key = last, max(0, last - 1)

    @property
    def code(self) -> str:
        """The Python that computes the numbers of the selected head and distance."""
        parts = self.picture.get("code", [])
        numbers = {"layer": self.layer, "head": self.head, "distance": self.query - self.key}
        return "".join(str(numbers[part]) if i % 2 else part for i, part in enumerate(parts))

    def save(self, path: str | Path) -> Path:
        """Write the view to a file: .html (interactive, needs no network), .png or .svg (lines and reach)."""
        path = Path(path)
        if self.trace is None:
            raise InputError("there is nothing to save yet; show a text first: view.show('Leo lives in Oslo.')")
        if path.suffix == ".html":
            names = ("picture", "measured", "layer", "head", "query", "key", "far", "scale", "lengths")
            state = {name: getattr(self, name) for name in names}
            if self.lengths["state"] in ("running", "error"):
                state["lengths"] = {**self.lengths, "state": "done" if self.lengths["curves"] else "idle"}
            still = still_html(self.picture, self.measured, self.layer)
            path.write_text(page("alibi", state, still, self.text), encoding="utf-8")
        elif path.suffix in (".png", ".svg"):
            from bloomlab.views._alibi_figure import alibi_figure  # matplotlib, only when it is asked for

            measured = measured_of(self.picture, self.measured)
            alibi_figure(self.picture, measured[0].numpy(), self.layer, self.head).savefig(path)
        else:
            raise InputError(f"a view is saved as .html, .png or .svg; got {str(path)!r}")
        return path

    def __repr__(self) -> str:
        return still_text(self.picture, self.layer, self.head)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget; and for a page without a kernel, or a terminal, the same in still form."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"] = still_html(self.picture, self.measured, self.layer)
        return data, metadata

    # ---- the length lab ----

    def run_length_lab(self) -> tuple[LengthLoss, ...]:
        """Measure the loss by position for texts of growing length, here and now; Ctrl-C keeps what is finished.

        Raises:
            InputError: the view has no texts that are long enough; the message says what to pass.
        """
        self._start()
        try:
            while self._step():
                pass
        except KeyboardInterrupt:
            self._end("stopped")
        return self.length_losses

    @traitlets.observe("wanted")
    def _run_when_asked(self, _: dict[str, Any]) -> None:
        try:
            self._start()
        except BloomlabError as error:
            self.lengths = {**self.lengths, "state": "error", "message": str(error)}
            return
        try:
            asyncio.get_running_loop().call_soon(self._step_and_wait)
        except RuntimeError:  # no event loop, so nothing could stop it
            while self._safe_step():
                pass

    @traitlets.observe("stopped")
    def _stop(self, _: dict[str, Any]) -> None:
        if self._run is not None:
            self._end("stopped")

    def _step_and_wait(self) -> None:
        """One batch; the page's other wishes, to stop among them, have their turn before the next."""
        if self._safe_step():
            asyncio.get_running_loop().call_later(0.01, self._step_and_wait)

    def _safe_step(self) -> bool:
        try:
            return self._step()
        except KeyboardInterrupt:
            self._end("stopped")
        except Exception as error:  # nobody is there to catch it: it is shown where it was asked for
            self._end("error", f"{type(error).__name__}: {error}")
        return False

    def _start(self) -> None:
        if self._texts is None:
            raise InputError("this view was made without a model to measure; lab.alibi(text) has a length lab")
        texts = self._texts(self.text)
        self._run = texts.run()
        self.lengths = {
            "state": "running",
            "done": 0,
            "total": 0,
            "message": texts.says,
            "trained": texts.trained,
            "curves": [],
        }

    def _step(self) -> bool:
        """Read one more batch; whether there is another."""
        step = next(self._run, None) if self._run is not None else None
        if step is None:
            if self._run is not None:
                self._end("done")
            return False
        self.length_losses = step.results
        self.lengths = {
            **self.lengths,
            "done": step.done,
            "total": step.total,
            "curves": [curve(result) for result in step.results],
        }
        return True

    def _end(self, state: str, message: str = "") -> None:
        self._run = None
        self.lengths = {**self.lengths, "state": state, "message": message or self.lengths["message"]}

    # ---- listening to the page ----

    @traitlets.validate("layer", "head", "query", "key")
    def _inside_the_picture(self, proposal: dict[str, Any]) -> int:
        """A place that a shorter text no longer has becomes the last one it has."""
        value = max(0, int(proposal["value"]))
        if not self.picture:
            return value
        name = proposal["trait"].name
        tokens = len(self.picture["tokens"])
        ends = {"layer": self.picture["layers"], "head": self.picture["heads"], "query": tokens}
        return min(value, self.query if name == "key" else ends[name] - 1)

    @traitlets.observe("query")
    def _no_key_after_the_query(self, _: dict[str, Any]) -> None:
        self.key = min(self.key, self.query)
