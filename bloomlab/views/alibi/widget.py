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

from bloomlab.errors import BloomlabError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import alibi
from bloomlab.lens.attention import content_only, overlap, position_only
from bloomlab.lens.lengths import LengthLoss, Progress, length_lab
from bloomlab.lens.reads import check
from bloomlab.model.alibi import slopes
from bloomlab.tiny.measure import validation_rows
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._reading import ReadingView, code_parts, text_picture

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
    check(trace, READ)
    layers, tokens, head_slopes = trace.config.n_layer, len(trace.tokens), slopes(trace.config.n_head)
    alone = position_only(head_slopes, tokens)
    picture = {
        **text_picture(trace),
        "slopes": head_slopes,
        "of_heads": {
            "reach": [alibi.reach(slope) for slope in head_slopes],
            "bound": [alibi.previous_token_bound(slope) for slope in head_slopes],
            "bound_here": [bound_in_text(slope, tokens) for slope in head_slopes],
            "alone": alibi.mean_distance(alone[None])[0].tolist(),
            "tie": [alibi.first_tie(slope, torch.bfloat16) for slope in head_slopes],
        },
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

    module = "alibi"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
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

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = alibi_payload(trace)
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        for name, value in payload.items():
            setattr(self, name, value)

    @property
    def distance(self) -> int:
        """Between the two selected tokens: the lines are read there."""
        return int(self.query - self.key)

    def _saved(self) -> dict[str, Any]:
        state = super()._saved()
        if self.lengths["state"] in ("running", "error"):
            state["lengths"] = {**self.lengths, "state": "done" if self.lengths["curves"] else "idle"}
        return state

    def _still(self) -> str:
        return still_html(self.picture, self.measured, self.layer)

    def _draw(self, path: Path) -> None:
        from bloomlab.views._alibi_figure import alibi_figure  # matplotlib, only when it is asked for
        from bloomlab.views._figure import save_figure

        measured = measured_of(self.picture, self.measured)
        save_figure(alibi_figure, path, self.picture, measured[0].numpy(), self.layer, self.head)

    def __repr__(self) -> str:
        return still_text(self.picture, self.layer, self.head)

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
