"""Why this look: its score as parts of the query × parts of the key, the largest of them as the page shows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.lens.look_receipt import READ, LookReceipt, look_receipt
from bloomlab.lens.receipt import places_of_parts
from bloomlab.tracing.record import record
from bloomlab.views.shared.panel import Shown, here, own
from bloomlab.views.shared.tables import change_cell, names, table, text_cell

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

IDLE: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "place": {},  # layer, head, query, key, and against: another key, or -1
    "score": 0.0,  # in nats, before the bias of its distance; against another key, the difference
    "error": 0.0,
    "query": [],  # of each side the largest parts: name, value, spot, axes
    "key": [],
    "pairs": [],  # name of the query's part, name of the key's, value
    "rest": {},  # of each of the three, how many smaller ones there are, and their sum
    "says": "",
    "code": "",
}
PARTS = 5  # of each side that cross to the page
PAIRS = 6
NOTHING = 1e-4  # nats: what rounding may make of two equal keys
CODE = """\
from bloomlab.lens.look_receipt import READ, look_receipt
parts = lab.trace({text!r}, READ)
look = look_receipt(lab.model, parts, {layer}, {head}, {query}, {key})
"""
AGAINST = "look = look.against(look_receipt(lab.model, parts, {layer}, {head}, {query}, {against}))\n"
PRINT = "print(look.score, dict(zip(look.names, look.of_key.tolist())))\n"


def place_of(shown: Shown) -> dict[str, int]:
    """The look that is explained; a key that comes after the query is compared with nothing, nor is the key itself."""
    against = shown["against"]
    return here(shown) | {"against": against if 0 <= against <= shown["query"] and against != shown["key"] else -1}


def look_steps(trace: "Trace", shown: Shown) -> Iterator[tuple[dict[str, Any], LookReceipt | None]]:
    """The receipt of the chosen look, in one step: the text is read anew for the parts of its states.

    Raises:
        InputError: before the step, the trace has no model at hand; in it, the model's stream is no sum.
    """
    model, tokenizer = own(trace, "model", None), own(trace, "tokenizer", None)
    if model is None:
        raise InputError("this trace has no model at hand to read its parts with; show its text: view.show(text)")
    place = place_of(shown)
    yield {"look": {**shown["look"], "state": "running", "message": ""}, "explaining": "open"}, None

    read = record(model, tokenizer, trace.ids, READ, trace.edit, by_need=True)
    layer, head, query, key, against = (place[name] for name in ("layer", "head", "query", "key", "against"))
    found = look_receipt(model, read, layer, head, query, key)
    if against >= 0:
        found = found.against(look_receipt(model, read, layer, head, query, against))
    code = CODE + (AGAINST if against >= 0 else "") + PRINT
    places = places_of_parts(layer, trace.config.n_head)

    def side(values: Tensor, token: int) -> list[dict[str, Any]]:
        parts = []
        for part in _largest(values)[:PARTS]:
            spot, axes = places.get(part, ("", {}))
            if spot:  # nothing stands in a bias's place
                axes = {**axes, "query" if "attn.mixed" in spot else "pos": token}
            parts.append({"name": found.names[part], "value": values[part].item(), "spot": spot, "axes": axes})
        return parts

    flat, count = found.parts.flatten(), len(found.names)
    pairs = [[found.names[one // count], found.names[one % count], flat[one].item()] for one in _largest(flat)[:PAIRS]]
    shapes = {"query": (found.of_query, PARTS), "key": (found.of_key, PARTS), "pairs": (flat, PAIRS)}
    rest = {}
    for name, (values, most) in shapes.items():
        smaller = _largest(values)[most:]
        rest[name] = [len(smaller), values[smaller].sum().item()]
    look = {
        **IDLE,
        "state": "running",
        "place": place,
        "score": found.score,
        "error": found.error,
        "query": side(found.of_query, query),
        "key": side(found.of_key, key),
        "pairs": pairs,
        "rest": rest,
        "says": _finding(found, place, names(shown["picture"])),
        "code": "" if trace.edit else code.format(text=trace.text, **place),
    }
    yield {"look": look}, found


def _largest(values: Tensor) -> list[int]:
    order: list[int] = values.abs().argsort(descending=True, stable=True).tolist()
    return order


def _finding(found: LookReceipt, place: dict[str, int], shown: list[str]) -> str:
    """What the look comes to, and which part of the key gives most of it."""

    def token(name: str) -> str:
        return f"token {place[name]} \u2068{shown[place[name]]}\u2069"

    most = int(found.of_key.abs().argmax())
    score, part = change_cell(found.score), change_cell(found.of_key[most].item(), 2)
    ahead = f"Head {place['layer']}.{place['head']}, {token('query')} at {token('key')}"
    if place["against"] < 0:
        return f"{ahead}: a score of {score} nats; most of the key's side is {found.names[most]}, {part}."
    ahead += f" and not at {token('against')}"
    if abs(found.score) < NOTHING:
        return f"{ahead}: nothing in the score tells the two apart, only how far back they are."
    return f"{ahead}: {score} nats, of which {found.names[most]} in the key gives {part}."


def look_html(look: dict[str, Any]) -> str:
    """The receipt of a look as a table, where no script runs; nothing if there is none."""
    if not look["pairs"]:
        return ""
    rows = [[f"{text_cell(one)} × {text_cell(other)}", change_cell(value, 2)] for one, other, value in look["pairs"]]
    count, rest = look["rest"]["pairs"]
    if count:
        rows.append([f"{count} smaller products", change_cell(rest, 2)])
    caption = f"The products sum to {change_cell(look['score'])} nats, error {look['error']:.0e}."
    return (
        f'<p dir="auto">{escaped(look["says"])}</p>{table(("part of the query × of the key", "nats"), rows, caption)}'
    )
