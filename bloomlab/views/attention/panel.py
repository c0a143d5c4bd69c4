"""The attention panel: every head in small, one head's matrix, and the sum behind each of its cells.

And, where somebody asks, why a token looks there: the score as parts of the query × parts of the key.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import traitlets
from torch import Tensor

from bloomlab.views.attention.given import CODE as GIVEN_CODE
from bloomlab.views.attention.payload import (
    CODE,
    NO_ALIBI_CODE,
    attention_payload,
    average_values,
    before_values,
    colour_steps,
    difference_payload,
    exact_reach,
    exact_values,
    most_to_see,
    saved_averages,
    saved_values,
    strongest,
    together,
)
from bloomlab.views.attention.receipt import IDLE, look_bars, look_html, look_steps, place_of
from bloomlab.views.attention.still import (
    change_html,
    first_html,
    first_sentence,
    noticed_sentence,
    static_html,
    static_text,
)
from bloomlab.views.shared.like_texts import OVER, LikeTexts
from bloomlab.views.shared.panel import SELECTION, Job, Panel, Piece, Place, Shown
from bloomlab.views.shared.tables import names

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


LEVELS = ("whole", "first")


class AttentionPanel(Panel):
    """Every attention head of a text, one head's matrix, and the sum behind each of its cells.

    The trace must have READ of every layer. `like` gives other texts to explain a look in. `level` is the form that it
    is first shown in: "first", one row of one head as bars over the text, opens at the head whose last token looks
    most at another one; "whole" has all that there is.

        view = lab.attention("Leo lives in Oslo.")
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # point at a cell, here or in the page
        view.mode = "content"                                        # or "position", "both", "probability"
        view.pattern = "rollout"                                     # or "layer", "all": means; "head"
        view.against = 2                                             # another key: why there, and not here?
        view.explain_look()                                          # the parts of the score
        view.look_over = "texts"                                     # their mean and spread over texts like this one
        view.to_query, view.to_key = 2, 1                            # all looks from the chosen cell to there, summed
        view.level = "first"                                         # one row of one head, as bars; or "whole"
    """

    name, title, compares = "attention", "Attention", True
    pieces: ClassVar = {
        "thumbs": Piece("uint8", "layer head block_cell"),
        "exact": Piece(empty={"first": 0, "count": 0}),  # the heads whose exact values are here
        "scores": Piece("float32", "count cell"),
        "probs": Piece("float32", "count cell"),
        "before": Piece("float32", "count cell"),  # of a difference: the probabilities it is measured by
        "averaged": Piece(empty={"patterns": []}),  # the patterns of several heads that are here
        "averages": Piece("float32", "pattern cell"),
        "look": Piece(empty=IDLE),
    }
    jobs = (Job("look", "explain_look", "look_parts", of_text=True),)

    def __init__(self, like: LikeTexts | None = None, level: str = LEVELS[0]) -> None:
        self._like, self._level = like, level

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """How much is shown; whose pattern, and what of it; whether the chosen look is explained, and against what."""
        return {
            "level": traitlets.Enum(LEVELS, self._level),
            "pattern": traitlets.Enum(("head", "layer", "all", "rollout"), "head"),
            "mode": traitlets.Enum(("probability", "content", "position", "both"), "probability"),
            "explaining": traitlets.Enum(("closed", "open", "stopped"), "closed"),
            "against": traitlets.Int(-1),  # no other key
            "look_over": traitlets.Enum(OVER, OVER[0]),
            "to_query": traitlets.Int(-1),  # the other corner of a block of looks that are summed; no other
            "to_key": traitlets.Int(-1),
        }

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """The last token, and the token that it looks at most; for a first look, of the head that looks most."""
        if first and self._level == "first":
            place = place | most_to_see(trace)
        return place | strongest(trace, place["layer"], place["head"])

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """Every head in small, the layer of one head exactly; of a difference, how each has changed."""
        if base is None:
            payload = attention_payload(trace, shown["layer"], shown["head"]) | {"before": b""}
        else:
            payload = difference_payload(trace, base, shown["layer"], shown["head"])
        return payload | average_values(trace, _together(shown), base) | {"look": IDLE}

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """The exact values of another head, or another pattern of several."""
        pieces: dict[str, Any] = {}
        heads, tokens, exact = shown["picture"]["heads"], len(shown["picture"]["tokens"]), shown["exact"]
        if not 0 <= shown["layer"] * heads + shown["head"] - exact["first"] < exact["count"]:
            pieces |= exact_values(trace, *exact_reach(heads, tokens, shown["layer"], shown["head"]))
            if base is not None:
                pieces |= before_values(base, *pieces["exact"].values())
        patterns = _together(shown)
        if patterns and list(patterns[0]) not in shown["averaged"]["patterns"]:
            pieces |= average_values(trace, patterns, base)
        return pieces

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """Exact values of as many heads, and as many patterns, as a file should hold."""
        pieces = saved_values(trace, shown["layer"], shown["head"]) | saved_averages(trace, _together(shown), base)
        if shown["look"]["state"] in ("running", "error"):  # it will not be finished there
            pieces["look"] = {**shown["look"], "state": "stopped" if shown["look"]["pairs"] else "idle"}
        return pieces if base is None else pieces | before_values(base, *pieces["exact"].values())

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes the chosen cell, its head and its pattern."""
        if picture["given"]:
            return GIVEN_CODE
        return CODE if any(picture.get("slopes", [1.0])) else NO_ALIBI_CODE  # a live page has ALiBi

    def more_code(self, shown: Shown) -> str:
        """The parts of the chosen look, and the sum of a block of looks, if they were asked for."""
        return str(shown["look"]["code"]) + _block_code(shown)

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The text's chips, all heads as one picture, a matrix of colour steps, and one row of it in numbers."""
        if trace is None:
            return "<p>bloomlab attention: nothing read yet.</p>"
        if "difference" in shown["picture"]:
            change, words = _change(shown)
            return change_html(shown["picture"], shown["thumbs"], change.numpy(), words, shown["query"])
        if shown["level"] == "first":
            return first_html(shown["picture"], trace.head(f"h.{shown['layer']}.attn.probs", shown["head"]), shown)
        matrix, words = _matrix(trace, shown)
        steps = colour_steps(matrix[None], shown["picture"]["block"])[0].numpy()
        return static_html(shown["picture"], shown["thumbs"], steps, words, shown["query"]) + look_html(shown["look"])

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The parts of a look while they are open; else the matrix; of a difference, how it has changed."""
        from bloomlab.views.attention.figure import matrix_figure  # matplotlib, only when it is asked for
        from bloomlab.views.shared.bars import Bars, bars_figure
        from bloomlab.views.shared.figure import plain_marks, save_figure

        picture, look = shown["picture"], shown["look"]
        if shown["explaining"] != "closed" and look["pairs"]:
            save_figure(bars_figure, path, look["says"], [], look_bars(look), picture["stamp"])
            return
        differs = "difference" in picture
        if shown["level"] == "first" and not differs:
            row, query = trace.head(f"h.{shown['layer']}.attn.probs", shown["head"]), shown["query"]
            bars = [Bars("share of its attention", row[query, : query + 1].tolist())]
            title = first_sentence(picture, row, shown)
            save_figure(bars_figure, path, title, names(picture)[: query + 1], bars, picture["stamp"])
            return
        matrix, words = _change(shown) if differs else _matrix(trace, shown)
        title = f"how it has changed: {words}\n{plain_marks(noticed_sentence(picture))}" if differs else words
        save_figure(matrix_figure, path, matrix, names(picture), title, picture["stamp"], differs)

    def says(self, shown: Shown) -> str:
        """The size of the model, and which head is shown."""
        says = static_text(shown["picture"], shown["layer"], shown["head"])
        return f"{says}; {noticed_sentence(shown['picture'])}" if "difference" in shown["picture"] else says

    # ---- why this look ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """While it is open, it follows the chosen look."""
        if changed not in ("explaining", "against", "look_over", "tab", "picture", *SELECTION):
            return ""
        if shown["explaining"] != "open" or "difference" in shown["picture"]:
            return "stop"
        look = shown["look"]
        if look["state"] == "running" and changed == "explaining":
            return ""
        follows = changed in ("tab", *SELECTION)
        return "" if follows and (look["state"] == "idle" or look["place"] == place_of(shown)) else "run"

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """The parts of the chosen look's score.

        Raises:
            InputError: the trace has no model at hand.
        """
        return look_steps(trace, shown, self._like)


def _block_code(shown: Shown) -> str:
    """The Python that sums the looks between the chosen cell and another corner; "" where there is none."""
    tokens, cell = len(shown["picture"].get("tokens", ())), (shown["query"], shown["key"])
    other = shown["to_query"], shown["to_key"]
    if not all(0 <= place < tokens for place in other) or other == cell:
        return ""
    queries, keys = ((min(pair), max(pair) + 1) for pair in zip(cell, other, strict=True))
    whose = f'patterns["{shown["pattern"]}"]'
    if shown["picture"]["given"]:
        whose = f"probs[{shown['layer']}, {shown['head']}]"
    place = f"{queries[0]}:{queries[1]}, {keys[0]}:{min(keys[1], queries[1])}"
    return f"print({whose}[{place}].sum())  # together, of {queries[1] - queries[0]}\n"


def _together(shown: Shown) -> list[tuple[str, int]]:
    """The pattern of several heads that is shown, if it is one."""
    pattern = shown["pattern"]
    return [] if pattern == "head" else [(pattern, 0 if pattern == "all" else shown["layer"])]


def _matrix(trace: "Trace", shown: Shown) -> tuple[Tensor, str]:
    """The probabilities that the matrix shows, (query, key), and whose they are."""
    layer, head, patterns = shown["layer"], shown["head"], _together(shown)
    return together(trace, patterns)[0] if patterns else trace.head(f"h.{layer}.attn.probs", head), _whose(shown)


def _whose(shown: Shown) -> str:
    layer, layers, heads = shown["layer"], shown["picture"]["layers"], shown["picture"]["heads"]
    return {
        "head": f"layer {layer}, head {shown['head']}",
        "layer": f"mean of the {heads} heads of layer {layer}",
        "all": f"mean of all {layers * heads} heads",
        "rollout": f"rollout up to layer {layer}",
    }[shown["pattern"]]


def _change(shown: Shown) -> tuple[Tensor, str]:
    """Of a difference: by how much the matrix that is shown has changed, (query, key), and whose it is."""
    picture, patterns = shown["picture"], _together(shown)
    tokens = len(picture["tokens"])
    cells = tokens * (tokens + 1) // 2
    if patterns:  # these are differences already
        place, pieces = shown["averaged"]["patterns"].index(list(patterns[0])), [shown["averages"]]
    else:
        place = shown["layer"] * picture["heads"] + shown["head"] - shown["exact"]["first"]
        pieces = [shown["probs"], shown["before"]]
    after, *before = (
        torch.frombuffer(bytearray(piece), dtype=torch.float32, count=cells, offset=4 * cells * place)
        for piece in pieces
    )
    matrix = torch.zeros(tokens, tokens)
    rows, columns = torch.tril_indices(tokens, tokens)
    matrix[rows, columns] = after - before[0] if before else after
    return matrix, _whose(shown)
