"""A host that keeps anywidget's contract and nothing else: one trait is set, and told of, at a time."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from bloomlab.views.cover import Cover
from bloomlab.views.view import View
from tests.browser import blank_page
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.tasks.task_heads import random_lab
from tests.views.lone import TITLES

LONG, SHORT = "Leo 😀 lives in Oslo.", "Mia."
VERBS = ["tokens", "attention", "alibi", "hidden_states", "predictions", "write"]

# As marimo does it: the state changes under the eyes of whoever listens, in the order of the message or the other way
# round, and there is no widget_manager to be asked, no comm_live, no second event in one call.
PLAIN_MODEL = """
globalThis.fakeModel = () => {
  const state = {}, listeners = new Map(), changed = new Set(), sent = [];
  const put = (name, value) => {
    state[name] = value;
    for (const listener of [...(listeners.get(`change:${name}`) ?? [])]) listener(value);
  };
  return {
    sent,
    get: (name) => state[name],
    set(name, value) { changed.add(name); put(name, value); },
    on(event, listener) { listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)); },
    off(event, listener) { listeners.get(event)?.delete(listener); },
    unsent: () => changed.size,
    save_changes() {
      sent.push(Object.fromEntries([...changed].map((name) => [name, state[name]])));
      changed.clear();
    },
    async send() {},
    arrive(values) {
      const entries = Object.entries(values);
      for (let [name, value] of globalThis.backwards ? entries.reverse() : entries) {
        if (value !== null && typeof value === "object" && "base64" in value)
          value = new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer);
        if (state[name] !== value) put(name, value);
      }
    },
  };
};
"""

ONE_MESSAGE = """await (async () => {
    const count = { shown: [], drawn: 0, told: [] };
    let drawNow;
    const makePanel = (stage) => {
        drawNow = stage.drawNow;
        stage.listen("change:one change:two", () => count.told.push([stage.get("one"), stage.get("two")]));
        const draw = () => { count.drawn += 1; };
        return { show: (picture) => count.shown.push(picture.text), draw, fit() {}, point() {} };
    };
    const model = globalThis.fakeModel(), el = document.body.appendChild(document.createElement("div"));
    const first = { picture: value, typed: { number: 0 }, runs: [], worth: {}, state: "ready", answered: 0 };
    model.arrive(first);
    viewFrame({ model, el, name: "attention", makePanel });
    await new Promise((done) => setTimeout(done, 100));
    Object.assign(count, { shown: [], drawn: 0 });
    const picture = { ...value, text: "later" };
    model.arrive({ query: 1, one: 1, key: 0, picture, layer: 1, two: 2, head: 1, state: "ready", message: "" });
    drawNow(); // as what else hears of a message might, before its picture has been read
    const early = count.drawn;
    await null; // a microtask
    const message = { ...count };
    count.drawn = 0;
    model.arrive({ layer: 0, head: 0, query: 0 });
    await null;
    return [early, message.shown, message.drawn, message.told, count.drawn];
})()"""


@pytest.fixture(params=["in order", "backwards"])
def blank(visit: Visit, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[BlankPage]:
    monkeypatch.setattr(blank_page, "FAKE_MODEL", PLAIN_MODEL)
    page = BlankPage(visit.page)
    visit.page.evaluate("(on) => { globalThis.backwards = on }", request.param == "backwards")
    yield page
    assert visit.errors == []
    assert visit.refused == []


def view_of(verb: str, text: str) -> View:
    made: Any = getattr(random_lab(), verb)(text)
    return made if isinstance(made, View) else made.view  # type: ignore[no-any-return]


@pytest.mark.parametrize("verb", VERBS)
def test_another_text_is_drawn_once_it_is_here_as_a_whole(blank: BlankPage, verb: str) -> None:
    view = view_of(verb, LONG)
    blank.draw(view)
    count = len(view.picture["tokens"])
    assert blank.root("tokens") == str(count) and blank.root("state") == "ready"
    view.show(SHORT)  # its places and pieces are none of the longer text's, nor the other way round
    blank.push()
    assert (blank.root("tokens"), blank.root("drawn")) == (str(len(view.picture["tokens"])), "2")
    view.show(LONG)
    blank.push()
    assert (blank.root("tokens"), blank.root("drawn"), blank.root("query")) == (str(count), "3", str(view.query))
    blank.page.locator("[data-part=strip] .bl-part[data-token='1']").click()
    blank.answered()
    assert view.query == 1 and blank.root("query") == "1" and blank.root("state") == "ready"


def test_every_tab_of_the_explorer_opens_and_follows(blank: BlankPage) -> None:
    blank.draw(random_lab().explore(LONG))
    for name in TITLES:
        if name != blank.root("tab"):
            blank.page.locator(f"[role=tab][data-tab={name}]").click()
            blank.answered()
        expect(blank.page.locator(f"[role=tabpanel][data-panel={name}]")).to_be_visible()
        blank.page.locator("[data-part=strip] .bl-part[data-token='1']").click()
        blank.answered()
        assert blank.root("query") == "1" and blank.root("state") == "ready"
        blank.view.show(f"{LONG} {name}")
        blank.push()
        assert blank.root("query") == str(blank.view.query), name


def test_a_message_is_one_picture_and_one_drawing(blank: BlankPage) -> None:
    """Whatever the order, a panel is asked once, and its own listeners see the whole message."""
    picture = view_of("attention", SHORT).picture | {"code": []}
    blank.page.evaluate(PLAIN_MODEL)
    found = blank.evaluate(
        "{ viewFrame } from lib/frame.js",
        ONE_MESSAGE,
        picture,
    )
    assert found == [0, ["later"], 1, [[1, 2]], 1]


def test_a_cover_asks_and_uncovers(blank: BlankPage) -> None:
    """Where no host shows another widget, what was covered is there as text, or as its picture."""
    blank.draw(Cover("How many?", 3, because="So.", shows="Leo 3"))
    blank.page.locator("[data-part=box]").fill("7")
    blank.page.locator("[data-part=reveal]").click()
    assert blank.page.locator("[data-part=shown]").inner_text() == "Leo 3"
    blank.answered()
    assert (blank.view.prediction, blank.view.revealed) == ("7", True)


def test_a_cover_uncovers_another_widget_as_anywidget_says(blank: BlankPage) -> None:
    """`host.getWidget` is in anywidget's contract; a widget manager is not."""
    inside = Cover("inside?", 1)
    blank.draw(Cover("How many?", 3, shows=inside))
    blank.page.evaluate("document.querySelector('main').remove()")
    blank.page.evaluate(
        """async (text) => {
            const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
            const { default: widget } = await import(url);
            const host = { async getWidget(ref) {
                return { async render({ el, signal }) {
                    el.textContent = ref;
                    signal.addEventListener("abort", () => { globalThis.ended = ref; });
                } };
            } };
            const el = document.body.appendChild(document.createElement("main"));
            globalThis.cleanUp = widget.render({ model, el, host });
        }""",
        str(inside._esm),
    )
    blank.page.locator("[data-part=box]").fill("3")
    blank.page.locator("[data-part=reveal]").click()
    expect(blank.page.locator("[data-part=shown]")).to_have_text(f"anywidget:{inside.model_id}")
    blank.page.evaluate("cleanUp()")
    assert blank.page.evaluate("globalThis.ended") == f"anywidget:{inside.model_id}"


def test_a_row_that_gives_no_width_does_not_take_it_away(blank: BlankPage) -> None:
    """As in marimo's `hstack`, whose children are as wide as what is in them: a view knows of no width but its own."""
    blank.draw(view_of("attention", SHORT))
    blank.draw_again()
    blank.page.evaluate(
        """() => {
            const row = document.body.appendChild(document.createElement("div"));
            row.style.display = "flex";
            row.append(...document.querySelectorAll("main"));
        }"""
    )
    widths = blank.page.locator(".bloomlab").evaluate_all("all => all.map((view) => view.clientWidth)")
    assert len(widths) == 2 and min(widths) >= 250, widths
