"""The tokens view: a text as BLOOM reads it, the merges that built each piece, and what other languages cost.

`tokens_payload(trace, tokenizer)` is everything the picture needs. No model runs for it: only the comparison of
languages, which a person has to ask for, has the model read anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.chips import Chip, Token, chips, visible
from bloomlab.errors import InputError
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
from bloomlab.lens.tokens import replay, script
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.views._assets import module_text, style_text
from bloomlab.views._languages import texts_to_compare
from bloomlab.views._reading import ReadingView, code_parts, stamp, text_picture
from bloomlab.views._steps import Steps
from bloomlab.views._tokens_still import still_html, still_text

if TYPE_CHECKING:
    from bloomlab.trace import Trace

LONGEST = 64  # bytes: a longer token is shown, but its merges are too many to look at
IDLE: dict[str, Any] = {"state": "idle", "message": "", "note": "", "done": 0, "rows": [], "code": "", "stamp": ""}

CODE = """\
import bloomlab
from bloomlab.chips import chips
from bloomlab.lens import costs
from bloomlab.lens.tokens import merges

SETUP
tokens = lab.tokens(TEXT)
print(tokens)
print(costs.count(tokens))
chip = chips(tokens)[{chip}]
print(chip.ids, chip.bytes)
for step in merges(lab.tokenizer, chip.bytes):  # of all neighbours, the pair that was learned first is joined first
    print(step.rank, *step.parts)
"""
COMPARE = """\
texts = {}
traces = {{name: lab.trace(text, read=costs.READ) for name, text in texts.items()}}
for name, cost in costs.compare(traces).items():
    print(name, cost, cost.tokens_per_word, cost.tokens_per_character, cost.tokens_per_byte)
"""


# ---- what the picture needs: pure functions ----


def tokens_payload(trace: "Trace", tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """The picture: tokens with ids and bytes, chips, and for each chip the number of its replay.

    The same piece of text is replayed once. `costs` is None where the tokens stand for no text.
    """
    tokens = list(trace.tokens)
    pieces = chips(tokens)
    found: dict[bytes, int] = {}  # a chip's bytes -> the number of its replay
    picture = {
        **text_picture(trace),
        "scripts": [script(token.text).lower() for token in tokens],
        "replay_of": [found.setdefault(chip.bytes, len(found)) for chip in pieces],
        "built": [built(chip, tokens, tokenizer) for chip in pieces],
        "replays": [replay_payload(data, tokenizer.merge_ranks) for data in found],
        "merges": len(tokenizer.merge_ranks),
        "costs": cost_payload(costs.count(tokens)) if any(found) else None,
        "stamp": _stamp(trace, tokenizer),
    }
    return {"picture": picture}


def replay_payload(data: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> dict[str, Any]:
    """The merges that build `data`, to be replayed: what each byte shows as ("" for part of a character), then steps.

    A step is [place of the pair that is joined, what it then shows as, rank of every pair of neighbours or None].
    `long` data are not replayed.

    >>> replay_payload(b"abc", {(b"b", b"c"): 0, (b"a", b"bc"): 7})["steps"]
    [[1, 'bc', [None, 0]], [0, 'abc', [7]]]
    """
    steps = []
    parts = tuple(bytes([byte]) for byte in data)
    start = [_shown(part) for part in parts]
    for step in replay(data, ranks) if len(data) <= LONGEST else []:
        steps.append([step.at, _shown(step.left + step.right), [ranks.get(pair) for pair in pairwise(parts)]])
        parts = step.parts
    return {"bytes": data.hex(" "), "start": start, "steps": steps, "long": len(data) > LONGEST}


def built(chip: Chip, tokens: Sequence[Token], tokenizer: BloomTokenizerFast) -> bool:
    """Whether the merges make exactly these tokens of the chip's bytes.

    They do not for a special token, which is put in whole, nor where a model chose other pieces by itself.
    """
    if len(chip.bytes) > LONGEST:
        return True
    steps = replay(chip.bytes, tokenizer.merge_ranks)
    parts = steps[-1].parts if steps else tuple(bytes([byte]) for byte in chip.bytes)
    return list(parts) == [tokens[place].bytes for place in chip.tokens]


def cost_payload(cost: Cost) -> dict[str, Any]:
    """The counts and their ratios; None where words cannot be counted, or nothing was predicted."""
    return {
        "tokens": cost.tokens,
        "words": cost.words,
        "characters": cost.characters,
        "bytes": cost.bytes,
        "per_word": cost.tokens_per_word,
        "per_character": cost.tokens_per_character,
        "per_byte": cost.tokens_per_byte,
        "bits": cost.bits_per_byte,
    }


def running(chip: Chip) -> tuple[str, int]:
    r"""A chip in running text, and of how many tokens: a space stays a space, a vowel sign sits on its letter.

    >>> running(Chip(" a\u202e", "·a⟨U+202E⟩", (0,), (9,), " a\u202e".encode()))
    (' a⟨U+202E⟩', 1)
    """
    said = "".join(letter if letter == " " else visible(f"a{letter}")[1:] for letter in chip.text)
    return (said if "\ufffd" not in chip.text else chip.shown), len(chip.tokens)


def _shown(data: bytes) -> str:
    try:
        return visible(data.decode())
    except UnicodeDecodeError:
        return ""


def _stamp(trace: "Trace", tokenizer: BloomTokenizerFast) -> str:
    if "weights" in trace.provenance:
        return stamp(trace.provenance)
    name = trace.provenance.get("model") or "unnamed model"
    return f"{name} · {len(tokenizer):,} tokens, {len(tokenizer.merge_ranks):,} merges · read by the tokenizer alone"


# ---- the view: traits only ----


class TokensView(ReadingView):
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
        """The token of the most bytes has the most merges to look at."""
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
        from bloomlab.views._figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views._tokens_figure import tokens_figure

        save_figure(tokens_figure, path, self.picture, self.comparison, self.chip)

    def __repr__(self) -> str:
        return still_text(self.picture, self.chip)

    # ---- the comparison ----

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
        """Drop what is known of another text."""
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
            rows.append({"name": name, "text": text, "chips": [running(chip) for chip in chips(tokens)], **counted})
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

    # ---- listening to the page ----

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
        except InputError as error:  # nobody is there to catch it: it is shown where the comparison was opened
            self._ended("error", str(error))
