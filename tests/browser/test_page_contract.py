"""The same texts, places, settings and edits through Python and through a page that computes by itself: each number."""

import base64
import json
import math
import os
import random
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from bloomlab import load
from bloomlab.lab import Lab
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import story
from bloomlab.tracing.edits import scale, zero
from bloomlab.views.live import live_given
from bloomlab.views.shared.panel import SELECTION
from bloomlab.views.view import View
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.texts import HOSTILE, TEXTS
from tests.views.aside import aside

STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
NEAR = 1e-4  # of the largest number of a piece
MAP = 1e-2  # of a map's width: where two axes explain nearly as much, a rounding turns it
STEPS = int(os.environ.get("PAGE_WALK", "40"))  # messages; PAGE_WALK=2000 walks through all two hundred texts
TABS = ("map", "tokens", "attention", "alibi", "hidden", "predictions")

# not in the page, or said by it in other words: what an edit is worth, the record, the other heads, long jobs
ELSEWHERE = {"worth", "tries", "name", "scale", "typed", "wished", "message", "metric", "answer", "rival", "over"}
JOBS = {"tokens_comparison", "tokens_mattered", "attention_look", "alibi_lengths"}
HEADS = {f"predictions_{name}" for name in ("language", "tags", "ends", "named", "answers", "trouble")}
SAYS = ("says", "closes", "trust", "words")  # sentences with numbers in them
COUNTED = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")

OPEN = """async (given) => {
  given.model = globalThis.kept = given.model ?? globalThis.kept; // three megabytes, sent once
  const { makeHost } = await import("http://127.0.0.1/widgets/page/host.js");
  for (const values of [given.state, given.empty]) {
    for (const [name, value] of Object.entries(values)) if (value?.base64 === "") values[name] = new Uint8Array(0);
  }
  globalThis.told = {};
  globalThis.host = makeHost(given, ({ update }) => Object.assign(told, update));
  globalThis.take = () => {
    const values = Object.entries(told);
    globalThis.told = {};
    return Object.fromEntries(values.map(([name, value]) => {
      if (!ArrayBuffer.isView(value)) return [name, value];
      let letters = "";
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      for (const byte of bytes) letters += String.fromCharCode(byte);
      return [name, { base64: btoa(letters) }];
    }));
  };
  return take();
}"""
SEND = """async ([values, pause]) => {
  host.receive(values);
  await new Promise((done) => setTimeout(done, pause));
  const runs = () => Object.values(told).some((value) => value?.state === "running");
  while (runs()) await new Promise((done) => setTimeout(done, 5));
  return take();
}"""


