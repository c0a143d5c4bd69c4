"""Predictions without script: for a page whose kernel is gone, for GitHub, for a terminal."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bloomlab.guards.markup import escaped
from bloomlab.tasks.results import readable
from bloomlab.views.shared.pictures import cell_colours, cell_style
from bloomlab.views.shared.tables import change_cell, names

SHOWN_TOKENS = 16  # columns of the table
NAMES = {
    "next": "next token",
    "language": "label, if the text ended here",
    "tags": "tag",
    "start": "answer starts",
    "end": "answer ends",
}


class Cell(NamedTuple):
    """What a head says at a token, its probability, and a sign: ▲ the label is read here, [ ] the answer.

    Of a difference, what has changed most, and its probability in the run as it is.
    """

    word: str
    p: float
    mark: str = ""
    before: float | None = None

    @property
    def change(self) -> float:
        """By how much its probability has changed."""
        return 0.0 if self.before is None else self.p - self.before


def arrays(values: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The view's bytes as arrays, (layer, pos, …); `ends` is (layer, 2, pos). Those of a missing head are left out."""
    layers, tokens = values["picture"]["layers"], len(values["picture"]["tokens"])
    window = (layers, values["window"]["count"], values["window"]["top"])
    shapes = {"ids": window, "probs": window, "language": (layers, tokens, -1), "tags": (layers, tokens, -1)}
    shapes["ends"] = (layers, 2, tokens)
    shapes |= {f"{name}_before": shapes[name] for name in ("language", "tags", "ends")} | {"before": window}
    return {
        name: np.frombuffer(values[name], np.int32 if name == "ids" else np.float32).reshape(shape)
        for name, shape in shapes.items()
        if values.get(name)
    }


def lines(values: dict[str, Any]) -> list[tuple[str, str, int]]:
    """The rows of the picture: the name of each, what it shows (a key of NAMES) and of which layer."""
    numbers, asked = arrays(values), values["asked"]
    kinds = ["next", *(task for task in ("language", "tags") if task in numbers)]
    kinds += ["start", "end"] if "ends" in numbers else []
    if asked == "all":
        return [(NAMES[kind], kind, values["layer"]) for kind in kinds]
    of_head = [kind for kind in kinds if kind == asked or (asked == "answer" and kind in ("start", "end"))]
    layers = range(values["picture"]["layers"])
    return [
        (f"layer {layer}" + (f", {kind}s" if asked == "answer" else ""), kind, layer)
        for layer in layers
        for kind in of_head
    ]


def cell(values: dict[str, Any], numbers: dict[str, NDArray[Any]], kind: str, layer: int, token: int) -> Cell | None:
    """What stands in a row at a token; nothing where the next token has not been asked."""
    picture = values["picture"]
    if kind == "next":
        at = token - values["window"]["first"]
        if not 0 <= at < values["window"]["count"]:
            return None
        before = float(numbers["before"][layer, at, 0]) if "before" in numbers else None
        word, p = values["words"][str(numbers["ids"][layer, at, 0])], float(numbers["probs"][layer, at, 0])
        return Cell(word, p, before=before)
    if kind in ("language", "tags"):
        probs, before_probs = numbers[kind][layer, token], numbers.get(f"{kind}_before")
        best = int((probs if before_probs is None else np.abs(probs - before_probs[layer, token])).argmax())
        before = None if before_probs is None else float(before_probs[layer, token, best])
        read = "▲" if kind == "language" and token == picture["column"] else ""
        return Cell(picture["labels"][kind][best], float(probs[best]), read, before)
    place = (layer, int(kind == "end"), token)
    p, span = float(numbers["ends"][place]), values["answers"][layer]["spans"][0]
    edge = {"start": ("[", span[2]), "end": ("]", span[3])}[kind]
    before = float(numbers["ends_before"][place]) if "ends_before" in numbers else None
    return Cell(f"{p:.2f}", p, edge[0] if token == edge[1] else "", before)


def change_sentences(values: dict[str, Any]) -> list[str]:
    """Of a difference: what has changed most in each row of the picture, in a sentence; and why a head has none."""
    numbers, shown = arrays(values), names(values["picture"])
    sentences = []
    for name, kind, layer in lines(values):
        cells = [(token, cell(values, numbers, kind, layer, token)) for token in range(len(shown))]
        token, most = max(((token, each) for token, each in cells if each), key=lambda pair: abs(pair[1].change))
        if most.change == 0:
            sentences.append(f"{name}: no change")
            continue
        label = "" if kind in ("start", "end") else f"{_isolated(most.word)} "
        sentences.append(
            f"{name}, most at token {token} {_isolated(shown[token])}: {label}{most.before:.3f} → {most.p:.3f}"
        )
    return [*sentences, *([values["trouble"]] if values["trouble"] else []), *values["picture"]["missing"].values()]


