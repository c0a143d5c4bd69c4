"""The part of a view that weighs its edits: what the page can ask for, what it is told, and the record of all tries."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.errors import HookError, InputError, NearMatches, shorten
from bloomlab.guards.frames import data_frame
from bloomlab.lens.keep import AMONG, MODES
from bloomlab.lens.trials import METRICS
from bloomlab.tasks.results import readable
from bloomlab.views.shared.edits import LANGUAGE_NAMES, EditList
from bloomlab.views.shared.from_page import FromPage
from bloomlab.views.shared.like_texts import OVER
from bloomlab.views.shared.steps import Steps
from bloomlab.views.worth import NOTHING, Asked, Worth

if TYPE_CHECKING:
    from bloomlab.lens.findings import Finding
    from bloomlab.tracing.trace import Trace

REST = 0.3  # seconds without another change before one is measured that nobody asked to measure
ASKS = ("compare", "refute", "held", "curve", *MODES, "stop", "restore")
SETS = ("metric", "answer", "rival", "over")
MOST_TRIED = 500
LONGEST_HOPE = 300  # characters of what somebody expects
LONGEST_TOKEN = 100  # characters
MOST_PARTS = 100  # that a page may name
OTHERS = ("zero", "usual", "drawn")  # what a page may put in the place of all other parts
SAVED = ("worth", "tries", "steered", *SETS)


class Tried(NearMatches, list[dict[str, Any]]):
    """Every change that was tried in a view, the first one first: plain data, with what came of it where it is known.

    A row has the text, the changes in words, what was expected before the result was seen, the time, and, once
    measured: the tokens that are compared, the difference of their logits before and after, the chance p of the
    first, KL (nats) of the next token, whether nothing changed; and if it was refuted the verdict, how many controls
    there were, and how many came half as far.
    """

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame([{**row, "changes": ", ".join(row["changes"])} for row in self])

    def __repr__(self) -> str:
        lines = []
        for number, row in enumerate(self):
            said = [", ".join(row["changes"])]
            if "p after" in row:
                said += [f"p({row['answer']!r}) {row['p before']:.3f} → {row['p after']:.3f}"]
            said += [f"expected: {row['expected']}"] if row["expected"] else []
            said += [row["verdict"]] if row.get("verdict") else []
            lines.append(readable(f"{number}: {'; '.join(said)}"))
        return "\n".join(lines) or "nothing tried yet"


class Measured(FromPage):
    """A view that weighs its edits. What it shows, and how it makes edits, is of the class below."""

    # what the page sets
    metric = traitlets.Enum(METRICS, METRICS[0]).tag(sync=True)
    answer = traitlets.Unicode("").tag(sync=True)  # the tokens that are compared, as texts; "": those that change most
    rival = traitlets.Unicode("").tag(sync=True)
    over = traitlets.Enum(OVER, OVER[0]).tag(sync=True)

    # what the page draws
    worth: Any = traitlets.Dict(NOTHING).tag(sync=True)  # as `views.worth.NOTHING` says
    tries: Any = traitlets.List().tag(sync=True)  # the record; `tried` is the same for Python
    languages: Any = traitlets.List([*LANGUAGE_NAMES]).tag(sync=True)  # that a direction can lead to
    steered: Any = traitlets.Dict().tag(sync=True)  # a direction with a dose to be set: at, dose, one (in words)

    # of the class below
    trace: "Trace | None"
    _two: "tuple[Trace, Trace | None] | None"
    _edits: EditList
    _donor: "Trace | None"

    def __init__(self, worth: Worth | None = None, **traits: Any) -> None:
        self._worth = worth
        self._weighed: object = None  # what `worth` is about
        self._measuring: Steps | None = None
        self._rows: list[EditList] = []  # of each row of the record
        self._hope = ""
        self._curve_of: object = None  # the direction that `worth` has the curve of
        self._parts: tuple[list[str], str, str] = [], AMONG[0], OTHERS[0]  # kept or taken out; see `_parts_of`
        super().__init__(**traits)

    @property
    def tried(self) -> Tried:
        """Every change that was tried here, with what came of it; a row is `view.tried[0]`."""
        return Tried(dict(row) for row in self.tries)

    def finding(self, claim: str) -> "Finding":
        """The edits that are on, as a claim with its controls: `view.finding("…").save("mine.json")`.

        It is measured as *refute* does, by the metric, the tokens and the texts that the page has; `bloomlab.finding`
        opens the file, and `.check()` says what moved.

        Raises:
            InputError: there is no edit, or no lab to measure with.
            HookError: on saving, an edit is more than a name with numbers.
        """
        lab = None if self.trace is None else self.trace.lab
        if self._worth is None or lab is None or not self._edits.on:
            raise InputError("there is no change to make a claim of; make one first, in the page or with edit=…")
        answer, rival = (getattr(self, name) or self.worth[name] for name in ("answer", "rival"))
        asked = replace(self._asked, answer=answer, rival=rival)
        first, others = self._worth.texts(asked)
        everywhere = asked.many and bool(others)
        given = self._edits.on, asked.metric, first.answer or None, first.rival or None, others or None
        found: Finding = lab.finding(claim, asked.text, *given, everywhere=everywhere)
        return found

    # ---- what has changed ----

    def _weigh(self) -> None:
        """Other edits, or another text, are shown: what was measured is of no use any more."""
        if self._two is None:
            return
        after, before = self._two
        weighed = (after.text, [(spot, repr(one)) for spot, one in self._edits.entries], self._edits.off)
        if weighed == self._weighed:
            return
        self._weighed = weighed
        self._stop_measuring()
        steered = self._steered()
        known = steered is not None and steered == self._curve_of
        self.worth = NOTHING | {"curve": self.worth["curve"] if known else {}}
        if self._worth is None or before is None or not self._edits.on:
            return
        self._write_down()
        if self._worth.cheap(str(after.text)):
            self._measure("compare", REST)

    def _write_down(self) -> None:
        """A row of the record; a drag is one row, and what was tried before is not written twice."""
        row = {
            "text": self._asked.text,
            "changes": [one for number, one in enumerate(self._edits.words) if number not in self._edits.off],
            "expected": self._hope,
            "time": datetime.now().isoformat(timespec="seconds"),
        }
        self._hope = ""
        alike = [old["text"] == row["text"] and old["changes"] == row["changes"] for old in self.tries]
        if any(alike):
            return
        edits, gesture = EditList(self._edits.entries, self._edits.off), self._edits.gesture
        rows, kept = list(self.tries), list(self._rows)
        if gesture is not None and kept and kept[-1].gesture == gesture:
            rows, kept = rows[:-1], kept[:-1]
        self._rows = [*kept, replace(edits, gesture=gesture)][-MOST_TRIED:]
        self.tries = [*rows, row][-MOST_TRIED:]

    def _note(self, facts: Mapping[str, Any]) -> None:
        """More about the try that is shown."""
        changes = [one for number, one in enumerate(self._edits.words) if number not in self._edits.off]
        text = self._asked.text
        self.tries = [
            {**row, **facts} if row["text"] == text and row["changes"] == changes else row for row in self.tries
        ]

    # ---- measuring ----

    @property
    def _asked(self) -> Asked:
        text = "" if self.trace is None else str(self.trace.text)
        donor = "" if self._donor is None else str(self._donor.text)
        return Asked(text, self._edits, donor, self.metric, self.answer, self.rival, self.over == "texts")

    def _measure(self, what: str, rest: float = 0) -> None:
        """Begin to measure, in place of what may still be going on; after so many seconds in which nothing changed."""
        if self._worth is None or self._two is None or self._two[1] is None or not self._edits.on:
            raise InputError("there is no change to be measured; make one first")
        self._stop_measuring()
        self._measuring = Steps(self._steps(what), self._measured)
        self._measuring.start(rest)

    def _steered(self) -> object:
        """The direction whose dose can be set, whatever its dose, and the text; the page hears of it."""
        found = self._edits.direction
        if found is None:
            self.steered = {}
            return None
        at, spot, edit = found
        first, second, dose = edit.again.args  # type: ignore[union-attr]  # it is steer's
        self.steered = {"at": at, "dose": dose, "one": f"{edit.source}, at {spot}"}
        return self._asked.text, spot, first, second, repr(edit.where)

    def _steps(self, what: str) -> Iterator[None]:
        """Compare first, if that is not done yet: it says which tokens are compared."""
        worth = self._worth
        if worth is None:
            return
        if what == "compare" or not self.worth["lines"] or self.worth["state"] != "done":
            self.worth = {**self.worth, "refuted": {}, "held": {}, "kept": {}}
            for pieces in worth.compared(self._asked):
                facts = pieces.pop("facts", None)
                self.worth = {**self.worth, **pieces}
                if facts is not None and self.worth["done"] == self.worth["total"]:
                    self._note({name: self.worth[name] for name in ("answer", "rival", "nothing")} | facts)
                yield
        if what == "compare" and self.steered and not self.worth["curve"] and worth.cheap(self._asked.text):
            what = "curve"  # a dose says nothing without the one at which the text falls apart
        if what != "compare":
            given = self._asked, self.worth["answer"], self.worth["rival"]
            if what in MODES:
                steps = worth.kept(*given, what, *self._parts)
            elif what == "curve":
                self._curve_of, steps = None, worth.curve(*given)
            else:
                steps = worth.refuted(*given) if what == "refute" else worth.held(*given)
            for pieces in steps:
                self.worth = {**self.worth, **pieces}
                yield
        if what == "curve":
            self._curve_of = self._steered()
        if what == "refute":
            refuted = self.worth["refuted"]
            self._note({"verdict": refuted["sentence"], "as far": refuted["as far"], "controls": refuted["controls"]})

    def _measured(self, state: str, message: str) -> None:
        self.worth = {**self.worth, "state": state, "message": message}

    def _finish_measuring(self) -> None:
        """Here and now, for a page that nobody can ask for more; Ctrl-C keeps what is finished."""
        if self._measuring is not None:
            self._measuring.finish()

    def _stop_measuring(self) -> None:
        if self._measuring is not None:
            self._measuring.open = False  # what it has found goes with it
            self._measuring = None

    def _ask(self, wish: Mapping[str, Any]) -> None:
        """What the page asks for about the edits as they are.

        Raises:
            BloomlabError: there is nothing to be measured, or no such row.
        """
        if wish["do"] == "stop":
            if self._measuring is not None:
                self._measuring.stop()
        elif wish["do"] == "restore":
            at = wish.get("at")
            if type(at) is not int or not 0 <= at < len(self._rows):
                raise HookError(f"there is no try {shorten(at, 60)} to go back to; there are {len(self._rows)}")
            self._restore(str(self.tries[at]["text"]), self._rows[at])
        else:
            if wish["do"] in MODES:
                self._parts = _parts_of(wish)
            self._measure(wish["do"])

    def _restore(self, text: str, edits: EditList) -> None:
        """Show a text with edits that were there before; the class below knows how."""

    def _hear_hope(self, wish: object) -> None:
        """What somebody expects of the edit that is wished for.

        Raises:
            HookError: it is no text, or too long.
        """
        hope = wish.get("expect", "") if isinstance(wish, dict) else ""
        if not isinstance(hope, str) or len(hope) > LONGEST_HOPE:
            raise HookError(
                f"what is expected is a text of at most {LONGEST_HOPE} characters, but got {shorten(hope, 60)}"
            )
        self._hope = hope.encode("utf-8", "ignore").decode().strip()

    @traitlets.validate("answer", "rival")
    def _short_enough(self, proposal: dict[str, Any]) -> str:
        if len(proposal["value"]) > LONGEST_TOKEN:
            raise traitlets.TraitError(f"a token has at most {LONGEST_TOKEN} characters here")
        return str(proposal["value"])

    @traitlets.observe(*SETS)
    def _by_another_measure(self, _: dict[str, Any]) -> None:
        if self._worth is None or not self._edits.on or self._two is None or self._two[1] is None:
            return
        mode = self.worth["kept"].get("mode", "compare")
        again = "refute" if self.worth["refuted"] else "held" if self.worth["held"] else mode
        self.worth = {**self.worth, "lines": [], "refuted": {}, "held": {}, "kept": {}, "curve": {}, "state": "idle"}
        if self.worth["doing"]:  # somebody has asked for it, or it costs little
            self._measure(again)


def _parts_of(wish: Mapping[str, Any]) -> tuple[list[str], str, str]:
    """The names of the parts that a page asks for, among which they are, and what stands in the place of a part.

    Raises:
        HookError: they are no such names. Whether the model has these parts, the lens says.
    """
    parts, among, instead = wish.get("parts"), wish.get("among"), wish.get("instead")
    if (
        not isinstance(parts, list)
        or not 0 < len(parts) <= MOST_PARTS
        or not all(isinstance(part, str) and len(part) <= LONGEST_TOKEN for part in parts)
    ):
        raise HookError(f"the page names 1 to {MOST_PARTS} parts in a list, such as '3.4' and 'mlp 3'")
    if among not in AMONG:
        raise HookError(f"the parts are among {' or '.join(AMONG)}, but the page asked for {shorten(among, 60)}")
    if instead not in OTHERS:
        raise HookError(f"in the place of a part can stand {', '.join(OTHERS)}, but got {shorten(instead, 60)}")
    return [str(part).encode("utf-8", "ignore").decode() for part in parts], str(among), str(instead)


def in_words(worth: Mapping[str, Any]) -> list[str]:
    """What was measured, as sentences: for whoever sees no picture of it."""
    said = []
    if worth["nothing"]:
        said.append("The edits change nothing.")
    elif worth["lines"]:
        answer, rival = repr(worth["answer"]), repr(worth["rival"])
        of = f"p({answer})" if worth["metric"] == "probability" else f"logit of {answer} less {rival}"
        where = f"mean of {worth['texts']}: " if worth["texts"] else ""
        each = [f"{line['name']} {line['value']:.3f}" for line in worth["lines"] if line["value"] is not None]
        said.append(f"{where}{of}: as it is {worth['before']:.3f}; {', '.join(each)}.")
    if worth["refuted"]:
        said.append(worth["refuted"]["sentence"])
    said += [worth[more]["sentence"] for more in ("curve", "held", "kept") if worth[more]]
    return [readable(sentence) for sentence in said]
