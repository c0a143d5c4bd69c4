"""The residual stream: what BLOOM would say at every step of every layer, how long its vectors are, and who added what.

`hidden_payload(trace, model, tokenizer)` is everything the picture needs, as numbers and bytes. `HiddenStates`
carries it to the page and listens.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import Tensor

from bloomlab.chips import chips
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.hidden import cosines, norms, pca, shares, stream
from bloomlab.lens.logit_lens import read_out, summary
from bloomlab.lens.reads import check
from bloomlab.lens.tokens import script
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._hidden_still import still_html, still_text
from bloomlab.views._reading import ReadingView, code_parts, text_picture

if TYPE_CHECKING:
    from bloomlab.trace import Trace

READ = ["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"]
TOP = 5  # next tokens named in a cell
WINDOW = 64  # tokens whose numbers cross to the page at a time; the map has them all

CODE = """\
import bloomlab
from bloomlab.lens.hidden import norms, shares, stream
from bloomlab.lens.logit_lens import logit_lens

SETUP
trace = lab.trace(TEXT, read=["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"])
said = logit_lens(lab.model, trace)[{row}]  # the stream after so many steps, read as a prediction
print(said.label, said.probs[{query}], [lab.tokenizer.decode([i]) for i in said.ids[{query}]])
print(norms(stream(trace).states)[{row}, {query}])  # how long the vector is
print(shares(trace).shares[:, {query}])  # who added what to the last state of this token
"""


# ---- what the picture needs: pure functions of a trace ----


def hidden_payload(
    trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, token: int = 0
) -> dict[str, Any]:
    """All that the page draws from: the names of the states and a map of the tokens at each, and `window_values`.

    `points` (state, pos, axis) are the places on the maps, float32.
    """
    check(trace, READ)
    labels, states = stream(trace)
    if states.shape[-1] != model.config.hidden_size:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {model.config.hidden_size} wide; "
            "show a trace of this model"
        )
    maps = [pca(state) for state in states]
    picture = {
        **text_picture(trace),
        "states": list(labels),
        "vocab": model.config.vocab_size,
        "tied": bool(model.config.tie_word_embeddings),
        "refusal": _refusal(trace),
        "explained": [[round(share, 4) for share in found.explained.tolist()] for found in maps],
    }
    points = _bytes(torch.stack([found.points for found in maps]))
    return {"picture": picture, "points": points, **window_values(trace, model, tokenizer, token)}


def window_values(trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, token: int) -> dict[str, Any]:
    """The numbers of the WINDOW of tokens that `token` is in, each (state, pos) in float32 if nothing else is said.

    ids (int32) and probs have TOP entries a cell; rank is int32, 0 where nothing follows. shares and added have a last
    row for the rest that no part explains, and are empty where the stream is no sum. Of the cosines (pos, state, state)
    only the half with the second state not after the first is sent, row by row.
    """
    _, states = stream(trace)
    ids = trace.ids[0].cpu()
    following = torch.cat([ids[1:], ids.new_tensor([-1])])
    first = token // WINDOW * WINDOW
    here = slice(first, first + WINDOW)
    read = [summary(read_out(model, state[here]).float().cpu(), following[here], TOP) for state in states]
    best, probs, entropy, rank, surprise = (torch.stack(column) for column in zip(*read, strict=True))
    rows, columns = torch.tril_indices(len(states), len(states))
    parts = None if _refusal(trace) else shares(trace)
    return {
        "window": {"first": first, "count": best.shape[1]},
        "words": {str(word): _word(tokenizer, word) for word in sorted(set(best.flatten().tolist()))},
        "ids": _bytes(best.int()),
        "probs": _bytes(probs),
        "entropy": _bytes(entropy),
        "rank": _bytes(rank.int()),
        "surprise": _bytes(surprise),
        "norms": _bytes(norms(states[:, here])),
        "cosines": _bytes(cosines(states[:, here])[rows, columns].T),
        "shares": _bytes(parts.shares[:, here]) if parts else b"",
        "added": _bytes(parts.norms[:, here]) if parts else b"",
    }


def _refusal(trace: "Trace") -> str:
    """Why this model's stream has no shares, in words; "" if it has."""
    if trace.config.apply_residual_connection_post_layernorm:
        return (
            "no shares here: apply_residual_connection_post_layernorm=True puts a layer norm in the stream's place "
            "before each addition, so this model's stream is no sum; the other numbers hold"
        )
    return ""


