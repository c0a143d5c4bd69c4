"""Why this look: its score as parts of the query × parts of the key, the largest of them as the page shows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.lens.look_receipt import READ, LookReceipt, look_receipt
from bloomlab.lens.look_receipts import LookReceipts, look_receipts
from bloomlab.lens.receipt import places_of_parts
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.record import record
from bloomlab.views.shared.like_texts import LikeTexts
from bloomlab.views.shared.panel import Shown, here, own
from bloomlab.views.shared.tables import change_cell, names, table, text_cell
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace
    from bloomlab.views.shared.bars import Bars

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
    "texts": "",  # what the texts are called that all numbers are means over, if they are
    "spread": {},  # of them: the standard deviation of the score, and of each of the three in their order
    "done": 0,  # texts
    "total": 0,
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
MANY = """\
from bloomlab.lens.look_receipts import look_receipts
{before}*_, last = look_receipts(lab.model, lab.tokenizer, {texts}, {layer}, {head}, {query}, {key}{other})
looks = last.results[0]
print(looks.score.mean(), dict(zip(looks.names, looks.of_key.mean(0).tolist())))
"""


def place_of(shown: Shown) -> dict[str, int]:
    """The look that is explained; a key that comes after the query is compared with nothing, nor is the key itself."""
    against = shown["against"]
    return here(shown) | {"against": against if 0 <= against <= shown["query"] and against != shown["key"] else -1}


def look_steps(
    trace: "Trace", shown: Shown, like: LikeTexts | None
) -> Iterator[tuple[dict[str, Any], LookReceipt | LookReceipts | None]]:
    """The receipt of the chosen look: the text is read anew for the parts of its states. Of many texts, the mean.

    Raises:
        InputError: before the first step, the trace has no model at hand; in it, the model's stream is no sum, or there
            are no other texts.
    """
    model, tokenizer = own(trace, "model", None), own(trace, "tokenizer", None)
    if model is None:
        raise InputError("this trace has no model at hand to read its parts with; show its text: view.show(text)")
    place = place_of(shown)
    yield {"look": {**shown["look"], "state": "running", "message": "", "done": 0}, "explaining": "open"}, None

    if shown["look_over"] == "texts":
        yield from _over_texts(trace, model, tokenizer, shown, like)
        return
    read = record(model, tokenizer, trace.ids, READ, trace.edit, by_need=True)
    layer, head, query, key, against = (place[name] for name in ("layer", "head", "query", "key", "against"))
    found = look_receipt(model, read, layer, head, query, key)
    if against >= 0:
        found = found.against(look_receipt(model, read, layer, head, query, against))
    code = "" if trace.edit else CODE + (AGAINST if against >= 0 else "") + PRINT
    look = {
        **_page(found, place, trace),
        "error": found.error,
        "says": _finding(found, place, names(shown["picture"])),
        "code": code.format(text=trace.text, **place),
    }
    yield {"look": look}, found


def _over_texts(
    trace: "Trace", model: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, shown: Shown, like: LikeTexts | None
) -> Iterator[tuple[dict[str, Any], LookReceipts]]:
    """The same look in other texts: the mean of its parts so far."""
    if trace.edit:
        raise InputError("many texts are read as they are; choose “this text”, or take the changes back")
    if like is None:
        raise InputError("this view has no other texts to measure in; make it with lab.explore(text, texts=[…])")
    place, text = place_of(shown), str(trace.text)
    cases = like.cases(text)
    before, texts = like.code(text)
    layer, head, query, key, against = (place[name] for name in ("layer", "head", "query", "key", "against"))
    other = None if against < 0 else against
    named = {"before": before, "texts": texts, "other": "" if other is None else f", {other}"}
    for step in look_receipts(model, tokenizer, cases, layer, head, query, key, other):
        found = step.results[0]
        mean = LookReceipt(found.names, found.parts.mean(0), found.score.mean().item(), 0.0)
        sides = {
            "query": (found.of_query, PARTS),
            "key": (found.of_key, PARTS),
            "pairs": (found.parts.flatten(1), PAIRS),
        }
        look = {
            **_page(mean, place, trace),
            "error": abs(mean.parts.double().sum().item() - mean.score),
            "texts": like.name(len(found.score)),
            "done": step.done,
            "total": step.total,
            "spread": {"score": _std(found.score), **{side: _spreads(*one) for side, one in sides.items()}},
            "says": _finding_over(found, place, names(shown["picture"]), like.name(len(found.score))),
            "code": MANY.format(**named, **place),
        }
        yield {"look": look}, found


def _spreads(values: Tensor, most: int) -> list[float]:
    """The spread of each of the parts with the largest means, as `_page` has them; values are (text, part)."""
    return [_std(values[:, part]) for part in _largest(values.mean(0))[:most]]


def _std(values: Tensor) -> float:
    return values.std(unbiased=False).item()


def _page(found: LookReceipt, place: dict[str, int], trace: "Trace") -> dict[str, Any]:
    """The largest parts as the page draws them."""
    places = places_of_parts(place["layer"], trace.config.n_head)

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
    sides = {"query": side(found.of_query, place["query"]), "key": side(found.of_key, place["key"])}
    return {**IDLE, "state": "running", "place": place, "score": found.score, **sides, "pairs": pairs, "rest": rest}


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


def _finding_over(found: LookReceipts, place: dict[str, int], shown: list[str], texts: str) -> str:
    """What the look comes to in many texts: mean and spread."""
    most = int(found.of_key.mean(0).abs().argmax())

    def said(values: Tensor) -> str:
        return f"{change_cell(values.mean().item(), 2)} ± {_std(values):.2f}"

    ahead = f"{texts}: head {place['layer']}.{place['head']}, token {place['query']} at token {place['key']}"
    ahead += "" if place["against"] < 0 else f" and not at token {place['against']}"
    turned = int((found.score.sign() != found.score.mean().sign()).sum())
    said_of_key = f"{found.names[most]} in the key gives {said(found.of_key[:, most])}"
    return f"{ahead}: {said(found.score)} nats, in {turned} of {len(found.score)} the other way; {said_of_key}."


def look_bars(look: dict[str, Any]) -> "list[Bars]":
    """The parts as a figure draws them: a column for the key's, the query's, and the largest products."""
    from bloomlab.views.shared.bars import Bars

    columns = []
    for side, title in (("key", "parts of the key"), ("query", "parts of the query"), ("pairs", "query × key")):
        pairs = [(f"{one} × {other}", value) for one, other, value in look["pairs"]]
        rows = pairs if side == "pairs" else [(part["name"], part["value"]) for part in look[side]]
        spreads = look["spread"].get(side, [])
        if look["rest"][side][0]:
            rows = [*rows, (f"{look['rest'][side][0]} smaller", look["rest"][side][1])]
            spreads = [*spreads, None] if spreads else []
        columns.append(Bars(f"{title}, nats", [value for _, value in rows], spreads, [name for name, _ in rows]))
    return columns


def look_html(look: dict[str, Any]) -> str:
    """The receipt of a look as a table, where no script runs; nothing if there is none."""
    if not look["pairs"]:
        return ""
    spreads = [f" ± {one:.2f}" for one in look["spread"].get("pairs", [])] or [""] * len(look["pairs"])
    rows = [
        [f"{text_cell(one)} × {text_cell(other)}", f"{change_cell(value, 2)}{spread}"]
        for (one, other, value), spread in zip(look["pairs"], spreads, strict=True)
    ]
    count, rest = look["rest"]["pairs"]
    if count:
        rows.append([f"{count} smaller products", change_cell(rest, 2)])
    caption = f"The products sum to {change_cell(look['score'])} nats, error {look['error']:.0e}."
    return (
        f'<p dir="auto">{escaped(look["says"])}</p>{table(("part of the query × of the key", "nats"), rows, caption)}'
    )
