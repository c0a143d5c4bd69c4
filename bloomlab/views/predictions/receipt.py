"""The receipt of the next token for the page: which part of the model wrote it, a line for each, the largest first."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bloomlab.errors import HookError, InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, in_order
from bloomlab.lens import receipt as lens
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import drawn
from bloomlab.tracing.edits import NamedEdit, zero
from bloomlab.tracing.record import record
from bloomlab.views.receipt import ReceiptTable, rival_of, token_number, where_in
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, table, text_cell, word

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

Like = Callable[[str], Sequence[str]]
"""Texts like one, of as many tokens."""

IDLE: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "mode": "",  # direct or total
    "done": 0,
    "total": 0,
    "message": "",
    "at": -1,  # the token that it is read after
    "where": "",
    "token": "",
    "versus": "",
    "difference": 0.0,
    "error": 0.0,
    "instead": "",  # what stands in a part's place for its total
    "kind": "",  # the same as the page asks for it: zero or drawn
    "lines": [],  # name, direct, adapted, total, words, spot, axes
    "rest": [0, 0.0],  # how many smaller lines there are, and their sum
    "says": "",
    "closes": "",
    "code": "",  # the Python that gives the same; of a run without edits
}
LINES = 14  # that cross to the page
LITTLE = 0.05  # nats: a smaller effect names no part

CODE = "print(lab.receipt({text!r}, {token!r}, {versus!r}, {at}{texts}))\n"


def measured_by(shown: Shown, tokenizer: BloomTokenizerFast, size: int) -> str | int | None:
    """What the token is measured by, as `lab.receipt` takes it; the vocabulary has `size` tokens.

    Raises:
        InputError: it is no token.
    """
    if shown["receipt_by"] == "token":
        rival = shown["receipt_versus"] or shown["receipt_rival"]
        return "runner-up" if rival == -1 else token_number(tokenizer, size, rival)
    return lens.MEAN if shown["receipt_by"] == "mean" else None


def receipt_steps(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    shown: Shown,
    like: Like | None,
) -> Iterator[tuple[dict[str, Any], ReceiptTable | None]]:
    """The receipt of the token that comes after the chosen one, as the panel shows it; then its totals, if asked for.

    An edited run is read anew with its edits, and so is each run in which a part is replaced.

    Raises:
        InputError: before the first step, a token is no token; later, the model's stream is no sum.
    """
    size, at = model.config.vocab_size, shown["query"]
    named = None if shown["receipt_token"] == "" else token_number(tokenizer, size, shown["receipt_token"])
    versus = measured_by(shown, tokenizer, size)
    mode = "direct" if shown["explaining"] == "direct" else "total"
    piece = {**shown["receipt"], "state": "running", "mode": mode, "done": 0, "total": 0, "message": ""}
    yield {"receipt": piece, "explaining": mode}, None

    run = partial(record, model, tokenizer)
    read = run(trace.ids, lens.READ, trace.edit)
    best: list[int] = lens.said(model, read, at).topk(2).indices.tolist()
    first = named if named is not None else next(one for one in best if one != versus)
    second, rival = rival_of(tokenizer, size, versus, next(one for one in best if one != first))
    if second == first:
        raise InputError("the token and what it is measured by are the same, so their difference is 0; name another")
    found = lens.receipt(model, read, first, second, at)
    kind, instead, says = _in_place(str(trace.text), shown["receipt_instead"], like)
    where = where_in(trace, at) + (", with the changes" if trace.edit else "")
    shows = ReceiptTable(found, word(tokenizer, first), rival, where, says, stamp(trace.provenance))
    places = lens.places_of_parts(trace.config.n_layer, trace.config.n_head)
    texts = f", texts=lab.like({trace.text!r})" if kind == "drawn" and mode == "total" else ""
    code = "" if trace.edit else CODE.format(text=trace.text, token=first, versus=second, at=at, texts=texts)
    piece = {**piece, "at": at, "kind": kind, "instead": says, "code": code, **_page(shows, places)}
    if mode == "direct":
        yield {"receipt": piece}, shows
        return
    piece = {**piece, "total": len(places)}
    yield {"receipt": piece}, shows

    def edited(ids: Any, edit: dict[str, list[Edit]]) -> "Trace":
        both: dict[str, list[Edit]] = {spot: list(in_order(spot, one)) for spot, one in trace.edit.items()}
        for spot, several in edit.items():
            both[spot] = [*both.get(spot, []), *several]
        return run(ids, lens.READ, both)

    for done, measured in lens.total_effects(model, edited, read, found, first, second, at, instead):
        shows = ReceiptTable(measured, shows.token, rival, where, says, shows.stamp)
        piece = {**piece, "done": done, **_page(shows, places)}
        yield {"receipt": piece}, shows


def _in_place(text: str, kind: str, like: Like | None) -> tuple[str, Callable[..., NamedEdit], str]:
    """What stands in a part's place: as the page asks for it, the edit, and in words."""
    if kind == "drawn" and like is not None:
        try:
            texts = list(like(text))
            return "drawn", partial(drawn, texts), f"what one of {len(texts)} like texts has"
        except (InputError, HookError):  # nothing is known that is like this text
            pass
    return "zero", zero, "zeros" if kind == "zero" else "zeros (there are no texts like this one)"