def head_sentences(values: dict[str, Any]) -> list[str]:
    """What each task head says at the selected layer, in a sentence; or why it is missing."""
    picture, layer, numbers = values["picture"], values["layer"], arrays(values)
    sentences = []
    if "language" in numbers:
        probs = numbers["language"][layer, picture["column"]]
        label = picture["labels"]["language"][int(probs.argmax())]
        sentences.append(f"label: {label}, probability {probs.max():.3f}, read from token {picture['column']}")
    if values["answers"]:
        answer = values["answers"][layer]
        best = answer["spans"][0]
        note = f" ({answer['note']})" if answer["note"] else ""
        sentences.append(f"{_isolated(values['question'])} → {_isolated(best[0])}, {best[1]:.3f}{note}")
    return [*sentences, *([values["trouble"]] if values["trouble"] else []), *picture["missing"].values()]


def _isolated(text: str) -> str:
    """A text inside a sentence, with marks that keep its direction from spreading."""
    return f"\u2068{readable(text)}\u2069"


def still_text(values: dict[str, Any]) -> str:
    """One line for a terminal."""
    picture, numbers = values["picture"], arrays(values)
    if "difference" in picture:
        return "; ".join(change_sentences(values)[: len(lines(values))])
    following = cell(values, numbers, "next", values["layer"], values["query"])
    next_word = f"next {following.word!r} {following.p:.3f}" if following else ""
    words = "; ".join(head_sentences(values)[: len(picture["labels"]) + 1 - len(picture["missing"])])
    says = "; ".join(part for part in (next_word, words) if part)
    return f"after layer {values['layer']}, at token {values['query']}: {says}"


def columns(values: dict[str, Any], most: int) -> range:
    """The tokens that a still picture shows: those around the selected one."""
    count = len(values["picture"]["tokens"])
    start = max(0, min(values["query"] - most // 2, count - most))
    return range(start, min(count, start + most))


def still_html(values: dict[str, Any]) -> str:
    """A table of what each head says at each token, and in words what they say of the text."""
    picture = values["picture"]
    if not picture:
        return "<p>bloomlab predictions: nothing read yet.</p>"
    numbers, shown, places = arrays(values), names(picture), columns(values, SHOWN_TOKENS)
    head = "".join(f"<th>{place} <bdi>{escaped(shown[place])}</bdi></th>" for place in places)
    rows = "".join(
        f'<tr><th style="text-align:start">{escaped(name)}</th>'
        + "".join(_html(cell(values, numbers, kind, layer, place)) for place in places)
        + "</tr>"
        for name, kind, layer in lines(values)
    )
    differs = "difference" in picture
    sentences = change_sentences(values) if differs else head_sentences(values)
    paragraphs = "".join(f'<p dir="auto">{escaped(sentence)}</p>' for sentence in sentences)
    key = "what if − as it is, of what has changed most; –: no change" if differs else "dark is 0, yellow is 1"
    which = f"after layer {values['layer']}" if values["asked"] == "all" else "after every layer"
    return (
        f"<div><p>What the heads say {which}; {key}. ▲: the label is read here. [ ]: the answer.</p>"
        f'<div style="overflow-x:auto"><table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>'
        f"</div>{paragraphs}<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def _html(content: Cell | None) -> str:
    if content is None:
        return "<td>–</td>"
    if content.before is not None:
        if content.change == 0:
            return f"<td>–{content.mark and ' ' + content.mark}</td>"
        word = "" if content.word == f"{content.p:.2f}" else f"<bdi>{escaped(content.word)}</bdi> "
        return f"<td>{word}{change_cell(content.change)}{content.mark and ' ' + content.mark}</td>"
    paper, ink = cell_colours(content.p)
    number = "" if content.word == f"{content.p:.2f}" else f" {content.p:.2f}"
    return (
        f'<td style="{cell_style(paper, ink)}"><bdi>{escaped(content.word)}</bdi>{number}'
        f"{content.mark and ' ' + content.mark}</td>"
    )
