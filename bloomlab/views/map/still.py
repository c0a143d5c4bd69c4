"""The map of the model without script: for a page whose kernel is gone, for GitHub, for a terminal."""

from typing import Any

from bloomlab.guards.markup import escaped
from bloomlab.views.shared.panel import Shown
from bloomlab.views.shared.tables import table, text_cell


def shape_of(part: dict[str, Any], tokens: int) -> str:
    """What is there, in words.

    >>> shape_of({"axes": [["head", 8, "heads"], ["query", 0, "queries"], ["key", 0, "keys"]]}, 5)
    '8 heads × 5 queries × 5 keys'
    """
    return " × ".join(f"{size or tokens:,} {words}" for _, size, words in part["axes"])


def learned(part: dict[str, Any], layers: int) -> int:
    """How many numbers it has learned, in all layers together."""
    return int(part["parameters"]) * (layers if part["layered"] else 1)


def all_learned(shown: Shown) -> int:
    """How many numbers the whole model has learned."""
    return sum(learned(part, shown["picture"]["layers"]) for part in shown["parts"])


def share(count: int, total: int) -> str:
    """As a part of all that the model has learned.

    >>> share(393472, 1186816), share(256, 1186816)
    ('33.2 %', '< 0.1 %')
    """
    return "< 0.1 %" if 0 < count < total / 1000 else f"{count / total:.1%}".replace("%", " %")


def next_words(shown: Shown) -> str:
    """What comes next, as markup; of a difference, with what it was."""
    before = [f" (was {prob:.3f})" for prob in shown["next_before"]] or [""] * len(shown["next"])
    return ", ".join(
        f"{text_cell(text)} {prob:.3f}{was}" for (text, prob), was in zip(shown["next"], before, strict=True)
    )


def still_text(shown: Shown) -> str:
    """The whole in a line."""
    picture = shown["picture"]
    if not picture:
        return "nothing read yet"
    sizes = {axis: size for part in shown["parts"] for axis, size, _ in part["axes"] if size}
    return (
        f"{len(picture['tokens'])} tokens × {sizes['hidden']:,} numbers, through {picture['layers']} layers of "
        f"{picture['heads']} heads and {sizes['neuron']:,} neurons, to {sizes['vocab']:,} scores; "
        f"{all_learned(shown):,} learned numbers"
    )


def small_html(shown: Shown) -> str:
    """The parts in one line, the lit one in a frame, and what it does."""
    if not shown["picture"]:
        return "<p>bloomlab, the map of the model: nothing read yet.</p>"
    parts, layers = shown["parts"], shown["picture"]["layers"]
    lit = next(part for part in parts if part["name"] == shown["part"])
    titles = [f"<mark>[{escaped(part['title'])}]</mark>" if part is lit else escaped(part["title"]) for part in parts]
    inside = [place for place, part in enumerate(parts) if part["layered"]]
    layer = f"{layers} × ({', '.join(titles[place] for place in inside)})"
    line = " → ".join([*titles[: inside[0]], layer, *titles[inside[-1] + 1 :]])
    return f"<p>{line}</p><p>{escaped(lit['title'])}: {escaped(lit['does'])}</p>"


def still_html(shown: Shown) -> str:
    """The parts from the text to the next token: what each does, what is there, what it has learned, its file."""
    picture = shown["picture"]
    if not picture:
        return "<p>bloomlab, the map of the model: nothing read yet.</p>"
    layers, total = picture["layers"], all_learned(shown)
    rows = (
        [
            escaped(part["title"]) + (f" <small>in each of {layers} layers</small>" if part["layered"] else ""),
            escaped(shape_of(part, len(picture["tokens"]))),
            f"{learned(part, layers):,}" if part["parameters"] else "",
            share(learned(part, layers), total) if part["parameters"] else "",
            f"<code>bloomlab/{escaped(part['file'])}</code>",
            escaped(part["lesson"]),
        ]
        for part in shown["parts"]
    )
    head = ["part", "of this text", "learned numbers", "of all", "file", "lesson"]
    return (
        f"<p>{escaped(still_text(shown))}</p>{table(head, rows)}"
        f"<p>next: {next_words(shown)}</p><small>{escaped(picture['stamp'])}</small>"
    )