def _page(shows: ReceiptTable, places: dict[int, tuple[str, dict[str, int]]]) -> dict[str, Any]:
    """A receipt as the page draws it."""
    found, order = shows.receipt, shows.order()
    lines = []
    for part in order[:LINES]:
        spot, axes = places.get(part, ("", {}))
        total = None if found.total is None or not spot or found.total[part].isnan() else found.total[part].item()
        numbers = {"direct": found.direct[part].item(), "adapted": found.adapted[part].item(), "total": total}
        where = {"spot": spot, "axes": {axis: [index] for axis, index in axes.items()}}
        lines.append({"name": found.names[part], **numbers, "words": shows.words(part), **where})
    rest = order[LINES:]
    return {
        "token": readable(shows.token),
        "versus": readable(shows.versus),
        "where": readable(shows.where),
        "difference": found.difference,
        "error": found.error,
        "lines": lines,
        "rest": [len(rest), found.direct[rest].sum().item()],
        "says": readable(_finding(shows, list(places))),
        "closes": f"the {len(found.names)} lines sum to {change_cell(found.difference)}, error {found.error:.0e}",
    }


def _finding(shows: ReceiptTable, parts: list[int]) -> str:
    """What it comes to, in a sentence; of the totals, which part costs most, and what follows makes of that."""
    found = shows.receipt
    largest = int(found.direct.abs().argmax())
    ahead = f"{shows.token} against {shows.versus}, {shows.where}: {change_cell(found.difference)} nats"
    said = f"{ahead}; the largest line is {found.names[largest]}, {change_cell(found.direct[largest].item(), 2)}."
    if found.total is None:
        return said
    parts = [part for part in parts if part]  # without the embedding there is no text at all
    most = parts[int(found.total[parts].nan_to_num().argmax())]
    lost, words = found.total[most].nan_to_num().item(), shows.words(most)
    if lost < LITTLE:
        return said
    own = f"its own line {change_cell(found.direct[most].item(), 2)}{f'; {words}' if words else ''}"
    return f"{said} With {shows.instead} in its place, {found.names[most]} costs most: {lost:.2f} ({own})."


def receipt_html(piece: dict[str, Any]) -> str:
    """The lines as a table, where no script runs; nothing if there are none."""
    if not piece["lines"]:
        return ""
    measured = any(line["total"] is not None for line in piece["lines"])
    rows = [
        [
            text_cell(line["name"]),
            change_cell(line["direct"], 2),
            *([change_cell(float("nan") if line["total"] is None else line["total"], 2)] if measured else []),
            escaped(line["words"]),
        ]
        for line in piece["lines"]
    ]
    count, rest = piece["rest"]
    if count:
        rows.append([text_cell(f"{count} smaller parts"), change_cell(rest, 2), *([""] if measured else []), ""])
    head = ["part", "direct", *(["total"] if measured else []), "and then"]
    total = f"; total: {piece['instead']} in its place" if measured else ""
    caption = f"{piece['closes']}. In nats; direct: the last norm held{total}."
    return f'<p dir="auto">{escaped(piece["says"])}</p>{table(head, rows, caption)}'
