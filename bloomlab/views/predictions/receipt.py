"""The receipt of the next token for the page: which part of the model wrote it, a line for each, the largest first.

Of a task head's label it is the same with that head's own copy of the model. An MLP's line can be opened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, NamedEdit, in_order
from bloomlab.lens import receipt as lens
from bloomlab.lens.receipts import Receipts, receipts
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import drawn, in_words
from bloomlab.views.predictions.inside import opened
from bloomlab.views.predictions.question import NEXT, Question, measured_by, question
from bloomlab.views.receipt import ReceiptTable, token_number, where_in
from bloomlab.views.shared.like_texts import LikeTexts, Stand, stand
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, table, text_cell
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace
    from bloomlab.views.shared.bars import Bars

IDLE: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "mode": "",  # direct or total
    "head": "",  # next, or the task head whose label it is of
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
    "lines": [],  # name, direct, adapted, total, words, spot, axes; of many texts also "over": `_spread` of both
    "rest": [0, 0.0],  # how many smaller lines there are, and their sum
    "texts": "",  # what the texts are called that the lines are means over, if they are
    "over": None,  # of many texts, mean and spread of the difference, and of the smaller lines' sum
    "says": "",
    "closes": "",
    "code": "",  # the Python that gives the same; of a run without edits
}
LINES = 14  # that cross to the page
LITTLE = 0.05  # nats: a smaller effect names no part

CODE = "{before}found = lab.receipt({text!r}, {token!r}, {versus!r}, {at}{more})\nprint(found)\n"


def receipt_steps(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
    like: LikeTexts | None,
    before: Callable[[Sequence[str]], Question] | None = None,
) -> Iterator[tuple[dict[str, Any], ReceiptTable | None]]:
    """The receipt of the token that comes after the chosen one, or of a head's label there; then its totals, if asked
    for; then, if asked for, the same in many texts.

    An edited run is read anew with its edits, and so is each run in which a part is replaced. With `before`, which
    gives the same of another run that has read some spots, it is the difference of two receipts.

    Raises:
        InputError: before the first step, a token is no token; later, the model's stream is no sum, or there are no
            other texts.
    """
    mode = "direct" if shown["explaining"] == "direct" else "total"
    many = shown["receipt_over"] == "texts"
    if shown["receipt_head"] == NEXT:  # what is no token is refused here
        measured_by(shown, tokenizer, model.config.vocab_size)
        if shown["receipt_token"]:
            token_number(tokenizer, model.config.vocab_size, shown["receipt_token"])
    piece = {**shown["receipt"], "state": "running", "mode": mode, "done": 0, "total": 0, "message": ""}
    yield {"receipt": piece, "explaining": mode}, None

    if before is not None:
        yield _difference(trace, model, tokenizer, heads, shown, before, piece)
        return
    asked = question(trace, model, tokenizer, heads, shown)
    read, first, second, at = asked.read, asked.first, asked.second, asked.at
    found = lens.receipt(asked.model, read, first, second, at)
    place = _stand(asked, tokenizer, trace, shown["receipt_instead"], like)
    shows = ReceiptTable(found, *asked.words, asked.where, place.words, stamp(trace.provenance))
    shows.open = partial(opened, trace, model, tokenizer, heads, shown)
    config = trace.config
    places = lens.places_of_parts(config.n_layer, config.n_head)
    code = "" if trace.edit else _code(asked, place, mode)
    piece = {**piece, "head": asked.head, "at": shown["query"], "kind": place.kind, "instead": place.words, "texts": ""}
    piece = {**piece, "over": None, "code": code, **_page(shows, places)}
    instead = place.edit.again if place.edit is not None and mode == "total" else None
    piece = {**piece, "total": len(places) if instead else 0}
    if instead is None and not many:
        yield {"receipt": piece}, shows
        return
    yield {"receipt": piece}, shows

    def edited(ids: Tensor, edit: dict[str, list[Edit]]) -> "Trace":
        both: dict[str, list[Edit]] = {spot: list(in_order(spot, one)) for spot, one in asked.edit.items()}
        for spot, several in edit.items():
            both[spot] = [*both.get(spot, []), *several]
        return asked.run(ids, lens.READ, both)

    if instead is not None:
        for done, measured in lens.total_effects(asked.model, edited, read, found, first, second, at, instead):
            shows = replaced(shows, measured)
            piece = {**piece, "done": done, **_page(shows, places)}
            yield {"receipt": piece}, shows
    if many:
        yield from _over_texts(asked, tokenizer, like, place, instead, piece, shows, places)


def _difference(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
    before: Callable[[Sequence[str]], Question],
    piece: dict[str, Any],
) -> tuple[dict[str, Any], ReceiptTable]:
    """By how much each line of the receipt has changed from the run as it is."""
    spots = [*lens.READ, *trace.edit]  # both runs go through the same code for attention, so that they round alike
    asked = question(trace, model, tokenizer, heads, shown, spots)
    other = before(spots)
    pair = asked.first, asked.second
    after, was = (lens.receipt(one.model, one.read, *pair, one.at) for one in (asked, other))
    direct, difference = after.direct - was.direct, after.difference - was.difference
    error = abs(direct.double().sum().item() - difference)
    found = lens.Receipt(after.names, direct, after.adapted - was.adapted, difference, error)
    where = f"{where_in(trace, shown['query'])}, what if − as it is"
    shows = ReceiptTable(found, *asked.words, where, "", stamp(trace.provenance))
    page = _page(shows, lens.places_of_parts(trace.config.n_layer, trace.config.n_head))
    most = int(direct.abs().argmax())
    says = f"{' against '.join(asked.words)}, {where}: {change_cell(difference)} nats"
    says += (
        "; no line changes."
        if not direct.any()
        else (f"; the line that changes most is {found.names[most]}, {change_cell(direct[most].item(), 2)}.")
    )
    page |= {"says": readable(says), "head": asked.head, "at": shown["query"], "mode": "direct"}
    page |= {"texts": "", "over": None, "code": "", "kind": "", "instead": ""}
    return {"receipt": {**piece, **page}}, shows


def replaced(shows: ReceiptTable, found: lens.Receipt, texts: Receipts | None = None) -> ReceiptTable:
    """The same table of other numbers."""
    other = ReceiptTable(found, shows.token, shows.versus, shows.where, shows.instead, shows.stamp)
    other.open, other.texts = shows.open, texts
    return other


def _over_texts(
    asked: Question,
    tokenizer: BloomTokenizerFast,
    like: LikeTexts | None,
    place: Stand,
    instead: Callable[..., NamedEdit] | None,
    piece: dict[str, Any],
    shows: ReceiptTable,
    places: dict[int, tuple[str, dict[str, int]]],
) -> Iterator[tuple[dict[str, Any], ReceiptTable]]:
    """The receipts of the other texts, each of its own answer."""
    if asked.head != NEXT or not isinstance(asked.model, BloomForCausalLM):
        raise InputError("many texts have receipts of the next token; choose it, or “this text”")
    if asked.edit:
        raise InputError("many texts are read as they are; choose “this text”, or take the changes back")
    if like is None:
        raise InputError("this view has no other texts to measure in; make it with lab.explore(text, texts=[…])")
    named = {name: _text_of(tokenizer, one) for name, one in zip(("answer", "rival"), asked.named, strict=True)}
    cases = like.cases(asked.text, **named)
    before, texts = like.code(asked.text, **named)
    piece = {**piece, "code": _code(asked, place, piece["mode"], before, texts), "texts": like.name(len(cases))}
    kind = asked.second if asked.second in (lens.MEAN, None) else "runner-up"
    for step in receipts(asked.model, tokenizer, cases, instead, kind, asked.at):
        piece = {**piece, "done": step.done, "total": step.total}
        if step.results:
            shows = replaced(shows, shows.receipt, step.results[0])
            piece |= _page(shows, places, piece["texts"])
        yield {"receipt": piece}, shows


def _text_of(tokenizer: BloomTokenizerFast, token: Any) -> str:
    """A token as the text that names it; "" where none does."""
    text = tokenizer.decode([token]) if isinstance(token, int) else ""
    return text if text and tokenizer.encode(text) == [token] else ""


def _code(asked: Question, place: Stand, mode: str, before: str = "", texts: str = "") -> str:
    more = f", texts={texts}" if texts else ""
    more += "" if asked.head == NEXT else f", head={asked.head!r}"
    if mode == "total" and not (place.default and not texts):
        more, before = f"{more}, instead={place.code}", before or place.before
    token, versus = asked.named
    return CODE.format(before=before, text=asked.text, token=token, versus=versus, at=asked.at, more=more)


def _stand(asked: Question, tokenizer: BloomTokenizerFast, trace: "Trace", kind: str, like: LikeTexts | None) -> Stand:
    """What stands in a part's place; in a question and its text, like texts behind the same question."""
    found = stand(like, str(trace.text), kind)
    if asked.head != "answer" or found.kind != "drawn" or like is None:
        return found
    question = asked.text.removesuffix(str(trace.text))
    texts = [f"{question}{one}" for one in like.set_of(str(trace.text)).texts]
    texts = [one for one in texts if len(tokenizer.encode(one)) == asked.read.ids.shape[1]]
    if not texts:
        return stand(None, "", kind)
    edit = drawn(texts)
    before, code = (
        found.before,
        f"bloomlab.drawn([{question!r} + text for text in {found.code[len('bloomlab.drawn(') : -1]}])",
    )
    return Stand("drawn", edit, in_words(edit), before, code)


