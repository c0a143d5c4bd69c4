"""Which tokens mattered for the next one, in three answers side by side, as the tokens panel shows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.attribution import Attribution, attribution
from bloomlab.lens.attributions import Attributions, attributions
from bloomlab.lens.cases import Case
from bloomlab.lens.lengths import Progress
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.attribution import ANSWERS, TokenAttribution
from bloomlab.views.shared.like_texts import LikeTexts, stand
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, names, table, text_cell

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace
    from bloomlab.views.shared.bars import Bars

NOBODY: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "done": 0,  # passes of the model, or points of the way
    "total": 0,
    "answer": "",
    "rival": "",
    "instead": "",
    "kind": "",  # the same as the page asks for it: mean or drawn
    "texts": "",  # what the texts are called that the numbers are means over, if they are
    "spread": {},  # of them: left_out, gradient, integrated: the standard deviation of each place
    "difference": 0.0,
    "left_out": [],  # of each token, in nats; None where it was not measured yet
    "gradient": [],
    "integrated": [],
    "furthest": -1,  # the token at which the first and the last part most
    "says": "",
    "closes": "",
    "code": "",
}
MOST_ROWS = 64  # tokens in the table without script: the last ones
CODE = "{before}print(lab.attribution({text!r}{named}))\n"


def mattered_steps(
    trace: "Trace",
    model: BloomForCausalLM | None,
    tokenizer: BloomTokenizerFast,
    shown: Shown,
    like: LikeTexts | None = None,
) -> Iterator[tuple[dict[str, Any], Attribution | Attributions | None]]:
    """The three answers, a batch of runs each step; of many texts, the mean of those so far.

    Raises:
        InputError: before the first step, there is no model, the run was edited, a name is no token, or there are no
            other texts.
    """
    if model is None:
        raise InputError("this view was made without a model to measure; lab.tokens(text) has one")
    if trace.edit:
        raise InputError("the tokens are weighed in the text as it is; choose “as it is”, or take the changes back")
    text, named = str(trace.text), {"answer": shown["mattered_answer"], "rival": shown["mattered_rival"]}
    place = stand(like, text, shown["mattered_instead"], "mean")
    asked = "".join(f", {name}={token!r}" for name, token in named.items() if token)
    asked += f", instead={place.code}" if place.code else ""
    before, over = place.before, ""
    steps: Iterator[Progress[Attribution]] | Iterator[Progress[Attributions]]
    if shown["mattered_over"] == "texts":
        if like is None:
            raise InputError("this view has no other texts to measure in; make it with lab.explore(text, texts=[…])")
        cases = [Case(text, "", **named), *like.cases(text, **named)]
        before, code = like.code(text, **named)
        asked, over = f"{asked}, texts={code}", f"this text and {like.name(len(cases) - 1)}"
        steps = attributions(model, tokenizer, cases, place.edit)
    else:  # it refuses a name that is no token
        steps = attribution(model, tokenizer, text, named["answer"] or None, named["rival"] or None, place.edit)
    piece = {**shown["mattered"], "state": "running", "message": "", "done": 0, "total": 0}
    yield {"mattered": piece, "attributing": "open"}, None
    for step in steps:
        piece = {**piece, "done": step.done, "total": step.total}
        found = step.results[0] if step.results else None
        if found is not None:
            shows = TokenAttribution(found, stamp(trace.provenance))
            piece |= {"kind": place.kind, "texts": over, **_page(shows)}
        piece["code"] = CODE.format(before=before, text=trace.text, named=asked)
        yield {"mattered": piece}, found


def _page(shows: TokenAttribution) -> dict[str, Any]:
    """What was found so far, as the page draws it."""
    found = shows.found
    whole = not bool(shows.integrated.isnan().any())
    spread = {name: _numbers(values) for name in ANSWERS if (values := shows.spread(name)) is not None}
    return {
        "answer": readable(found.answer),
        "rival": readable(found.rival),
        "instead": readable(found.instead),
        "difference": found.difference,
        "left_out": _numbers(shows.left_out),
        "gradient": _numbers(shows.gradient),
        "integrated": _numbers(shows.integrated),
        "spread": spread,
        "furthest": found.furthest if whole else -1,
        "says": shows.sentence if whole else "",
        "closes": shows.closes if whole else "",
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def mattered_bars(picture: dict[str, Any], mattered: dict[str, Any]) -> "tuple[list[str], list[Bars]]":
    """The three answers as a figure draws them, of the last tokens: their names, and a column each."""
    from bloomlab.views.shared.bars import Bars

    shown = [f"{place} {name}" for place, name in enumerate(names(picture))][-MOST_ROWS:]
    titles = (f"left out, nats: {mattered['instead']}", "gradient × input, nats", "integrated gradients, nats")
    columns = [
        Bars(title, mattered[name][-MOST_ROWS:], mattered["spread"].get(name, [])[-MOST_ROWS:])
        for name, title in zip(ANSWERS, titles, strict=True)
    ]
    return shown, columns


def mattered_html(picture: dict[str, Any], mattered: dict[str, Any]) -> str:
    """The three answers as a table, where no script runs; nothing if they were not asked for."""
    if not mattered["left_out"]:
        return ""
    columns = [[change_cell(float("nan") if one is None else one, 2) for one in mattered[name]] for name in ANSWERS]
    for column, name in enumerate(ANSWERS):
        if name in mattered["spread"]:
            spreads = mattered["spread"][name]
            columns[column] = [f"{cell} ± {one:.2f}" for cell, one in zip(columns[column], spreads, strict=True)]
    rows = [
        [f"{place} {text_cell(name)}", *cells]
        for place, (name, *cells) in enumerate(zip(names(picture), *columns, strict=True))
    ]
    head = ("token", "left out", "gradient × input", "integrated")
    caption = f"In nats of the lead. {mattered['closes']}"
    return f'<p dir="auto">{escaped(mattered["says"])}</p>{table(head, rows[-MOST_ROWS:], caption)}'