class Both:
    """A view in Python and the same in a page; what is sent goes to both, and what they show is compared."""

    def __init__(self, page: Page, view: View) -> None:
        self.view, self.page = view, page
        self.messages, self.worst = 0, 0.0
        self.of: dict[str, float] = {}  # the largest difference of each view
        given = self._given()
        if page.evaluate("globalThis.kept !== undefined"):
            given["model"] = None
        self.here = json.loads(json.dumps(given["state"]))
        self._heard(page.evaluate(OPEN, given))
        self.wishes = 0

    def _given(self) -> dict[str, Any]:
        given = live_given(self.view)
        for part in ("state", "empty"):
            given[part] = {
                name: {"base64": ""} if isinstance(value, bytes) else value for name, value in given[part].items()
            }
        return given

    def _heard(self, update: dict[str, Any]) -> None:
        for name, value in update.items():
            is_bytes = isinstance(value, dict) and "base64" in value
            self.here[name] = base64.b64decode(value["base64"]) if is_bytes else value

    def send(self, **values: Any) -> None:
        self.messages += 1
        aside(partial(self.view.set_state, values))
        reads = "typed" in values or values.get("wished", {}).get("do") == "read"
        pause = 90 if reads else 30 if {"wished", "off"} & values.keys() else 0
        self.here |= values
        self._heard(self.page.evaluate(SEND, [values, pause]))
        self.compare()

    def type(self, text: str) -> None:
        self.send(typed={"text": text, "number": self.messages + 1})

    def wish(self, **wish: Any) -> None:
        self.wishes += 1
        self.send(wished={**wish, "number": self.wishes})

    def compare(self) -> None:
        view = self.view
        for name in view.traits(sync=True):
            skipped = name in ELSEWHERE | JOBS | HEADS or name.removesuffix("_before") in HEADS
            if name.startswith(("_", "writing")) or skipped or name not in self.here:
                continue
            value = getattr(view, name)
            if name == "troubles":
                assert {tab: words for tab, words in self.here[name].items() if tab != "writing"} == value
            else:
                self.same(name, self.here[name], value)

    def same(self, name: str, here: Any, there: Any) -> None:
        if isinstance(there, bytes):
            here = b"" if isinstance(here, dict) else here
            assert len(here) == len(there), name
            if there:
                self.numbers(name, here, there)
        elif isinstance(there, float):
            self.worst = max(self.worst, abs(here - there) / max(1.0, abs(there)))
            assert here == pytest.approx(there, rel=NEAR, abs=NEAR), name
        elif isinstance(there, str) and name.split(".")[-1] in SAYS:
            self.sentence(name, here, there)
        elif isinstance(there, dict):
            skip = {"stamp", "missing", "labels"}
            skip |= (
                {"done", "total", "error"} if "lines" in there else {"done", "total"} if "measured" in there else set()
            )
            assert here.keys() - skip == there.keys() - skip, name
            for key in there.keys() - skip:
                self.same(f"{name}.{key}", here[key], there[key])
        elif name.endswith("noticed"):  # of two looks that have changed as much, either
            for one, other in zip(here, there, strict=True):
                assert abs(one[5] - one[4]) == pytest.approx(abs(other[5] - other[4]), abs=NEAR)
        elif isinstance(there, list | tuple):
            assert len(here) == len(there), name
            for i, (one, other) in enumerate(zip(here, there, strict=True)):
                self.same(f"{name}[{i}]", one, other)
        else:
            assert here == there, name

    def sentence(self, name: str, here: str, there: str) -> None:
        """The same words, and numbers that are the same but for a rounding; of estimates only Python speaks."""
        if name.endswith("trust"):
            there = there.rpartition(" at ")[2].partition("; ")[2] if "estimate" in there else there
        if "error " in there:  # how large a rounding is
            here, there = (said.partition(", error")[0] for said in (here, there))
        assert COUNTED.sub("#", here) == COUNTED.sub("#", there), name
        numbers = [[float(one) for one in COUNTED.findall(said)] for said in (here, there)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.0101), (name, here, there)

    def words(self, name: str) -> np.ndarray[Any, Any] | None:
        """Where both name the same word: of two that are as likely, or have changed as much, either may come first."""
        of = "ids" if "_" not in name else f"{name.split('_')[0]}_ids"
        if of not in self.here:
            return None
        here, there = (np.frombuffer(each, np.int32) for each in (self.here[of], getattr(self.view, of)))
        return here == there

    def numbers(self, name: str, here: bytes, there: bytes) -> None:
        if name.endswith("thumbs"):
            steps = [np.frombuffer(each, np.uint8).astype(int) for each in (here, there)]
            assert np.abs(steps[0] - steps[1]).max() <= 1
        elif name.endswith(("ids", "ids_before", "rank")):
            found = [np.frombuffer(each, np.int32) for each in (here, there)]
            assert (found[0] != found[1]).mean() <= 0.01, name  # where two are as likely, to the last digit
        else:
            found = [np.frombuffer(each, np.float32) for each in (here, there)]
            assert np.array_equal(np.isnan(found[0]), np.isnan(found[1])), name
            if name in ("hidden_probs", "predictions_probs", "predictions_before", "probs", "before"):
                words = self.words(name)  # whose chances they are
                if words is not None:
                    assert words.mean() >= 0.99
                    found = [each[words] for each in found]
            of = max(float(np.nanmax(np.abs(found[1]), initial=0)), 1e-6)
            if name.endswith("moved"):  # a small KL is as uncertain as its root times what a logit is off, 2e-5
                of = max(of, math.sqrt(2 * of) * 2e-5 / NEAR)
            off = float(np.nanmax(np.abs(found[0] - found[1]), initial=0)) / of
            if not name.endswith("points"):
                self.worst = max(self.worst, off)
                view = name.split("_")[0] if "_" in name else ""
                self.of[view] = max(self.of.get(view, 0.0), off)
            assert off <= (MAP if name.endswith("points") else NEAR), (name, off, of)


