"""The ALiBi view without script: for a page whose kernel is gone, for GitHub, for a terminal."""

import math
from typing import Any

import torch
from torch import Tensor

from bloomlab.guards.markup import escaped
from bloomlab.views.alibi.payload import MEASURED, of_layer

FORMS = (".2f", ".3f", ".3f", ".3f")  # of the numbers of MEASURED
WORDS = ("mean distance", "share of the previous token", "share of position alone", "share of content alone")


def still_text(picture: dict[str, Any], layer: int, head: int) -> str:
    """One line for a terminal."""
    if "other" in picture:
        return other_text(picture)
    if "difference" in picture:
        return largest_text(picture)
    reach = [math.inf if tokens is None else tokens for tokens in of_layer(picture, layer)[1]["reach"]]
    return (
        f"{picture['layers']} layers × {picture['heads']} heads, reach {min(reach):.0f} to {max(reach):.0f} tokens, "
        f"shows layer {layer}, head {head}"
    )


def other_text(picture: dict[str, Any]) -> str:
    """Of a model without ALiBi: what stands in its place, with its numbers."""
    other, parts = picture["other"], []
    if other["frequencies"]:
        turns = [2 * math.pi / frequency for frequency in other["frequencies"]]
        parts.append(f"{len(turns)} frequencies, a turn every {min(turns):.1f} to {max(turns):,.0f} tokens")
    if other["sizes"]:
        sizes = other["sizes"]
        parts.append(f"{len(sizes)} vectors, {min(sizes):.2f} to {max(sizes):.2f} long")
    if len(other["alike"]) > 1:
        parts.append(f"two neighbouring places are {other['alike'][1]:.2f} alike")
    return " ".join([other["says"], *([f"{'; '.join(parts)}."] if parts else [])])


def largest_text(picture: dict[str, Any]) -> str:
    """Of a difference, where the mean distance has changed most; or that nothing has."""
    most = picture["difference"]["largest"][0]
    if most is None:
        return "no head looks farther or less far than before"
    layer, head, before, after = most
    return f"how far a head looks changed most in layer {layer}, head {head}: {before:.2f} → {after:.2f} tokens"


def difference_html(picture: dict[str, Any], measured: bytes, before: bytes, layer: int) -> str:
    """The slope of every head of one layer, and what it does, before and after."""
    slopes = [of_layer(run, layer)[0] for run in (picture["difference"]["before"], picture)]
    runs = [measured_of(picture, numbers)[:, layer].T.tolist() for numbers in (before, measured)]
    rows = []
    for head, reached in enumerate(picture["difference"]["reached"][layer]):
        pairs = list(zip(runs[0][head], runs[1][head], strict=True))
        changes = [f"<td>{_turned(*pair, form)}</td>" for pair, form in zip(pairs, FORMS, strict=True)]
        rest = "".join(changes) if reached else f"<td colspan={len(FORMS)}>not reached</td>"
        rows.append(f"<tr><td>{head}</td><td>{_turned(slopes[0][head], slopes[1][head], '.4g')}</td>{rest}</tr>")
    heads = "".join(f"<th>{name}</th>" for name in ("head", "slope", *WORDS))
    return (
        f"<p>ALiBi, as it is → what if, heads of layer {layer}: {escaped(largest_text(picture))}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _turned(before: float, after: float, form: str) -> str:
    return f"{after:{form}}" if before == after else f"{before:{form}} → {after:{form}}"


def still_html(picture: dict[str, Any], measured: bytes, layer: int, before: bytes = b"") -> str:
    """The text's chips, and a row of numbers for every head of one layer; of a difference, of both runs."""
    if not picture:
        return "<p>bloomlab, ALiBi: nothing read yet.</p>"
    if "other" in picture:
        return f"<div><p>{escaped(other_text(picture))}</p><p><small>{escaped(picture['stamp'])}</small></p></div>"
    if "difference" in picture:
        stamp = f"<p><small>{escaped(picture['stamp'])} · run the cell to explore</small></p>"
        return f"<div>{difference_html(picture, measured, before, layer)}{stamp}</div>"
    chip_row = " ".join(f"<code><bdi>{escaped(chip['shown'])}</bdi></code>" for chip in picture["chips"])
    slopes, of_heads = of_layer(picture, layer)
    here = measured_of(picture, measured)[:, layer].T.tolist()
    rows = "".join(
        f"<tr><td>{head}</td><td>{slope:.4g}</td><td>{_tokens(of_heads['reach'][head])}</td><td>{distance:.1f}</td>"
        f"<td>{of_heads['bound_here'][head]:.0%}</td><td>{previous:.0%}</td><td>{position:.0%}</td>"
        f"<td>{content:.0%}</td></tr>"
        for head, (slope, (distance, previous, position, content)) in enumerate(zip(slopes, here, strict=True))
    )
    names = (
        "head", "slope", "reach, tokens", "looks back on average, tokens", "previous token: bound in this text",
        "gets", "explained by position alone", "by content alone",
    )  # fmt: skip
    return (
        f"<div><p>{chip_row}</p><p>ALiBi: each head takes slope × distance off a key's score; its reach is where "
        f"3 nats are gone. Heads of layer {layer}:</p><table><thead><tr>"
        + "".join(f"<th>{name}</th>" for name in names)
        + f"</tr></thead><tbody>{rows}</tbody></table><p><small>{escaped(picture['stamp'])} · run the cell to explore"
        "</small></p></div>"
    )


def _tokens(reach: float | None) -> str:
    return "everywhere" if reach is None else f"{reach:.0f}"


def measured_of(picture: dict[str, Any], measured: bytes) -> Tensor:
    """The bytes as numbers again: (what, layer, head)."""
    shape = (len(MEASURED), picture["layers"], picture["heads"])
    return torch.frombuffer(bytearray(measured), dtype=torch.float32).view(shape)