def _page(shows: ReceiptTable, places: dict[int, tuple[str, dict[str, int]]], texts: str = "") -> dict[str, Any]:
    """A receipt as the page draws it."""
    found, order = shows.receipt, shows.order()
    if shows.texts is not None:  # the lines are means then
        means = shows.texts.direct.mean(0).abs().maximum(shows.texts.total.mean(0).nan_to_num().abs())
        order = means.argsort(descending=True, stable=True).tolist()
    lines = []
    for part in order[:LINES]:
        spot, axes = places.get(part, ("", {}))
        total = None if found.total is None or not spot or found.total[part].isnan() else found.total[part].item()
        numbers = {"direct": found.direct[part].item(), "adapted": found.adapted[part].item(), "total": total}
        where = {"spot": spot, "axes": {axis: [index] for axis, index in axes.items()}}
        over = {} if shows.texts is None else {"over": _line_over(shows.texts, part, bool(spot))}
        lines.append({"name": found.names[part], **numbers, "words": shows.words(part), **where, **over})
    rest = order[LINES:]
    page: dict[str, Any] = {
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
    if shows.texts is not None:
        several = shows.texts
        sums = {"difference": _spread(several.difference), "rest": _spread(several.direct[:, rest].sum(1))}
        page |= {"over": sums, "says": readable(_finding_over(shows, list(places), texts))}
    return page


def _line_over(several: Receipts, part: int, replaced: bool) -> dict[str, Any]:
    total = several.total[:, part]
    return {
        "direct": _spread(several.direct[:, part]),
        "total": _spread(total) if replaced and total.isfinite().all() and total.any() else None,
    }


def _spread(values: Tensor) -> list[float]:
    """Mean, standard deviation, and in which share of the texts the sign is another than that of the mean."""
    mean = values.mean()
    turned = (values.sign() != mean.sign()).float().mean().item()
    return [mean.item(), values.std(unbiased=False).item(), turned]


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


def _finding_over(shows: ReceiptTable, parts: list[int], texts: str) -> str:
    """The same of many texts: mean and spread."""
    several, names = shows.texts, shows.receipt.names
    if several is None:
        return ""
    means = several.direct.mean(0)
    largest = int(means.abs().argmax())
    difference, line = (_in_words(_spread(one)) for one in (several.difference, several.direct[:, largest]))
    said = f"{texts}, each of its own answer: {difference} nats; the largest line is {names[largest]}, {line}."
    parts = [part for part in parts if part]
    totals = several.total[:, parts]
    if totals.isnan().any() or not totals.any():
        return said
    most = parts[int(totals.mean(0).argmax())]
    lost = _spread(several.total[:, most])
    return f"{said} With {shows.instead} in its place, {names[most]} costs most: {_in_words(lost)}."


def _in_words(spread: list[float]) -> str:
    return f"{change_cell(spread[0], 2)} ± {spread[1]:.2f}"


def receipt_bars(piece: dict[str, Any]) -> "tuple[list[str], list[Bars]]":
    """The lines as a figure draws them: their names, and a column of direct and one of total effects."""
    from bloomlab.views.shared.bars import Bars

    lines, (count, rest), over = piece["lines"], piece["rest"], piece["over"]
    names = [line["name"] for line in lines] + ([f"{count} smaller parts"] if count else []) + ["the difference"]
    more = ([over["rest"] if over else [rest, None]] if count else []) + [
        over["difference"] if over else [piece["difference"], None]
    ]
    columns = []
    for kind in ("direct", "total"):
        told = [line["over"][kind] if "over" in line else [line[kind], None] for line in lines]
        pairs = [one or [None, None] for one in told] + (more if kind == "direct" else [[None, None]] * len(more))
        if any(pair[0] is not None for pair in pairs):
            title = "direct, nats" if kind == "direct" else f"total, nats: {piece['instead']} in its place"
            columns.append(Bars(title, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    return names, columns


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