def _word(tokenizer: BloomTokenizerFast, word: int) -> list[str]:
    """How a token of the vocabulary shows, and the script it is written in; a special one such as </s> is in none."""
    tokens = tokenizer.tokens_of_ids([word])
    special = word in tokenizer.all_special_ids
    return ["".join(chip.shown for chip in chips(tokens)), "" if special else script(tokens[0].text)]


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


# ---- the view: traits only ----


class HiddenStates(ReadingView):
    """What BLOOM would say at every step of every layer, how long its vectors are, and who added what.

    `read(text)` gives the Trace to show, with READ; `model` and `tokenizer` read its states as predictions.
    `setup` is the Python that made `lab`, for `.code`.

        view = lab.hidden_states("Leo lives in Oslo.")
        view.layer, view.part, view.query = 1, "mid", 2  # the state after attention in layer 1, and a token
        view.mode = "entropy"                            # or "prediction", "script", "rank", "norm", "added"
        view.show("Another text.")
        view.save("leo.html")                            # works offline; also .png and .svg
    """

    module = "hidden"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    part = traitlets.Enum(("embed", "mid", "post"), "post").tag(sync=True)  # the embedding; after attention; after MLP
    mode = traitlets.Enum(("prediction", "script", "entropy", "rank", "norm", "added"), "prediction").tag(sync=True)

    # what the page draws
    points = traitlets.Bytes().tag(sync=True)
    window = traitlets.Dict({"first": 0, "count": 0}).tag(sync=True)
    words = traitlets.Dict().tag(sync=True)
    ids = traitlets.Bytes().tag(sync=True)
    probs = traitlets.Bytes().tag(sync=True)
    entropy = traitlets.Bytes().tag(sync=True)
    rank = traitlets.Bytes().tag(sync=True)
    surprise = traitlets.Bytes().tag(sync=True)
    norms = traitlets.Bytes().tag(sync=True)
    cosines = traitlets.Bytes().tag(sync=True)
    shares = traitlets.Bytes().tag(sync=True)
    added = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        text: "str | Trace" = "",
        setup: str = "",
        **traits: Any,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        super().__init__(read, text, setup, **traits)

    @property
    def row(self) -> int:
        """The number of the selected state: the embedding, then two for each layer."""
        return 0 if self.part == "embed" else 2 * self.layer + (1 if self.part == "mid" else 2)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = hidden_payload(trace, self._model, self._tokenizer, place["query"])
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        if trace.provenance.get("edits"):
            payload["picture"]["code"][0] = (
                "# the trace shown was edited; add its edit=… below\n" + (payload["picture"]["code"][0])
            )
        for name, value in payload.items():
            setattr(self, name, value)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        return super()._first_place(trace, place) | self._last_layer_at_first(trace)

    def _still(self) -> str:
        return still_html(self._values())

    def _draw(self, path: Path) -> None:
        """The grid as it is shown, in its mode; of a text of more than WINDOW tokens, the WINDOW that is shown."""
        from bloomlab.views._figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views._hidden_figure import lens_figure

        save_figure(lens_figure, path, self._values())

    def _values(self) -> dict[str, Any]:
        """What a still picture shows: the traits, and the row of the selected state."""
        return self._saved() | {"row": self.row}

    def __repr__(self) -> str:
        return still_text(self._values())

    # ---- listening to the page ----

    @traitlets.observe("query")
    def _send_another_window(self, _: dict[str, Any]) -> None:
        first, count = self.window["first"], self.window["count"]
        if self.trace is None or first <= self.query < first + count:
            return
        values = window_values(self.trace, self._model, self._tokenizer, self.query)
        with self.hold_sync():
            for name, value in values.items():
                setattr(self, name, value)
