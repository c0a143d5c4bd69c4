"""Which tokens mattered for the next one, in three answers side by side, as the tokens panel shows them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.markup import escaped
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.attribution import Attribution, attribution
from bloomlab.tasks.results import readable
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.attribution import TokenAttribution
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.views.shared.tables import change_cell, names, table, text_cell

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

NOBODY: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "done": 0,  # passes of the model, or points of the way
    "total": 0,
    "answer": "",
    "rival": "",
    "instead": "",
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
CODE = "print(lab.attribution({text!r}{named}))\n"


def mattered_steps(
    trace: "Trace", model: BloomForCausalLM | None, tokenizer: BloomTokenizerFast, shown: Shown
) -> Iterator[tuple[dict[str, Any], Attribution | None]]:
    """The three answers, a batch of runs each step.

    Raises:
        InputError: before the first step, there is no model, the run was edited, or a name is no token.
    """
    if model is None:
        raise InputError("this view was made without a model to measure; lab.tokens(text) has one")
    if trace.edit:
        raise InputError("the tokens are weighed in the text as it is; choose “as it is”, or take the changes back")
    answer, rival = shown["mattered_answer"] or None, shown["mattered_rival"] or None
    steps = attribution(model, tokenizer, str(trace.text), answer, rival)  # refuses a name that is no token
    named = {"answer": answer, "rival": rival}
    asked = "".join(f", {name}={text!r}" for name, text in named.items() if text is not None)
    piece = {**shown["mattered"], "state": "running", "message": "", "done": 0, "total": 0}
    yield {"mattered": piece, "attributing": "open"}, None
    for step in steps:
        found = step.results[0]
        piece = {**piece, "done": step.done, "total": step.total, **_page(found, trace)}
        piece["code"] = CODE.format(text=trace.text, named=asked)
        yield {"mattered": piece}, found


def _page(found: Attribution, trace: "Trace") -> dict[str, Any]:
    """What was found so far, as the page draws it."""
    whole = not bool(found.integrated.isnan().any())
    words = TokenAttribution(found, stamp(trace.provenance))
    return {
        "answer": readable(found.answer),
        "rival": readable(found.rival),
        "instead": readable(found.instead),
        "difference": found.difference,
        "left_out": _numbers(found.left_out),
        "gradient": _numbers(found.gradient),
        "integrated": _numbers(found.integrated),
        "furthest": found.furthest if whole else -1,
        "says": words.sentence if whole else "",
        "closes": words.closes if whole else "",
    }


def _numbers(values: Tensor) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def mattered_html(picture: dict[str, Any], mattered: dict[str, Any]) -> str:
    """The three answers as a table, where no script runs; nothing if they were not asked for."""
    if not mattered["left_out"]:
        return ""
    columns = [mattered[name] for name in ("left_out", "gradient", "integrated")]
    rows = [
        [f"{place} {text_cell(name)}", *(change_cell(float("nan") if one is None else one, 2) for one in numbers)]
        for place, (name, *numbers) in enumerate(zip(names(picture), *columns, strict=True))
    ]
    head = ("token", "left out", "gradient × input", "integrated")
    caption = f"In nats of the lead. {mattered['closes']}"
    return f'<p dir="auto">{escaped(mattered["says"])}</p>{table(head, rows[-MOST_ROWS:], caption)}'
