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
TABS = ("map", "tokens", "attention", "alibi", "hidden", "predictions", "writing")

# not in the page, or said by it in other words: what an edit is worth, the record, the other heads, long jobs
ELSEWHERE = {"worth", "tries", "name", "scale", "typed", "wished", "message", "metric", "answer", "rival", "over"}
JOBS = {"tokens_comparison", "tokens_mattered", "alibi_lengths"}
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


AT_REST = """() => {  // what an edit is worth is measured once nothing has changed for 300 ms
  const wait = setTimeout;
  globalThis.setTimeout = (step, pause) => (pause === 300 ? 0 : wait(step, pause));
  globalThis.asBefore = () => { globalThis.setTimeout = wait; };
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
            if name.startswith("_") or skipped or name not in self.here:
                continue
            value = getattr(view, name)
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


def test_what_is_off_already_is_no_change_as_in_python(both: Both) -> None:
    both.wish(do="add", edit=EDITS[0])
    both.type("Leo lives")  # too short for the edit
    both.send(off=[])
    assert both.here["state"] == "error"
    both.send(off=[0])
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


@pytest.mark.long
@pytest.mark.slow  # 27 texts, a run for each part
def test_the_receipt_of_many_texts_is_pythons(both: Both) -> None:
    both.type("Leo lives in Oslo. Leo lives in")
    both.send(tab="predictions")
    both.send(predictions_receipt_over="texts", predictions_explaining="direct")
    both.send(predictions_explaining="total", predictions_receipt_instead="zero")
    assert both.here["predictions_receipt"]["texts"] == "27 like texts"


def test_why_a_token_looks_there_is_pythons(both: Both) -> None:
    both.send(tab="attention", layer=2, head=6, query=17, key=13)
    both.send(attention_explaining="open")
    look = both.here["attention_look"]
    assert look["state"] == "done" and look["rest"]["pairs"][0] == 22**2 - 6 and look["error"] < NEAR
    both.send(attention_against=2)
    assert "and not at token 2" in both.here["attention_look"]["says"]
    both.send(key=2)  # what is compared with itself is compared with nothing
    both.send(attention_against=99, query=9)
    both.send(layer=0, head=1, key=0)  # below it is the embedding alone
    assert both.here["attention_look"]["rest"]["key"] == [0, 0]
    both.send(tab="map", query=19)
    both.send(tab="attention")
    both.wish(do="add", edit={"spot": "h.0.mlp.out", "kind": "scale", "number": 1.5, "axes": {"pos": [7, 3]}})
    both.send(layer=3, head=5, key=3)
    assert both.here["attention_look"]["code"] == ""
    both.send(run="difference")
    both.send(run="what if", attention_look_over="texts")
    assert both.here["attention_look"]["message"].startswith("many texts are read as they are")
    both.wish(do="clear")
    both.send(attention_explaining="closed")


def test_why_a_token_looks_there_is_pythons_in_many_texts(both: Both) -> None:
    both.type(SHORT)
    both.send(tab="attention", layer=1, head=2, query=7, key=3)
    both.send(attention_look_over="texts", attention_explaining="open")
    look = both.here["attention_look"]
    assert (look["state"], look["done"], look["texts"]) == ("done", 27, "27 like texts")
    both.send(attention_against=0)
    assert "the other way" in both.here["attention_look"]["says"]
    both.type("xyzzy")
    assert both.here["attention_look"]["message"].startswith("the text names nobody and nothing of the tiny world")


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


def test_writing_has_pythons_tokens_and_numbers(both: Both) -> None:
    both.send(tab="writing")

    def ask(do: str, **more: Any) -> None:
        both.send(writing_asked={"do": do, "number": both.messages + 1, **more})

    for _ in range(4):
        ask("step")
    both.send(writing_sample=True, writing_seed=3)
    for _ in range(3):
        ask("step")
    assert set(both.here["writing_tree"]["how"]) == {"", "greedy", "drawn"}
    ask("back")
    both.send(writing_temperature=1.7, writing_top_k=40, writing_top_p=0.9, writing_penalty=1.3)
    for _ in range(3):
        ask("step")
    both.send(writing_at=3)
    both.send(writing_seed=2**40 + 7, writing_top_p=1.0, writing_top_k=0)
    ask("step")
    ask("branch", token=both.here["writing_bars"][str(both.here["writing_at"])]["ids"][3])
    assert len(both.here["writing_tree"]["rows"]) > 3
    for keep in ("without the oldest", "window", "first and window", "read afresh", "of the other text"):
        both.send(writing_keep=keep)
    both.send(writing_beside=5)
    assert both.here["writing_cache"]["kl"] > 0
    both.send(writing_keep="first and window", writing_window=3, writing_labels=True)
    for wrong in ({"do": "branch", "token": -1}, {"do": "branch", "token": "Leo lives"}, {"do": "fly"}):
        both.send(writing_asked={**wrong, "number": both.messages + 1})
        assert both.here["writing_tree"]["message"] == both.view.writing_tree["message"] != ""
    both.send(writing_top_k=5000)
    assert "top_k must be a whole number from 1 to 3072" in both.here["writing_tree"]["message"]
    both.send(writing_top_k=3)
    for _ in range(3):  # to the end of a text, and no further
        ask("branch", token=2)
    assert "the text has ended" in both.here["writing_tree"]["message"]
    both.send(writing_sample=False, writing_at=0)
    both.send(writing_temperature=0.0)
    both.type("Le 😀 ")
    for token in (*both.view.trace.lab.tokenizer.encode("里 é\u200f\n"), 900, 2000):
        ask("branch", token=token)


@pytest.mark.parametrize("drawn", [False, True], ids=["likeliest", "drawn"])
def test_beams_are_pythons(both: Both, drawn: bool) -> None:
    texts = ("Leo lives in", "Ana has a dog. Ana has", "سارة تسكن في", "小梅住在")
    for number, text in enumerate(texts[:2] if drawn else texts):
        both.type(text)
        both.send(tab="writing", writing_beams=3 + number, writing_sample=drawn, writing_penalty=1.2)
        both.send(writing_asked={"do": "search", "number": both.messages + 1})
        assert len(both.here["writing_tree"]["ids"]) > 20 and set(both.here["writing_tree"]["how"]) == {"", "beam"}
        both.send(writing_asked={"do": "step", "number": both.messages + 1})
        assert "beams have no single next step" in both.here["writing_tree"]["message"]
    both.wish(do="add", edit=EDITS[2])
    both.send(run="difference")
    both.send(writing_asked={"do": "search", "number": both.messages + 1})
    assert both.here["writing_other"]["tree"]["how"][1] == "beam"


def test_writing_with_changes_goes_along_with_the_run_without_them(both: Both) -> None:
    both.wish(do="add", edit=EDITS[0])
    both.wish(do="add", edit={"spot": "h.2.mlp.out", "kind": "scale", "number": 1.5, "axes": {}})
    both.send(tab="writing", run="difference")
    both.send(writing_sample=True, writing_temperature=0.8)
    for _ in range(5):
        both.send(writing_asked={"do": "step", "number": both.messages + 1})
    assert both.here["writing_other"]["code"].startswith("other = lab.write(")
    both.send(writing_keep="of the other text")
    for run in ("what if", "as it is"):
        both.send(run=run)
        both.send(writing_asked={"do": "step", "number": both.messages + 1})
    assert both.here["writing_other"] == {}


def test_what_was_written_is_there_again_in_the_page(page: Page, lab: Lab) -> None:
    view = lab.explore(STORY)
    view.tab, view.writing.sample, view.writing.seed = "writing", True, 5
    for number in range(4):
        view.writing.asked = {"do": "step", "number": number + 1}
    view.writing.at = 1
    view.writing.asked = {"do": "branch", "token": 40, "number": 9}
    both = Both(page, view)
    for name in ("tree", "bars", "cache", "at", "seed", "sample"):
        both.same(f"writing_{name}", both.here[f"writing_{name}"], getattr(view, f"writing_{name}"))
    short = Both(page, lab.write("Leo lives in", max_new_tokens=9).step().view)
    short.compare()
    assert "max_new_tokens=9" in short.here["bars"]["1"]["code"]
    alone = lab.write("Leo lives in", do_sample=True, top_k=5, seed=1).play(3)
    both = Both(page, alone.view)
    both.compare()
    both.send(asked={"do": "step", "number": 1})
    both.send(at=1)
    both.type("Ana has a")
    both.send(asked={"do": "step", "number": 2})


SHORT = "Leo lives in Oslo. Leo lives in"
SILENT = {"spot": "h.3.attn.mixed", "kind": "zero", "axes": {"head": [5]}}


def weighed(both: Both, **wish: Any) -> dict[str, Any]:
    """Once the view in Python and the page have measured as they are asked to: the worth of the edits."""
    both.wish(**wish)
    both.view._finish_measuring()
    here, there = both.here["worth"], both.view.worth
    assert here["state"] == there["state"] == "done", (here["message"], there["message"])
    for name in there.keys() - {"done", "total"}:
        both.same(f"worth.{name}", here[name], there[name])
    return dict(there)


def test_what_an_edit_is_worth_and_its_controls_are_pythons(both: Both) -> None:
    both.type(SHORT)
    both.wish(do="add", edit=SILENT, expect="Oslo falls")
    found = weighed(both, do="compare")
    assert [line["name"] for line in found["lines"]] == ["made", "zero", "usual", "drawn"] and found["doses"]
    found = weighed(both, do="refute")
    assert [len(row["dots"]) for row in found["refuted"]["rows"]] == [20, 7, 0, 13, 2, 27]
    ((here,), (there,)) = both.here["tries"], both.view.tries
    assert here.keys() == there.keys() and here["expected"] == "Oslo falls"
    for name in there.keys() - {"time"}:
        both.same("verdict.says" if name == "verdict" else name, here[name], there[name])


def test_what_an_edit_is_worth_in_many_texts_is_pythons(both: Both) -> None:
    both.type(SHORT)
    both.send(over="texts", metric="probability")
    both.wish(do="read", text="Ana lives in Lima. Ana lives in")
    both.wish(do="add", edit={"spot": "h.0.mlp.out", "kind": "copied", "axes": {"pos": [3, 4]}})
    found = weighed(both, do="compare")
    assert found["texts"].startswith("this text and ") and found["lines"][0]["dots"]
    both.wish(do="clear")
    assert both.here["worth"] == both.view.worth


def test_the_controls_of_other_edits_are_pythons(both: Both) -> None:
    both.type(SHORT)
    both.send(answer=" Oslo")
    for edit in (
        {"spot": "h.2.attn.probs", "kind": "scale", "number": 0.5, "axes": {"head": [1, 2], "query": [7]}},
        {"spot": "h.1.attn.biased", "kind": "cut", "axes": {"head": [5], "query": [7], "key": [3]}},
        {"spot": "attn.alibi", "kind": "scale", "number": 0.5, "axes": {"head": [2]}},
    ):
        both.wish(do="add", edit=edit)
        weighed(both, do="refute")
        both.wish(do="remove", at=0)


def test_what_cannot_be_measured_is_said_as_in_python(both: Both) -> None:
    both.type(SHORT)
    both.wish(do="refute")
    assert both.here["message"] == both.view.message == "there is no change to be measured; make one first"
    both.send(answer="two words")
    both.wish(do="add", edit=SILENT)
    both.wish(do="clear")
    both.wish(do="restore", at=0)
    assert both.here["changes"] == ["head 3.5 silent"]
    both.wish(do="refute")
    both.view._finish_measuring()
    assert both.here["worth"]["message"] == both.view.worth["message"] != ""
    for wish in ({"do": "restore", "at": 7}, {"do": "add", "edit": SILENT, "expect": 7}):
        both.wish(**wish)
        assert both.here["message"] == both.view.message != ""
    for wish in ({}, {"parts": ["3.5"], "among": "no"}, {"parts": ["3.5"], "among": "all", "instead": "copied"}):
        both.wish(do="keep", **wish)
        assert both.here["message"] == both.view.message != ""


def test_what_is_left_with_parts_held_or_kept_is_pythons(both: Both) -> None:
    both.type(SHORT)
    both.wish(do="add", edit={"spot": "h.0.attn.mixed", "kind": "zero", "axes": {"head": [1]}})
    found = weighed(both, do="held")
    assert {row["part"] for row in found["held"]["rows"]} >= {"MLP 3"} and found["held"]["rows"][0]["q"] is None
    for mode, instead in (("keep", "usual"), ("without", "zero")):
        found = weighed(both, do=mode, parts=["3.5", "mlp 3"], among="all", instead=instead)
        assert [len(row["dots"]) for row in found["kept"]["rows"]] == [20, 20]
    both.send(metric="probability")
    found = weighed(both, do="without", parts=["3.5"], among="heads", instead="drawn")
    both.wish(do="keep", parts=["9.9"], among="all", instead="zero")
    both.view._finish_measuring()
    assert both.here["worth"]["message"] == both.view.worth["message"] != ""


@pytest.mark.long
@pytest.mark.slow  # 28 texts, a run for each part
def test_what_is_left_with_parts_held_is_pythons_in_many_texts(both: Both) -> None:
    both.type(SHORT)
    both.send(over="texts")
    both.wish(do="add", edit=SILENT)
    assert weighed(both, do="held")["held"]["texts"] == 28
    assert weighed(both, do="keep", parts=["3.5"], among="heads", instead="zero")["kept"]["rows"]


def test_the_curve_of_a_dose_is_pythons(both: Both) -> None:
    both.type(SHORT)
    steer = {"spot": "h.1.resid_post", "kind": "steer", "axes": {}, "number": 2, "towards": ["Ana has a dog."]}
    both.wish(do="add", edit={**steer, "away": ["Leo has a cat.", "Leo lives in Oslo."]})
    found = weighed(both, do="curve")
    assert [row["dose"] for row in found["curve"]["rows"]] == [0, 0.5, 1, 2, 4, 8]
    both.wish(do="dose", at=0, dose=4, gesture=1)
    assert both.here["worth"]["curve"] == {} or both.here["worth"]["curve"]["rows"]
    both.wish(do="add", edit={**steer, "spot": "resid_post", "away": ["Leo"]})
    both.wish(do="curve")
    both.view._finish_measuring()
    assert both.here["worth"]["message"] == both.view.worth["message"] != ""


OTHERS = (STORY.replace("Oslo", "Lima"), "Ana has a dog.", "لدى ليو قطة.")  # of as many tokens, and of fewer


def test_two_texts_have_pythons_numbers_in_every_tab_and_run(both: Both) -> None:
    both.wish(do="against", text=OTHERS[0])
    assert (both.here["compared"], both.here["editable"]) == (OTHERS[0], False)
    for tab in TABS:
        both.send(tab=tab)
        for run in ("difference", "as it is", "what if"):
            both.send(run=run)
    both.send(run="difference", tab="predictions", query=3)
    both.send(predictions_explaining="direct")
    assert "what if − as it is" in both.here["predictions_receipt"]["says"]
    both.send(predictions_explaining="closed")
    both.wish(do="add", edit=EDITS[0])  # a change would have another run to be compared with
    assert both.here["changes"] == [] and both.here["compared"]
    for other in OTHERS[1:]:
        both.wish(do="against", text=other)
        assert both.here["runs"] == ["as it is", "what if"]
        both.send(run="as it is", tab="attention")
        assert both.here["picture"]["text"] == other
        both.send(run="what if")
    both.type("Ana has a cat.")
    both.wish(do="against", text="")
    assert both.here["runs"] == [] and both.here["editable"] and both.here["compared"] == ""
    both.wish(do="add", edit=EDITS[5])
    for wrong in (OTHERS[0], 7):
        both.wish(do="against", text=wrong)
        assert (both.here["state"], both.here["message"]) == ("error", both.view.message)
        both.wish(do="clear")


def test_a_view_of_two_texts_goes_on_in_the_page(page: Page, lab: Lab) -> None:
    both = Both(page, lab.explore(STORY, against=OTHERS[0]))
    assert both.here["compared"] == OTHERS[0]
    both.send(run="difference")
    both.type(STORY.replace("Leo", "Eva"))
    assert both.here["runs"] == ["as it is", "what if", "difference"]


@pytest.mark.parametrize("verb", ["attention", "alibi", "hidden_states", "predictions"])
def test_a_lone_view_has_pythons_numbers(page: Page, lab: Lab, verb: str) -> None:
    both = Both(page, getattr(lab, verb)("Leo lives in Oslo."))
    both.compare()
    both.type(STORY)
    both.wish(do="add", edit=EDITS[0])
    both.send(run="difference")
    both.send(**dict(zip(SELECTION, (0, 1, 16, 3), strict=True)))
    assert both.worst <= NEAR


# A page and its host, between which messages lie until they are let through.
CROSSING = """async (given) => {
  given.model = globalThis.kept;
  const from = (path) => import("http://127.0.0.1/widgets/page/" + path);
  const [{ openLine }, { serve }] = await Promise.all([from("line.js"), from("host.js")]);
  for (const values of [given.state, given.empty]) {
    for (const [name, value] of Object.entries(values)) if (value?.base64 === "") values[name] = new Uint8Array(0);
  }
  const waiting = [];
  let toHost;
  const model = openLine({
    state: { ...given.state }, source: "", open: given, told() {}, address: () => "",
    makeWorker() { throw new Error("none here"); },
    here(hear) {
      serve((listener) => { toHost = listener; }, hear);
      return (message) => waiting.push(message);
    },
  });
  const choose = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const through = async () => {
    toHost(waiting.shift());
    await new Promise((done) => setTimeout(done, 30)); // a wish waits for others first
  };
  await through();
  const seen = [model.get("query")];
  choose({ wished: { do: "add", edit: { spot: "embed", kind: "zero", axes: { pos: [1] } }, number: 1 } });
  choose({ query: 5 });
  await through(); // the answer to the wish knows nothing of the choice
  await through();
  seen.push(model.get("query"), model.get("changes").length);
  choose({ query: 99 });
  choose({ run: "difference" });
  await through();
  await through();
  seen.push(model.get("query"), model.get("run"));
  return [...seen, waiting.length];
}"""


def test_a_place_chosen_while_a_change_is_made_stays_chosen(both: Both) -> None:
    """The answer to what was sent before crosses it, and has the place as it was."""
    assert both.page.evaluate(CROSSING, both._given() | {"model": None}) == [19, 5, 1, 19, "difference", 0]


def test_a_walk_at_random_stays_with_python(both: Both) -> None:
    both.view._worth = None  # what edits are worth has tests of its own, and would take most of the time
    both.page.evaluate(AT_REST)
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
    both.page.evaluate("asBefore()")
    assert both.messages == STEPS
    print(f"{STEPS} messages; the largest differences, as shares:", both.of)
