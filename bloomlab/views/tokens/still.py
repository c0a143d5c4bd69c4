"""The tokens view without script: for a page whose kernel is gone, for GitHub, for a terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import bidirectional

import numpy as np
from numpy.typing import NDArray

from bloomlab.guards.markup import escaped
from bloomlab.text.tokens import Token, display_tokens
from bloomlab.views.shared.tables import change_cell, names, table, text_cell

MOST_ROWS = 64  # tokens in the table of a difference

# A notebook keeps no style sheet for a still picture, so the few rules stand in the elements.
STRIP = "display:flex;flex-wrap:wrap;gap:4px;align-items:stretch;margin:4px 0"
CHIP = "display:inline-block;padding:2px 6px;text-align:center;border:1px solid rgba(128,128,128,.45);border-radius:3px"
SHOWN = "display:block;white-space:pre;unicode-bidi:isolate;font-family:monospace"
SMALL = "display:block;font-family:monospace;font-size:11px;direction:ltr"
LANGUAGE_COLUMNS = (
    ("tokens", "tokens"), ("per_word", "tokens per word"), ("per_character", "per character"),
    ("per_byte", "per byte"), ("bits", "bits per byte"),
)  # fmt: skip


def strip_html(tokens: Sequence[Token]) -> str:
    """Chips with ids and bytes: one for each piece of text, however many tokens it is made of."""
    boxes = []
    for chip in display_tokens(tokens):
        ids = " ".join(map(str, chip.ids))
        parts = " ".join(f"[{tokens[place].bytes.hex(' ')}]" for place in chip.tokens)
        places = f"token{'' if len(chip.tokens) == 1 else 's'} {', '.join(map(str, chip.tokens))}"
        title = f"{places}: id {ids}, bytes {parts}"
        boxes.append(
            f'<span style="{CHIP}" title="{escaped(title)}">'
            f'<bdi dir="auto" style="{SHOWN}">{escaped(chip.shown)}</bdi>'
            f'<span style="{SMALL}">{escaped(ids)}</span><span style="{SMALL}">{escaped(parts)}</span></span>'
        )
    text = b"".join(token.bytes for token in tokens).decode("utf-8", "replace")
    count = f"{len(tokens)} token{'' if len(tokens) == 1 else 's'}, {len(text)} characters"
    strip = f'<div dir="{direction(text)}" style="{STRIP}">{"".join(boxes)}</div>'
    return f"<div>{strip}<small>{count}; in each chip: the text, ids, bytes</small></div>"


def direction(text: str) -> str:
    """Which way the text runs, by its first letter that has a direction: what dir="auto" does."""
    strong = next((kind for kind in map(bidirectional, text) if kind in ("L", "R", "AL")), "L")
    return "ltr" if strong == "L" else "rtl"


def replay_of(picture: dict[str, Any], chip: int) -> dict[str, Any]:
    """The merges of a chip, as `replay_payload` has them."""
    replay: dict[str, Any] = picture["replays"][picture["replay_of"][chip]]
    return replay


def stages(replay: dict[str, Any]) -> list[list[tuple[str, str]]]:
    """What there is before the first merge and after each: (bytes as hex, what they show as), part by part.

    >>> stages({"bytes": "c3 a9 21", "start": ["", "", "!"], "steps": [[0, "é", [7, None]]]})
    [[('c3', ''), ('a9', ''), ('21', '!')], [('c3 a9', 'é'), ('21', '!')]]
    """
    parts = list(zip(replay["bytes"].split(" "), replay["start"], strict=True)) if replay["bytes"] else []
    lines = [parts]
    for at, shown, _ in replay["steps"]:
        joined = (f"{parts[at][0]} {parts[at + 1][0]}", shown)
        parts = [*parts[:at], joined, *parts[at + 2 :]]
        lines.append(parts)
    return lines


def still_text(picture: dict[str, Any], chip: int) -> str:
    """One line for a terminal."""
    chosen = picture["chips"][chip]
    merges = len(replay_of(picture, chip)["steps"])
    return f"{chosen['shown']!r} is built by {merges} merge{'' if merges == 1 else 's'}"


def still_html(tokens: Sequence[Token], picture: dict[str, Any], comparison: dict[str, Any], chip: int) -> str:
    """The strip of chips, the merges of one of them, and the costs by language if they were measured."""
    if not picture:
        return "<p>bloomlab tokens: nothing read yet.</p>"
    chosen, replay = picture["chips"][chip], replay_of(picture, chip)
    ranks = ["", *(step[2][step[0]] for step in replay["steps"])]
    rows = "".join(
        f"<tr><td>{number}</td><td>{escaped(rank)}</td><td>{' '.join(map(_part, parts))}</td></tr>"
        for number, (rank, parts) in enumerate(zip(ranks, stages(replay), strict=True))
    )
    return (
        f"<div>{strip_html(tokens)}<p>How <bdi><code>{escaped(chosen['shown'])}</code></bdi> is built: of all "
        f"neighbours, the pair that was learned first is joined first (rank, of {escaped(picture['merges'])}).</p>"
        f"<table><thead><tr><th>merge</th><th>rank</th><th>parts</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{_languages(comparison['rows'])}"
        f"<p><small>{escaped(comparison['stamp'] or picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def surprises(shown: Mapping[str, Any]) -> NDArray[np.float32]:
    """Of a difference, (run, pos), in nats: the surprise at each token as it is and what if; no columns if unknown."""
    return np.stack([np.frombuffer(shown[name], np.float32) for name in ("loss_before", "loss")])


def surprise_sentence(shown: Mapping[str, Any]) -> str:
    """Of a difference: which token's surprise has changed most, in a sentence; or why nobody knows."""
    before, after = surprises(shown)
    if not before.size:
        return str(shown["picture"]["difference"]["refusal"])
    change = np.abs(np.nan_to_num(after - before))
    most = int(change.argmax())
    if change[most] == 0:
        return "no token surprises it otherwise than before"
    name = names(shown["picture"])[most]
    return (
        f"the surprise has changed most at token {most} \u2068{name}\u2069: {before[most]:.3f} → {after[most]:.3f} nats"
    )


