"""The hidden states without script: for a page whose kernel is gone, for GitHub, for a terminal."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomlab.guards.markup import escaped
from bloomlab.views.shared.pictures import cell_colours, cell_style
from bloomlab.views.shared.tables import names

SHOWN_TOKENS = 16  # columns of the table
NOT_YET = "<td>…</td>"  # a cell that is not read yet


def arrays(values: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The view's bytes as arrays, (state, pos, …); those that were not sent are left out."""
    count, states = values["window"]["count"], len(values["picture"]["states"])
    kinds = {"ids": np.int32, "rank": np.int32, "ids_before": np.int32}
    result = {}
    for name in ("ids", "probs", "entropy", "rank", "surprise", "norms", "shares", "added", "moved", "ids_before"):
        if values.get(name):
            rows = states + (name in ("shares", "added"))
            shape = (rows, count, -1) if name in ("ids", "probs") else (rows, count)
            result[name] = np.frombuffer(values[name], kinds.get(name, np.float32)).reshape(shape)
    return result


def step_name(label: str) -> str:
    """The state "3 mid" in words.

    >>> step_name("embed"), step_name("3 mid"), step_name("3 post")
    ('embedding', 'layer 3, after attention', 'layer 3, after MLP')
    """
    layer, _, part = label.partition(" ")
    return f"layer {layer}, after {'attention' if part == 'mid' else 'MLP'}" if part else "embedding"


def largest_move(values: dict[str, Any]) -> str:
    """Of a difference: where, of the tokens shown, what it would say has moved most, in a sentence."""
    picture, numbers = values["picture"], arrays(values)
    row, column = map(int, np.unravel_index(np.nanargmax(numbers["moved"]), numbers["moved"].shape))
    nats, token = numbers["moved"][row, column], values["window"]["first"] + column
    if nats == 0:
        return "nothing has moved"
    before, now = said(values["words"], numbers, row, column)
    where = f"{step_name(picture['states'][row])}, at token {token} \u2068{names(picture)[token]}\u2069"
    return f"most by {nats:.3f} nats: {where}, \u2068{before}\u2069 → \u2068{now}\u2069"


def said(words: dict[str, Any], numbers: dict[str, NDArray[Any]], row: int, column: int) -> tuple[str, str]:
    """What it would have said at a state, and would say now."""
    before, now = numbers["ids_before"][row, column], numbers["ids"][row, column, 0]
    return str(words[str(before)][0]), str(words[str(now)][0])


def still_text(values: dict[str, Any]) -> str:
    """One line for a terminal."""
    if "difference" in values["picture"]:
        return f"what it would say has moved: {largest_move(values)}"
    picture, numbers = values["picture"], arrays(values)
    row, at = values["row"], values["query"] - values["window"]["first"]
    word, where = values["words"][str(numbers["ids"][row, at, 0])][0], step_name(picture["states"][row])
    return (
        f"{len(picture['states'])} states; {where}, at token {values['query']} it would say {word!r}, "
        f"probability {numbers['probs'][row, at, 0]:.3f}"
    )


def still_html(values: dict[str, Any]) -> str:
    """The text's chips, the likeliest next token at each state, and the numbers of one token."""
    picture = values["picture"]
    if not picture:
        return "<p>bloomlab hidden states: nothing read yet.</p>"
    differs = "difference" in picture
    numbers, first, count = arrays(values), values["window"]["first"], values["window"]["count"]
    shown = [f"<bdi>{escaped(name)}</bdi>" for name in names(picture)]
    at = values["query"] - first
    start = max(0, min(at - SHOWN_TOKENS // 2, count - SHOWN_TOKENS))
    columns = range(start, min(count, start + SHOWN_TOKENS))
    chips = " ".join(f"<code><bdi>{escaped(chip['shown'])}</bdi></code>" for chip in picture["chips"])
    head = "".join(f"<th>{first + column} {shown[first + column]}</th>" for column in columns)
    rows = "".join(
        f"<tr><th>{step_name(label)}</th>"
        + "".join((_moved if differs else _cell)(values["words"], numbers, row, column) for column in columns)
        + f"<td>{numbers['norms'][row, at]:.1f}</td>"
        + (f"<td>{numbers['shares'][row, at]:+.3f}</td>" if "shares" in numbers else "")
        + "</tr>"
        for row, label in enumerate(picture["states"])
    )
    who = f"token {values['query']}"
    more = f"<th>length at {who}</th>" + (
        f"<th>share of the last state added, {who}</th>" if "shares" in numbers else ""
    )
    refusal = f"<p>{escaped(picture['refusal'])}</p>" if picture["refusal"] else ""
    says = (
        "What BLOOM would say next if it stopped here (logit lens), and how sure it would be: "
        f"dark is 0, yellow is 1; entropy at {who}, last row: {numbers['entropy'][-1, at]:.2f} nats of "
        f"{math.log(picture['vocab']):.2f}."
    )
    if differs:
        says = (
            f"How far what BLOOM would say has moved from as it is to what if, in nats (KL); – is not reached. It has "
            f"moved {largest_move(values)}. Lengths and shares are those of what if."
        )
    return (
        f"<div><p>{chips}</p><p>{escaped(says)}</p>"
        f'<div style="overflow-x:auto"><table><thead><tr><th>state</th>{head}{more}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{refusal}"
        f"<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p></div>"
    )


def _moved(words: dict[str, Any], numbers: dict[str, NDArray[Any]], row: int, column: int) -> str:
    """A cell of a difference: what it would have said, and would say now, and how far that is apart."""
    nats = float(numbers["moved"][row, column])
    if nats == 0 or math.isnan(nats):
        return "<td>–</td>" if nats == 0 else NOT_YET
    before, now = map(escaped, said(words, numbers, row, column))
    paper, ink = cell_colours((nats / float(np.nanmax(numbers["moved"]))) ** 2)  # in equal steps, as on the page
    both = f"<bdi>{now}</bdi>" if before == now else f"<bdi>{before}</bdi> → <bdi>{now}</bdi>"
    return f'<td style="{cell_style(paper, ink)}">{both} {nats:.3f}</td>'


def _cell(words: dict[str, Any], numbers: dict[str, NDArray[Any]], row: int, column: int) -> str:
    p = float(numbers["probs"][row, column, 0])
    if math.isnan(p):
        return NOT_YET
    paper, ink = cell_colours(p)
    word = escaped(words[str(numbers["ids"][row, column, 0])][0])
    return f'<td style="{cell_style(paper, ink)}"><bdi>{word}</bdi> {p:.2f}</td>'