@pytest.fixture(scope="module")
def lab() -> Lab:
    lab = load()
    lab.heads.clear()  # those are not in a page
    return lab


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    visit = Visit(chromium)
    yield BlankPage(visit.page).page
    visit.close()


@pytest.fixture
def both(page: Page, lab: Lab) -> Both:
    return Both(page, lab.explore(STORY))


def test_every_tab_of_a_text_has_pythons_numbers(both: Both) -> None:
    both.compare()
    for tab in TABS:
        both.send(tab=tab)
        assert both.here[f"{tab}_picture"]["tokens"]
    both.send(tab="attention")
    for pattern in ("layer", "all", "rollout"):
        both.send(attention_pattern=pattern)
    both.send(layer=1, head=6, query=9, key=4)
    both.send(attention_pattern="layer", layer=2)
    both.send(query=99, key=50)  # the last there is
    both.send(query=3)  # and no key after it
    assert (both.here["query"], both.here["key"]) == (3, 3)


def test_texts_in_ten_languages_have_pythons_numbers(both: Both) -> None:
    texts = [*(story(code, 7).text for code in LANGUAGES), *TEXTS.values(), *HOSTILE[1::3], "a", "\x00", "  x"]
    for i, text in enumerate(texts):
        both.type(text)
        both.send(tab=TABS[i % len(TABS)])
        assert both.here["picture"]["text"] == text
    both.type("   ")
    assert both.here["state"] == "empty"


