"""Where the answer is carried: a map of effects, estimated first and then measured, as the page draws it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.cases import Case
from bloomlab.lens.patching import effects, effects_over
from bloomlab.lens.receipt import said
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.effects import EffectMap
from bloomlab.views.shared.like_texts import LikeTexts, Stand, stand
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, table, text_cell

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

NOWHERE: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "done": 0,  # cells
    "total": 0,
    "what": "",
    "mode": "",
    "of": "",  # of which head a map of looks is: "3.4"
    "kind": "",  # what stands in a cell's place, as the page asks for it: zero or drawn; "" of another text
    "other": "",  # that text
    "texts": 1,  # how many the values are means of
    "answer": "",
    "rival": "",
    "offers": [],  # tokens that may be meant by these
    "rows": [],
    "columns": [],
    "values": [],  # row by row, shares of the lead: measured, else estimated; None where there is no cell
    "nats": [],  # the same; of many texts their mean
    "measured": [],  # whether each was measured
    "spread": [],  # of several texts, the standard deviation of each cell
    "turned": [],  # and in which share of them it has another sign; where that is too many it is in "unstable"
    "unstable": [],
    "unit": 0.0,  # nats of a share of 1
    "floor": None,  # the noise, as a share
    "largest": [0, 0],
    "says": "",
    "trust": "",
    "code": "",
}
OFFERS = 8
SHOWN = 12  # cells in the table without script: the largest


def effect_steps(
    trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, shown: Shown, like: LikeTexts | None
) -> Iterator[tuple[dict[str, Any], EffectMap | None]]:
    """The map, a batch of cells each step; of many texts, the mean of their maps so far.

    Raises:
        BloomlabError: before the first step, the run was edited, the two texts do not fit each other, or there are no
            other texts.
    """
    if trace.edit:
        raise InputError("the map is of the text as it is; choose “as it is”, or take the changes back")
    text, other = str(trace.text), shown["map_other"]
    named = {"answer": shown["map_answer"], "rival": shown["map_rival"]}
    what, mode = shown["map_what"], shown["map_mode"]
    settings: dict[str, Any] = {"what": what, "mode": mode}
    settings |= {"layer": shown["layer"], "head": shown["head"]} if what == "looks" else {}
    asked = "".join(f", {name}={value!r}" for name, value in settings.items())
    asked += "".join(f", {name}={token!r}" for name, token in named.items() if token)
    settings |= {name: token or None for name, token in named.items()}
    place = Stand("", None, "") if other else stand(like, text, shown["map_instead"])
    before, many = place.before, shown["map_over"] == "texts"
    given = f", {other!r}" if other else "" if place.default and not many else f", instead={place.code}"
    if many:
        if like is None:
            raise InputError("this view has no other texts to measure in; make it with lab.explore(text, texts=[…])")
        cases = [Case(text, other, **named), *like.cases(text, other, **named)]
        before, code = like.code(text, other=other, **named)
        given += f", texts={code}"
        steps = effects_over(model, tokenizer, cases, place.edit, **settings)
    else:
        steps = effects(model, tokenizer, text, other or None, place.edit, **settings)
    code = f"{before}print(lab.effects({text!r}{given}{asked}))\n"
    offers = _offers(trace, model, tokenizer)
    piece = {**shown["effects"], "state": "running", "message": "", "done": 0, "total": 0, "offers": offers}
    yield {"effects": piece, "mapping": "open"}, None
    for step in steps:
        piece = {**piece, "done": step.done, "total": step.total}
        shows = None
        if step.results:
            shows = EffectMap(step.results[0], stamp(trace.provenance))
            piece |= {"what": what, "mode": mode, "kind": place.kind, "other": other, "code": code, **_page(shows)}
        yield {"effects": piece}, shows


def _offers(trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> list[str]:
    """The likeliest next tokens that can be named by their texts."""
    tokens = [tokenizer.decode([one]) for one in said(model, trace).topk(min(OFFERS, model.config.vocab_size)).indices]
    return [token for token in tokens if len(tokenizer.encode(token)) == 1]


def _page(shows: EffectMap) -> dict[str, Any]:
    """A map as the page draws it."""
    found = shows.found
    known = bool(shows.values.isfinite().any())
    return {
        "rows": [readable(name) for name in shows.rows],
        "columns": [readable(name) for name in shows.columns],
        "values": _numbers(shows.values),
        "nats": _numbers(found.nats),
        "measured": shows.exact.isfinite().flatten().tolist(),
        "of": found.of,
        "texts": found.texts,
        "answer": readable(found.answer),
        "rival": readable(found.rival),
        "spread": [] if found.spread is None else _numbers(found.spread),
        "turned": [] if found.turned is None else _numbers(found.turned),
        "unstable": [] if found.turned is None else found.unstable.flatten().tolist(),
        "unit": found.unit,
        "floor": found.floor,
        "largest": list(shows.largest()[0]) if known else [0, 0],
        "says": shows.sentence if known else "",
        "trust": shows.trust if known else "",
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.flatten().tolist()]


def effects_html(found: dict[str, Any]) -> str:
    """The largest cells of the map as a table, where no script runs; nothing if there is none."""
    if not found["says"]:
        return ""
    width, values = len(found["columns"]), found["values"]
    order = sorted((i for i, one in enumerate(values) if one is not None), key=lambda i: -abs(values[i]))[:SHOWN]
    rows = [
        [
            f"{text_cell(found['rows'][i // width])} {text_cell(found['columns'][i % width])}",
            ("" if found["measured"][i] else "~")
            + change_cell(values[i], 2)
            + ("?" if found["unstable"] and found["unstable"][i] else ""),
            *([f"± {found['spread'][i]:.2f}"] if found["spread"] else []),
            change_cell(found["nats"][i], 2),
        ]
        for i in order
    ]
    caption = f"The largest of {len(values)} cells. {found['trust']}"
    body = table(("cell", "share", *(["spread"] if found["spread"] else []), "nats"), rows, caption)
    return f'<p dir="auto">{escaped(found["says"])}</p>{body}'