def surprise_text(shown: Mapping[str, Any]) -> str:
    """The same for a terminal; "" where it is no difference."""
    return surprise_sentence(shown) if "difference" in shown["picture"] else ""


def surprise_html(shown: Mapping[str, Any]) -> str:
    """A row for each token: its surprise in both runs, the change, and what stands there in the other text, if any."""
    picture, others = shown["picture"], shown["picture"]["difference"]["others"]
    rows = []
    runs = surprises(shown)
    for place, name in enumerate(names(picture)[:MOST_ROWS]):
        before, after = runs[:, place].tolist() if runs.size else (math.nan, math.nan)
        known = not math.isnan(after)
        numbers = [f"{nats:.3f}" if known else "–" for nats in (before, after)]
        other = [text_cell(others.get(str(place), ""))] if others else []
        rows.append([f"{place} {text_cell(name)}", *other, *numbers, change_cell(after - before)])
    head = ["token", *(["another token as it is"] if others else []), "as it is, nats", "what if, nats", "difference"]
    return f"<p>{escaped(surprise_sentence(shown))}</p>" + table(head, rows, "how much each token surprises the model")


def _part(part: tuple[str, str]) -> str:
    data, shown = part
    return f"<code>{f'<bdi>{escaped(shown)}</bdi> ' if shown else ''}[{escaped(data)}]</code>"


def _languages(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for _, name in LANGUAGE_COLUMNS)
    body = ""
    for row in rows:
        words = "".join(words for words, _ in row["chips"])
        body += f"<tr><td><bdi>{escaped(row['name'])}</bdi></td><td><bdi>{escaped(words)}</bdi></td>"
        body += "".join(f"<td>{_number(row[column])}</td>" for column, _ in LANGUAGE_COLUMNS) + "</tr>"
    return f"<table><thead><tr><th>language</th><th>text</th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | int | None) -> str:
    return "–" if value is None else escaped(value) if isinstance(value, int) else f"{value:.2f}"
