"""The tokens panel: a text as BLOOM reads it, the merges that built each piece, and what other languages cost.

Only what a person has to ask for has the model read anything: the comparison of languages, and which tokens mattered
for the next one. Of a difference it shows
how much each token surprises the model in both runs, which have read what that takes.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import display_tokens
from bloomlab.views.shared.like_texts import OVER, LikeTexts
from bloomlab.views.shared.panel import Job, Panel, Piece, Place, Shown, own, stamp
from bloomlab.views.tokens.languages import texts_to_compare
from bloomlab.views.tokens.mattered import NOBODY, mattered_bars, mattered_html, mattered_steps
from bloomlab.views.tokens.payload import (
    CODE,
    COMPARE,
    IDLE,
    NO_DIFFERENCE,
    cost_payload,
    difference_values,
    running,
    tokens_payload,
)
from bloomlab.views.tokens.still import still_html, still_text, surprise_html, surprise_text

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class TokensPanel(Panel):
    """A text as BLOOM reads it, the merges that built each piece, and what the same text costs in other languages.

    The trace need not have read anything; for a difference, `resid_post` of the last layer, which `model` reads out, or
    the model of the trace's own lab. `measure(text)` gives one that has read costs.READ; it is called only when
    languages are compared. `translations` are what is compared, by name; by default, the embedded world's languages.
    `like` gives other texts to weigh the tokens in.

        view = lab.tokens("Leo lives in Oslo.").view
        view.query = 3                                # a token: the chip it is in is the one replayed
        view.compare()                                # costs by language; Ctrl-C keeps what is finished
        view.weigh_tokens()                           # which tokens mattered for the next one, in three answers
        view.mattered_over = "texts"                  # their mean and spread over this text and others like it
        view.trace.tokens                             # what is shown, as a list
    """

    name, title, compares = "tokens", "Tokens", True
    pieces: ClassVar = {
        "comparison": Piece(empty=IDLE),
        "mattered": Piece(empty=NOBODY),
        "loss": Piece("float32", "pos"),  # of a difference: in nats; NaN for the first token
        "loss_before": Piece("float32", "pos"),
    }
    jobs = (
        Job("comparison", "compare", "costs", {}, of_text=True),
        Job("mattered", "weigh_tokens", "weights", of_text=True),
    )

    def __init__(
        self,
        tokenizer: BloomTokenizerFast,
        measure: "Callable[[str], Trace] | None" = None,
        translations: Mapping[str, str] | None = None,
        model: BloomForCausalLM | None = None,
        like: LikeTexts | None = None,
    ) -> None:
        self._tokenizer, self._measure, self._translations, self._model = tokenizer, measure, translations, model
        self._like = like

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """`replayed`: so many merges done of this chip; of others, all are."""
        return {
            "replayed": traitlets.Dict({"chip": 0, "step": -1}),
            "comparing": traitlets.Enum(("closed", "open", "stopped"), "closed"),
            "attributing": traitlets.Enum(("closed", "open", "stopped"), "closed"),
            "mattered_answer": traitlets.Unicode(),  # the likeliest next token
            "mattered_rival": traitlets.Unicode(),  # the runner-up
            "mattered_instead": traitlets.Enum(("mean", "drawn"), "mean"),
            "mattered_over": traitlets.Enum(OVER, OVER[0]),
        }

    def place(self, trace: "Trace", place: Place, first: bool) -> Place:
        """The token with the most bytes, since it has the most merges to look at."""
        longest = max(range(len(trace.tokens)), key=lambda token: len(trace.tokens[token].bytes))
        return {"query": longest, "key": longest}

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The picture; all merges of every chip are done. Of a difference, the surprise at each token in both runs."""
        payload = tokens_payload(trace, own(trace, "tokenizer", self._tokenizer)) | NO_DIFFERENCE
        if base is not None:
            models = (own(base, "model", self._model), own(trace, "model", self._model))
            payload["picture"]["difference"], surprise = difference_values(trace, base, models)
            payload |= surprise
        return payload | {"replayed": {"chip": 0, "step": -1}, "mattered": NOBODY}

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """What is going on will not go on there."""
        going = {name: shown[name] for name in ("comparison", "mattered") if shown[name]["state"] == "running"}
        return {name: {**piece, "state": "stopped"} for name, piece in going.items()}

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that computes the chosen chip's merges and the counts."""
        return CODE

    def more_code(self, shown: Shown) -> str:
        """The comparison, and the weights, if there are any."""
        return str(shown["comparison"]["code"] + shown["mattered"]["code"])

    def derived(self, shown: Shown) -> dict[str, Any]:
        """`chip`: the place of the chip that the chosen token is in."""
        chips = shown["picture"]["chips"]
        return {"chip": next((place for place, chip in enumerate(chips) if shown["query"] in chip["tokens"]), 0)}

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The strip of chips, the merges of one of them, the costs by language if they were measured, a difference."""
        still = still_html(trace.tokens if trace else [], shown["picture"], shown["comparison"], shown.get("chip", 0))
        still += mattered_html(shown["picture"], shown["mattered"])
        return surprise_html(shown) + still if "difference" in shown["picture"] else still

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """Which tokens mattered while that is open; else the chips with the merges of one and the costs by language;
        of a difference, the surprise at each token.
        """
        from bloomlab.views.shared.bars import bars_figure
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views.tokens.figure import surprise_figure, tokens_figure

        mattered = shown["mattered"]
        if shown["attributing"] != "closed" and mattered["says"]:
            bars = mattered_bars(shown["picture"], mattered)
            save_figure(bars_figure, path, mattered["says"], *bars, shown["picture"]["stamp"], False)
        elif "difference" in shown["picture"]:
            save_figure(surprise_figure, path, dict(shown))
        else:
            save_figure(tokens_figure, path, shown["picture"], shown["comparison"], shown["chip"])

    def says(self, shown: Shown) -> str:
        """How the chosen chip is built; of a difference, which token's surprise has changed most."""
        return surprise_text(shown) or still_text(shown["picture"], shown["chip"])

    # ---- the comparison of languages, and which tokens mattered ----

    def asked(self, job: str, changed: str, shown: Shown) -> str:
        """Each runs while it is open; the weights are measured anew for another token."""
        opened = {"comparison": "comparing", "mattered": "attributing"}[job]
        other = job == "mattered" and changed.startswith("mattered_")
        if changed not in (opened, "picture") and not other:
            return ""
        if shown[opened] != "open":
            return "stop"
        return "run" if other or shown[job]["state"] not in ("running", "done") else ""

    def steps(
        self, job: str, trace: "Trace", shown: Shown, base: "Trace | None" = None
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """What a job does; see `mattered_steps` for the weights of the tokens.

        Raises:
            InputError: the panel was made without a model to measure.
        """
        if job == "mattered":
            model = own(trace, "model", self._model)
            return mattered_steps(trace, model, own(trace, "tokenizer", self._tokenizer), shown, self._like)
        return self._compared(trace)

    def _compared(self, trace: "Trace") -> Iterator[tuple[dict[str, Any], Any]]:
        """Count at once, which needs no model; then measure, a text each."""
        if self._measure is None:
            raise InputError("this view was made without a model to measure; lab.tokens(text) compares languages")
        another = trace.lab is not None and self._model is not None and trace.lab.model is not self._model
        measure = partial(trace.lab.trace, read=costs.READ) if another else self._measure
        texts, note = texts_to_compare(str(trace.text), self._translations)
        rows = []
        for name, text in texts.items():
            tokens = self._tokenizer.tokens(text)
            chips = [running(chip) for chip in display_tokens(tokens)]
            rows.append({"name": name, "text": text, "chips": chips, **cost_payload(costs.count(tokens))})
        code = COMPARE.format(repr(texts))
        comparison = {**IDLE, "state": "running", "note": note, "rows": rows, "code": code}
        yield {"comparison": comparison, "comparing": "open"}, {}

        found: dict[str, Cost] = {}
        for place, (name, text) in enumerate(texts.items()):
            measured = measure(text)
            found = {**found, name: costs.cost(measured)}
            rows = [*rows[:place], {**rows[place], **cost_payload(found[name])}, *rows[place + 1 :]]
            comparison = {**comparison, "rows": rows, "done": place + 1, "stamp": stamp(measured.provenance)}
            yield {"comparison": comparison}, found
