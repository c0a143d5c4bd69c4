"""Writing without script: for a page whose kernel is gone, for GitHub, for a terminal."""

import math
from typing import Any

from bloomlab.guards.markup import escaped
from bloomlab.views.shared.panel import Shown
from bloomlab.views.shared.tables import table, text_cell


def path_of(tree: dict[str, Any], at: int) -> list[int]:
    """The nodes that were written on the way to one.

    >>> path_of({"parents": [-1, 0, 0, 2]}, 3)
    [2, 3]
    """
    way: list[int] = []
    while at > 0:
        way.append(at)
        at = tree["parents"][at]
    return way[::-1]


def still_text(shown: Shown) -> str:
    """How much was written, and how likely that was."""
    tree = shown["tree"]
    if not tree:
        return "nothing written yet"
    path = path_of(tree, shown["at"])
    nats = -sum(tree["log_probs"][node] for node in path)
    many = f"{len(path)} new token{'' if len(path) == 1 else 's'}"
    likely = f", p {math.exp(-nats):.2g}, {nats / len(path):.2f} nats a token" if path else ""
    loop = shown["bars"].get(str(shown["at"]), {}).get("loop", 0)
    said = f"; this loop has period {loop}" if loop else ""
    return f"{many}{likely}; {tree['settings']}{said}"


def still_html(shown: Shown) -> str:
    """The text with the probability of each token, the branches beside it, the settings."""
    tree = shown["tree"]
    if not tree:
        return "<p>bloomlab, writing: nothing read yet.</p>"
    path, other = path_of(tree, shown["at"]), shown["other"]
    text = _text(tree, path)
    if other:
        text += f"<p>as it is:</p>{_text(other['tree'], path_of(other['tree'], other['at']))}"
    rows = (
        [
            text_cell(tree["shown"][node]),
            f"{math.exp(tree['log_probs'][node]):.3g}",
            f"{-tree['log_probs'][node]:.2f}",
            escaped(tree["how"][node]),
        ]
        for node in path
    )
    steps = table(["token", "probability", "surprise, nats", "chosen"], rows) if path else ""
    branches = table(["branch", "its probability", "nats a token"], map(_row, _branches(tree)))
    bars = shown["bars"].get(str(shown["at"]))
    following = (
        table(
            ["next token", "in the model", "after the settings"],
            (
                [text_cell(name), f"{before:.3f}", f"{after:.3f}"]
                for name, before, after in zip(bars["names"], bars["before"], bars["after"], strict=True)
            ),
        )
        if bars
        else ""
    )
    return (
        f"<div>{text}<p>{escaped(still_text(shown))}</p>{steps}{branches if len(tree['rows']) > 2 else ''}{following}"
        f"<p><small>{escaped(shown['picture']['stamp'])} · run the cell to write on</small></p></div>"
    )


def _text(tree: dict[str, Any], path: list[int]) -> str:
    flow = "".join(
        f'<span title="p {math.exp(tree["log_probs"][node]):.3g}"><u>{escaped(tree["flow"][node])}</u></span>'
        for node in path
    )
    return f'<p dir="auto" style="white-space:pre-wrap">{escaped(tree["prompt"])}{flow}</p>'


def _branches(tree: dict[str, Any]) -> list[tuple[str, float, int]]:
    """Of each row but the prompt's: its text, the log-probability up to its end, and how many tokens that is."""
    found = []
    for row in tree["rows"][1:]:
        path = path_of(tree, row[-1])
        text = "".join(tree["flow"][node] for node in row)
        found.append((text, sum(tree["log_probs"][node] for node in path), len(path)))
    return found


def _row(branch: tuple[str, float, int]) -> list[str]:
    text, log_prob, tokens = branch
    short = text if len(text) <= 60 else f"…{text[-59:]}"
    return [text_cell(short), f"{math.exp(log_prob):.2g}", f"{-log_prob / tokens:.2f}"]
