"""The grid of the hidden states as a matplotlib figure: what `.save("x.png")` and "x.svg" write, in the chosen mode."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bloomlab.views.hidden.still import arrays, largest_move, step_name
from bloomlab.views.shared.assets import theme_colour
from bloomlab.views.shared.figure import SIGNED, figure_style, plain_marks, sign, wrapped
from bloomlab.views.shared.pictures import ink_on
from bloomlab.views.shared.tables import names

MOST_COLUMNS = 24  # tokens in one figure
LONGEST = 9  # characters of a word in a cell
KINDS = ["Latin", "Arabic", "Devanagari", "Chinese", "Bengali", "Tamil", "Cyrillic", "another"]  # as in lib/states.js
SCRIPTS = {name: theme_colour(f"kind-{i}") for i, name in enumerate(KINDS, 1)} | {"no letter": theme_colour("zero")}


@dataclass(frozen=True)
class Look:
    """What the cells say and how they are coloured: `words` and `shades` are (state, token)."""

    title: str
    words: NDArray[Any]
    shades: NDArray[Any]
    norm: Normalize
    label: str
    colours: str | Colormap = "cividis"
    ticks: dict[float, str] | None = None


def lens_figure(values: dict[str, Any]) -> Figure:
    """Each state of the tokens around the selected one, in the view's mode: "prediction", "entropy" and so on."""
    picture, numbers = values["picture"], arrays(values)
    first, count = values["window"]["first"], values["window"]["count"]
    start = max(0, min(values["query"] - first - MOST_COLUMNS // 2, count - MOST_COLUMNS))
    columns = slice(start, min(count, start + MOST_COLUMNS))
    look = (_moved if "difference" in picture else LOOKS[values["mode"]])(values, numbers)
    words, shades = look.words[:, columns], look.shades[:, columns]
    size = (2.5 + 0.75 * words.shape[1], 1.8 + 0.3 * len(words))  # inches
    with figure_style():
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        axes = figure.add_subplot()
        image = axes.imshow(shades, cmap=look.colours, norm=look.norm, interpolation="nearest", aspect="auto")
        papers = image.to_rgba(shades, bytes=True)
        for (row, column), word in np.ndenumerate(words):
            *paper, opaque = papers[row, column].tolist()
            ink = [part / 255 for part in ink_on(paper)] if opaque else "0.3"
            axes.text(column, row, _plain(word), ha="center", va="center", color=ink, fontsize=8)
        axes.set_title(wrapped(look.title, figure, 11), loc="left")
        axes.set_yticks(range(len(words)), [step_name(label) for label in picture["states"]])
        shown = names(picture)[first + columns.start : first + columns.stop]
        axes.set_xticks(range(len(shown)), [_plain(name) for name in shown], rotation=90)
        axes.set_xlabel("token read")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        scale = figure.colorbar(image, ax=axes, shrink=0.8, label=look.label)
        if look.ticks:
            scale.set_ticks(list(look.ticks), labels=list(look.ticks.values()))
        sign(figure, picture["stamp"])
    return figure


# ---- the modes ----


def _prediction(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    ticks = {p: f"{p:g}" for p in (0, 0.01, 0.1, 0.25, 0.5, 1)}
    title = "what it would say next at each state · logit lens"
    probs = numbers["probs"][..., 0]
    return Look(title, _words(values, numbers), probs, PowerNorm(0.5, 0, 1), "probability", ticks=ticks)


def _script(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    kinds = np.vectorize(lambda word: _kind(values["words"][str(word)][1]))(numbers["ids"][..., 0])
    shown = [name for name in SCRIPTS if name in kinds]
    title = "what it would say next at each state, by the script it is written in · logit lens"
    colours = ListedColormap([SCRIPTS[name] for name in shown])
    shades = np.vectorize(shown.index)(kinds)
    ends = Normalize(-0.5, len(shown) - 0.5)
    return Look(title, _words(values, numbers), shades, ends, "script", colours, dict(enumerate(shown)))


def _entropy(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    shades, most = numbers["entropy"], np.log(values["picture"]["vocab"])
    title = "how unsure it is at each state · entropy"
    return Look(title, _numbers(shades, ".2f"), shades, Normalize(0, most), "entropy, nats")


def _rank(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    shades, last = np.ma.masked_equal(numbers["rank"], 0), values["picture"]["vocab"]
    title = "the rank of the token that follows, 1 for the likeliest · rank"
    return Look(title, _numbers(shades, "d"), shades, LogNorm(1, last), "rank, log scale", "cividis_r")


def _norm(_: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    shades = numbers["norms"]
    title = "how long the vector is at each state · norm"
    return Look(title, _numbers(shades, ".1f"), shades, Normalize(0, shades.max()), "length")


def _added(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    if "shares" not in numbers:
        nothing = np.ma.masked_array(np.zeros_like(numbers["norms"]), mask=True)
        return Look(values["picture"]["refusal"], _numbers(nothing, ""), nothing, Normalize(0, 1), "no shares")
    shades = numbers["shares"][:-1]  # the last row is what no part explains
    most = float(np.abs(shades).max())
    title = "what each step added, as a share of the last state"
    return Look(title, _numbers(shades, "+z.2f"), shades, Normalize(-most, most), "share added", SIGNED)


def _moved(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> Look:
    """Of a difference: how far what it would say has moved, and what it would say now; white: not reached."""
    shades = np.ma.masked_equal(numbers["moved"], 0)
    words = np.where(numbers["moved"] == 0, "", _words(values, numbers))
    title = f"how far what it would say has moved (white: not reached) · {plain_marks(largest_move(values))}"
    most = max(0.01, float(np.nanmax(numbers["moved"])))
    return Look(title, words, shades, Normalize(0, most), "KL from as it is to what if, nats")


LOOKS: dict[str, Callable[[dict[str, Any], dict[str, NDArray[Any]]], Look]] = {
    "prediction": _prediction,
    "script": _script,
    "entropy": _entropy,
    "rank": _rank,
    "norm": _norm,
    "added": _added,
}


def _words(values: dict[str, Any], numbers: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The likeliest next token of each cell."""
    words = values["words"]
    return np.array([[words[str(word)][0] for word in row] for row in numbers["ids"][..., 0]], dtype=object)


def _numbers(shades: NDArray[Any], form: str) -> NDArray[Any]:
    """Numbers as they stand in the cells, with a minus as long as a plus; a dash where there is none."""
    rows = [
        ["–" if value is np.ma.masked else format(value, form).replace("-", "−") for value in row] for row in shades
    ]
    return np.array(rows, dtype=object)


def _kind(script: str) -> str:
    """The name of a script in SCRIPTS; `script` is as Unicode names it, "" where there is no letter."""
    name = "Chinese" if script == "CJK" else script.capitalize() or "no letter"
    return name if name in SCRIPTS else "another"


def _plain(word: str) -> str:
    """A word short enough for a cell; a dollar is text here, not mathematics."""
    return (word if len(word) <= LONGEST else word[: LONGEST - 1] + "…").replace("$", r"\$")