EDITS: list[dict[str, Any]] = [
    {"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1], "query": [16]}},
    {"spot": "h.2.mlp.out", "kind": "scale", "number": 1.5, "axes": {"pos": [7, 3]}},
    {"spot": "attn.alibi", "kind": "scale", "number": 0.5, "axes": {"head": [2]}},
    {"spot": "h.1.attn.mixed", "kind": "add", "number": 0.25, "axes": {"head": [2], "query": {"from": 9}}},
    {"spot": "h.3.attn.biased", "kind": "cut", "axes": {"head": [5], "query": [19], "key": [3]}},
    {"spot": "attn.out", "kind": "zero", "axes": {}},
]


def test_edits_of_every_kind_in_every_tab_and_run_have_pythons_numbers(both: Both) -> None:
    for i, edit in enumerate(EDITS):
        both.wish(do="add", edit=edit)
        assert len(both.here["changes"]) == i + 1 and both.here["heard"] == both.wishes
        both.send(tab=TABS[i % len(TABS)])
        for run in ("difference", "as it is", "what if"):
            both.send(run=run)
    both.send(off=[0, 2, 5])
    both.send(run="difference")
    for tab in TABS:
        both.send(tab=tab)
    both.wish(do="remove", at=1)
    both.wish(do="undo")
    both.wish(do="redo")
    both.type("Ana lives in Lima, and she has a dog. What does Ana have? Ana has a")
    both.wish(do="clear")
    assert both.here["runs"] == []


def test_a_slope_that_is_dragged_has_pythons_numbers(both: Both) -> None:
    both.send(tab="alibi")
    for factor in (0.5, 0.25, 3, 1, 2):
        edits = [{"spot": "attn.alibi", "kind": "scale", "number": factor, "axes": {"head": [3]}}]
        both.wish(do="set", gesture=1, edits=edits)
    both.wish(do="set", gesture=2, edits=[{"spot": "attn.alibi", "kind": "scale", "number": 0.5, "axes": {}}])
    both.wish(do="undo")
    assert both.here["changes"] == ["slope of head 3 × 2"]
    both.wish(do="undo")
    assert both.here["changes"] == []


def test_a_copy_from_another_text_and_what_is_held_have_pythons_numbers(both: Both) -> None:
    both.wish(do="read", text=STORY.replace("Oslo", "Lima"))
    both.wish(do="add", edit={"spot": "h.0.resid_post", "kind": "copied", "axes": {"pos": [3]}, "columns": [3]})
    both.wish(do="add", edit={"spot": "h.1.attn.mixed", "kind": "hold", "axes": {"head": [1]}})
    both.send(run="difference", tab="hidden")
    assert both.here["changes"][1] == "head 1.1 held as it was"


def test_what_was_refused_is_forgotten_when_a_wish_changes_nothing_as_in_python(both: Both) -> None:
    both.wish(do="add", edit=EDITS[0])
    both.type("Leo lives")  # too short for the edit
    assert both.here["state"] == "error"
    both.wish(do="redo")  # there is nothing to make again
    assert both.here["state"] == "ready"


def test_wishes_that_make_no_sense_are_refused_in_pythons_words(both: Both) -> None:
    wrong: list[Any] = [
        {"spot": "h.9.attn.mixed", "kind": "zero", "axes": {}},
        {"spot": "embed", "kind": "eval", "axes": {}},
        {"spot": "embed", "kind": "scale", "axes": {}},
        {"spot": "embed", "kind": "scale", "number": 1e9, "axes": {}},
        {"spot": "embed", "kind": "zero", "axes": {"pos": [99]}},
        {"spot": "embed", "kind": "zero", "axes": {"head": [0]}},
        {"spot": "embed", "kind": "zero", "axes": []},
        {"spot": "embed", "kind": "copied", "axes": {}},
        {"spot": "constructor", "kind": "zero", "axes": {}},
        {"spot": "embed", "kind": "zero", "axes": {}, "code": "1"},
    ]
    for edit in wrong:
        both.wish(do="add", edit=edit)
        assert (both.here["state"], both.here["message"]) == ("error", both.view.message)
        assert both.here["changes"] == []
    for wish in ({"do": "fly"}, {"do": "remove", "at": 0}, {"do": "set", "edits": [], "gesture": 1}):
        both.wish(**wish)
        assert both.here["message"].split("{")[0] == both.view.message.split("{")[0]
    both.send(layer="1", head=None, run="nothing", tab="__proto__", off="x")
    both.type("a" * 10_000)
    assert both.here["state"] == "ready" or "a page reads at most 256" in both.here["message"]


def test_the_receipt_and_what_is_in_an_mlp_are_pythons(both: Both) -> None:
    both.send(tab="predictions")
    both.send(predictions_explaining="direct")
    assert both.here["predictions_receipt"]["state"] == "done"
    both.send(predictions_receipt_versus=" Lima", predictions_receipt_rival=-1)
    both.send(predictions_opened_mlp=3)
    assert len(both.here["predictions_inside"]["rows"]) == 12
    both.send(predictions_opened_as="without")
    both.send(predictions_explaining="total")
    assert both.here["predictions_receipt"]["instead"] == "what one of 64 like texts has"
    both.send(predictions_receipt_instead="zero")
    assert both.here["predictions_receipt"]["lines"][0]["total"] is not None
    both.send(predictions_receipt_by="mean", predictions_explaining="direct", predictions_opened_mlp=-1)
    both.send(query=9)
    both.wish(do="add", edit=EDITS[0])
    both.send(predictions_receipt_by="token", predictions_explaining="total", predictions_receipt_instead="drawn")
    both.send(run="difference")
    both.send(predictions_receipt_token="no token", run="what if")
    assert both.here["predictions_receipt"]["message"].startswith("token must be one token")
    both.send(predictions_explaining="closed")


@pytest.mark.slow  # 27 texts, a run for each part
def test_the_receipt_of_many_texts_is_pythons(both: Both) -> None:
    both.type("Leo lives in Oslo. Leo lives in")
    both.send(tab="predictions")
    both.send(predictions_receipt_over="texts", predictions_explaining="direct")
    both.send(predictions_explaining="total", predictions_receipt_instead="zero")
    assert both.here["predictions_receipt"]["texts"] == "27 like texts"


@pytest.mark.parametrize("instead", ["drawn", "zero"])
def test_maps_of_effects_are_pythons(both: Both, instead: str) -> None:
    both.type("Leo lives in Oslo. Leo lives in")
    both.send(tab="hidden", layer=3, head=5)
    both.send(hidden_map_instead=instead, hidden_mapping="open")
    assert both.here["hidden_effects"]["state"] == "done" and all(both.here["hidden_effects"]["measured"])
    for what in ("mlps", "heads", "looks", "positions"):
        both.send(hidden_map_what=what)
    both.send(hidden_map_answer="two words")
    assert "must be one token" in both.here["hidden_effects"]["message"]


def test_a_patch_map_between_two_texts_is_pythons(both: Both) -> None:
    both.type("Leo lives in Oslo. Leo lives in")
    both.send(tab="hidden", hidden_map_other="Leo lives in Lima. Leo lives in", hidden_map_what="heads")
    both.send(hidden_mapping="open")
    both.send(hidden_map_mode="enough")
    both.send(hidden_map_other="Leo")
    assert "as many tokens each" in both.here["hidden_effects"]["message"]
    both.send(hidden_mapping="closed")


def test_what_is_usual_drawn_or_a_direction_has_pythons_numbers(both: Both) -> None:
    both.wish(do="add", edit={"spot": "h.0.attn.mixed", "kind": "drawn", "axes": {"head": [1]}})
    both.wish(do="add", edit={"spot": "h.1.mlp.out", "kind": "usual", "axes": {"pos": [16]}})
    assert both.here["changes"] == [
        "head 0.1 drawn from 64 like texts, seed 0",
        "mlp.out of layer 1 the usual at 16 from 64 like texts",
    ]
    both.send(run="difference", tab="hidden")
    steer = {"spot": "h.1.resid_post", "kind": "steer", "axes": {}, "number": 2}
    both.wish(do="add", edit={**steer, "towards": "Français", "away": "English"})
    both.wish(do="dose", at=2, dose=0.5, gesture=1)
    both.wish(do="undo")
    both.wish(do="add", edit={**steer, "towards": ["Leo"], "away": ["Ana", "Ana lives"]})
    for tab in TABS:
        both.send(tab=tab)
    both.wish(do="add", edit={**steer, "towards": "Klingon", "away": "English"})
    assert both.here["message"] == both.view.message and both.here["state"] == "error"


def test_a_view_with_edits_begins_with_them_in_the_page(page: Page, lab: Lab) -> None:
    edit = {"h.0.attn.mixed": zero(head=1, query=16), "attn.alibi": scale(2, head=4)}
    both = Both(page, lab.explore(STORY, edit=edit))
    both.compare()
    assert both.here["changes"] == ["head 0.1 silent at 16", "slope of head 4 × 2"]


@pytest.mark.parametrize("verb", ["attention", "alibi", "hidden_states", "predictions"])
def test_a_lone_view_has_pythons_numbers(page: Page, lab: Lab, verb: str) -> None:
    both = Both(page, getattr(lab, verb)("Leo lives in Oslo."))
    both.compare()
    both.type(STORY)
    both.wish(do="add", edit=EDITS[0])
    both.send(run="difference")
    both.send(**dict(zip(SELECTION, (0, 1, 16, 3), strict=True)))
    assert both.worst <= NEAR


def test_a_walk_at_random_stays_with_python(both: Both) -> None:
    draw = random.Random(0)
    texts = [story(code, seed).text for code in LANGUAGES for seed in range(20)]
    for step in range(STEPS):
        what = draw.choice(["place", "tab", "run", "edit", "off", "undo"]) if step % 10 else "text"
        if what == "place":
            both.send(**{name: draw.randrange(20) for name in SELECTION})
        elif what == "tab":
            both.send(tab=draw.choice(TABS))
        elif what == "run":
            both.send(run=draw.choice(["as it is", "what if", "difference"]))
        elif what == "edit":
            both.wish(do="add", edit=draw.choice(EDITS))
        elif what == "off":
            both.send(off=draw.sample(range(4), 2))
        elif what == "undo":
            both.wish(do=draw.choice(["undo", "redo", "remove"]), at=0)
        else:
            both.type(texts[(7 * step // 10) % len(texts)])
    assert both.messages == STEPS
    print(f"{STEPS} messages; the largest differences, as shares:", both.of)
