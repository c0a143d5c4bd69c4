"""The tokens view: a text as BLOOM reads it, the merges that built each piece, and what other languages cost.

Only the comparison of languages, which a person has to ask for, has the model read anything.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.errors import InputError
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import display_tokens
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.steps import Steps
from bloomlab.views.shared.text_view import TextView, code_parts, stamp
from bloomlab.views.tokens.languages import texts_to_compare
from bloomlab.views.tokens.payload import CODE, COMPARE, IDLE, cost_payload, running, tokens_payload
from bloomlab.views.tokens.still import still_html, still_text

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class TokensView(TextView):
    """A text as BLOOM reads it, the merges that built each piece, and what the same text costs in other languages.

    `read(text)` gives a Trace, which need not have read anything. `measure(text)` gives one that has read costs.READ;
    it is called only when languages are compared. `translations` are what is compared, by name, if not the ten
    languages of the embedded world.

        view = lab.tokens("Leo lives in Oslo.").view
        view.query = 3                                # a token: the chip it is in is the one replayed
        view.compare()                                # costs by language; Ctrl-C keeps what is finished
        view.show("Another text.")
        view.trace.tokens                             # what is shown, as a list
        view.save("leo.html")                         # works offline; also .png and .svg
    """

    module = "tokens"
    _esm = module_text(module)
    _css = style_text(module)

    # what the page sets
    replayed = traitlets.Dict({"chip": 0, "step": -1}).tag(sync=True)  # merges done of this chip; of others, all are
    comparing = traitlets.Enum(("closed", "open", "stopped"), "closed").tag(sync=True)

    # what the page draws
    comparison = traitlets.Dict(IDLE).tag(sync=True)

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        tokenizer: BloomTokenizerFast,
        text: "str | Trace" = "",
        setup: str = "",
        measure: "Callable[[str], Trace] | None" = None,
        translations: Mapping[str, str] | None = None,
        **traits: Any,
    ) -> None:
        self._tokenizer, self._measure, self._translations = tokenizer, measure, translations
        self._steps: Steps | None = None
        self.costs: dict[str, Cost] = {}
        super().__init__(read, text, setup, **traits)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        payload = tokens_payload(trace, self._tokenizer)
        payload["picture"]["code"] = code_parts(CODE, trace, self._setup)
        self.picture = payload["picture"]
        self.replayed = {"chip": 0, "step": -1}
        self._forget()
        if self.comparing == "open":
            self._compare_soon()

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        """The token with the most bytes, since it has the most merges to look at."""
        longest = max(range(len(trace.tokens)), key=lambda token: len(trace.tokens[token].bytes))
        return {"query": longest, "key": longest}

    @property
    def chip(self) -> int:
        """The place of the chip that the chosen token is in."""
        chips = self.picture.get("chips", [])
        return next((place for place, chip in enumerate(chips) if self.query in chip["tokens"]), 0)

    @property
    def code(self) -> str:
        """The Python that computes the chosen chip's merges, the counts, and the comparison if there is one."""
        return super().code + str(self.comparison["code"])

    def _saved(self) -> dict[str, Any]:
        running = self.comparison["state"] == "running"
        return super()._saved() | ({"comparison": {**self.comparison, "state": "stopped"}} if running else {})

    def _still(self) -> str:
        return still_html(self.trace.tokens if self.trace else [], self.picture, self.comparison, self.chip)

    def _draw(self, path: Path) -> None:
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views.tokens.figure import tokens_figure

        save_figure(tokens_figure, path, self.picture, self.comparison, self.chip)

    def __repr__(self) -> str:
        return still_text(self.picture, self.chip)

    def compare(self) -> dict[str, Cost]:
        """What the same text costs in each language, here and now; Ctrl-C keeps what is finished.

        Raises:
            InputError: nothing is shown yet, or the view was made without a model to measure.
        """
        if self.trace is None:
            raise InputError("there is nothing to compare yet; show a text first: view.show('Leo lives in Oslo.')")
        self._forget()
        steps = self._begin()
        self.comparing = "open"
        steps.run()
        return self.costs

    def _forget(self) -> None:
        """Forget the comparison of another text."""
        if self._steps is not None:
            self._steps.stop()
        self._steps, self.costs, self.comparison = None, {}, IDLE

    def _begin(self) -> Steps:
        """Count at once, which needs no model; the steps then measure, a text each."""
        if self._measure is None:
            raise InputError("this view was made without a model to measure; lab.tokens(text) compares languages")
        texts, note = texts_to_compare(self.text, self._translations)
        rows = []
        for name, text in texts.items():
            tokens = self._tokenizer.tokens(text)
            counted = cost_payload(costs.count(tokens))
            shown = [running(chip) for chip in display_tokens(tokens)]
            rows.append({"name": name, "text": text, "chips": shown, **counted})
        self.comparison = {
            **IDLE, "state": "running", "note": note, "rows": rows, "code": COMPARE.format(repr(texts))
        }  # fmt: skip
        self._steps = Steps(self._measure_all(texts, self._measure), self._ended)
        return self._steps

    def _measure_all(self, texts: Mapping[str, str], measure: "Callable[[str], Trace]") -> Iterator[None]:
        for place, (name, text) in enumerate(texts.items()):
            trace = measure(text)
            cost = self.costs[name] = costs.cost(trace)
            rows = list(self.comparison["rows"])
            rows[place] = {**rows[place], **cost_payload(cost)}
            self.comparison = {**self.comparison, "rows": rows, "done": place + 1, "stamp": stamp(trace.provenance)}
            yield

    def _ended(self, state: str, message: str) -> None:
        self.comparison = {**self.comparison, "state": state, "message": message}

    @traitlets.observe("comparing")
    def _compare_while_open(self, _: dict[str, Any]) -> None:
        if self.comparing != "open":
            if self._steps is not None:
                self._steps.stop()
        elif self.picture and self.comparison["state"] not in ("running", "done"):
            self._compare_soon()

    def _compare_soon(self) -> None:
        try:
            self._forget()
            self._begin().start()
        except InputError as error:  # nobody is there to catch it, so the page shows it
            self._ended("error", str(error))
