"""The ALiBi view without script: for a page whose kernel is gone, for GitHub, for a terminal."""

import math
from typing import Any

import torch
from torch import Tensor

from bloomlab.guards.markup import escaped
from bloomlab.views.alibi.payload import MEASURED, of_layer


def still_text(picture: dict[str, Any], layer: int, head: int) -> str:
    """One line for a terminal."""
    reach = [math.inf if tokens is None else tokens for tokens in of_layer(picture, layer)[1]["reach"]]
    return (
        f"{picture['layers']} layers × {picture['heads']} heads, reach {min(reach):.0f} to {max(reach):.0f} tokens, "
        f"shows layer {layer}, head {head}"
    )


def still_html(picture: dict[str, Any], measured: bytes, layer: int) -> str:
    """The text's chips, and a row of numbers for every head of one layer."""
    if not picture:
        return "<p>bloomlab, ALiBi: nothing read yet.</p>"
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
