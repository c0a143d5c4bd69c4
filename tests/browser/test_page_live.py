"""A live page as a person uses it: a file that is opened, without Python, in a worker or where none is allowed."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from bloomlab import load
from tests.browser.conftest import Visit
from tests.browser.test_accessibility import grave
from tests.browser.texts import HOSTILE, TEXTS, shown_on_strip
from tests.browser.waiting import settled
from tests.hostile.mutations import changed_bytes, changed_value

STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
STRICT = "default-src 'self' 'unsafe-inline'"  # a school's: no blob, no eval
WAIT = 60_000  # milliseconds: what the model is asked is computed by the page itself


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return load().explore(STORY).save(tmp_path_factory.mktemp("live") / "page.html", live=True)


@pytest.fixture
def opened(chromium: Browser, file: Path) -> Iterator[Callable[..., Visit]]:
    visits: list[Visit] = []

    def opened(policy: str = "", width: int = 1280, touch: bool = False) -> Visit:
        visit = Visit(chromium, width, 800, touch)
        visits.append(visit)
        if policy:
            served = "http://127.0.0.1/a/path/page.html"

            def serve(route: Route) -> None:
                headers = {"content-security-policy": policy, "content-type": "text/html; charset=utf-8"}
                route.fulfill(body=file.read_bytes(), headers=headers)

            visit.page.route(served, serve)
            visit.page.goto(served)
        else:
            visit.page.goto(file.as_uri())
        expect(visit.page.locator(".bloomlab")).to_have_attribute("data-tokens", "20", timeout=WAIT)
        return visit

    yield opened
    for visit in visits:
        visit.close()


def expect_oslo_at(page: Page, chance: str) -> None:
    """What the predictions come to say, after the last layer and token: the page may still be computing."""
    page.locator('[role="tab"][data-tab="predictions"]').click()
    page.locator('[data-part="to-last"]').evaluate("(button) => button.click()")  # it is off where one is there
    expect(page.locator('[data-part="next"] [data-id="1278"]')).to_contain_text(chance)


def type_text(page: Page, text: str) -> None:
    box = page.locator('[data-part="text"]')
    box.fill(text)
    box.press("Enter")


def test_a_text_is_typed_and_sixteen_numbers_are_silenced_by_hand(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page = visit.page
    assert page.evaluate("document.body.dataset.host") == "worker"
    type_text(page, "Ana lives in Lima.")
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "5")
    type_text(page, STORY)
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "20")

    page.locator('[role="option"][data-layer="0"][data-head="1"]').click()
    page.locator('[data-part="strip"] [role="option"][data-token="16"]').click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "16")
    page.keyboard.press("e")
    page.locator('[data-panel="attention"] [data-edit="silence"]').click()
    expect(page.locator('[data-part="changes"]')).to_contain_text("head 0.1 silent at 16")
    page.locator('[data-part="strip"] [role="option"][data-token="19"]').click()

    for run, chance in (("as it is", "0.948"), ("what if", "0.184")):
        page.locator(f'[data-part="runs"] input[value="{run}"]').check()
        expect(page.locator(".bloomlab")).to_have_attribute("data-run", run)
        expect_oslo_at(page, chance)
    expect(page.locator('[data-part="stamp"]')).to_contain_text("computed in this page")
    for words in ("zero(head=1, query=16)", STORY):
        expect(page.locator('[data-part="code"]').first).to_contain_text(words)

    page.locator('[data-part="take"] > button').click()
    page.locator('[data-part="take-link"]').click()
    link = page.locator('[data-part="take-text"]').input_value()
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator('[data-part="changes"]')).to_contain_text("head 0.1 silent at 16", timeout=WAIT)
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "19")
    expect_oslo_at(page, "0.184")
    assert visit.refused == [] and visit.errors == []


EMPTY_MODULE = """() => {
    try {
        return Boolean(new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
    } catch {
        return false;
    }
}"""


def test_a_live_page_may_use_webassembly_and_no_other_page_may(opened: Callable[..., Visit], tmp_path: Path) -> None:
    page = opened().page
    assert page.evaluate(EMPTY_MODULE) and page.workers[0].evaluate(EMPTY_MODULE)
    assert not opened(STRICT).page.evaluate(EMPTY_MODULE)  # and it works: the tests below
    page.goto(load().explore("Leo").save(tmp_path / "still.html").as_uri())
    assert not page.evaluate(EMPTY_MODULE)


def test_a_finger_on_a_phone_chooses_changes_and_writes(opened: Callable[..., Visit]) -> None:
    visit = opened(width=360, touch=True)
    page = visit.page
    page.locator('[data-panel="attention"] [role="option"][data-layer="0"][data-head="1"]').tap()
    page.locator('[data-part="strip"] [role="option"][data-token="16"]').tap()
    expect(page.locator(".bloomlab")).to_have_attribute("data-query", "16")
    page.locator('[data-panel="attention"] [data-part="change-menu"] > summary').tap()
    page.locator('[data-panel="attention"] [data-edit="silence"]').tap()
    expect(page.locator('[data-part="changes"]')).to_contain_text("head 0.1 silent at 16")
    page.locator('[role="tab"][data-tab="writing"]').tap()
    page.locator('[data-panel="writing"] [data-part="step"]').tap()
    expect(page.locator(".bloomlab")).to_have_attribute("data-at", "1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.refused == [] and visit.errors == []


def test_keys_alone_read_choose_change_and_undo(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page = visit.page
    page.locator('[data-part="text"]').focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("Leo lives in Oslo. Leo lives in")
    page.keyboard.press("Enter")
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "8")
    page.keyboard.press("Escape")
    page.locator('[data-panel="attention"] [data-part="heads"]').focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    layer, head = (page.locator(".bloomlab").get_attribute(f"data-{name}") for name in ("layer", "head"))
    chosen = f"head {layer}.{head}"
    page.keyboard.press("e")
    page.locator('[data-panel="attention"] [data-edit="silence"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator('[data-part="changes"]')).to_contain_text(f"{chosen} silent")
    page.locator('[data-part="undo"]').focus()
    page.keyboard.press("Enter")
    expect(page.locator('[data-part="changes"]')).not_to_contain_text(chosen)
    assert visit.refused == [] and visit.errors == []


def test_two_texts_are_compared_and_the_link_holds_both(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page = visit.page
    page.locator('[data-part="against"]').click()
    other = page.locator('[data-part="against-text"]')
    expect(other).to_have_value(STORY)
    other.fill("a b " * 400)
    other.press("Enter")
    expect(page.locator('[data-part="says"]')).to_contain_text("but a page reads at most 256")
    other.fill(STORY.replace("Oslo", "Lima"))
    other.press("Enter")
    page.locator('[data-part="runs"] input[value="difference"]').check()
    expect(page.locator(".bloomlab")).to_have_attribute("data-run", "difference")
    expect(page.locator('[data-part="runs"]')).to_contain_text("the other text")
    expect(page.locator('[data-part="against"]')).to_be_hidden()
    assert grave(page) == []
    page.locator('[data-part="runs"] input[value="as it is"]').check()
    expect(page.locator('[data-part="text"]')).to_have_value(STORY.replace("Oslo", "Lima"))
    page.locator('[data-part="take"] > button').click()
    page.locator('[data-part="take-link"]').click()
    link = page.locator('[data-part="take-text"]').input_value()
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".bloomlab")).to_have_attribute("data-run", "as it is", timeout=WAIT)
    expect(page.locator('[data-part="against-text"]')).to_have_value(STORY.replace("Oslo", "Lima"))
    page.locator('[data-part="runs"] input[value="what if"]').check()
    expect_oslo_at(page, "0.948")
    page.locator('[data-part="against-end"]').click()
    expect(page.locator('[data-part="runs"]')).to_be_hidden()
    expect(page.locator('[data-part="against"]')).to_be_focused()
    assert visit.refused == [] and visit.errors == []


LIES = {
    "text=Leo&layer=9&layer=1": "it names layer twice",
    "text=Leo&layer=1e9": "its layer is a whole number",
    "text=Leo&code=alert(1)": "it names 'code'",
    "text= ": "its text is empty",
    "tab=<script>window.canary=1</script>": "its tab is '<script>",
    "run=nothing": "its run is 'nothing'",
    "against=": "the text that it compares with is empty",
    "against=Ana&edits=[]": "has one of the two",
    "off=x": "what is off are numbers",
    "edits=window.canary=1": "its edits are no list that can be read",
    "edits={}": "its edits are a list of at most 100",
    'edits=[{"spot":"embed","kind":"eval","axes":{}}]': "the page asked for 'eval'",
    'edits=[{"spot":"embed","kind":"zero","axes":{"pos":[99]}}]': "goes from 0 to 19",
    'edits=[{"spot":"embed","kind":"zero","axes":{},"__proto__x":1}]': "an edit in it is",
    'edits=[{"spot":"embed","kind":"copied","axes":{},"text":7}]': "takes its values from a text",
    "text=" + "a" * 100_001: "at most 100,000 are read",
}


def test_a_link_with_lies_in_it_is_one_sentence(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page, address = visit.page, visit.page.url
    read = """(link) => {
        try {
            page_link.readLink(link, { tabs: ["hidden"], runs: ["what if"] });
        } catch (error) {
            return error.message;
        }
    }"""
    asked_of_the_model = []
    for lie, sentence in LIES.items():
        said = page.evaluate(read, f"#{quote(lie, safe='=&')}")
        if said is None:
            asked_of_the_model.append(lie)
        else:
            assert sentence in said
    assert len(asked_of_the_model) == 2
    for lie in [*asked_of_the_model, "text= "]:
        page.goto("about:blank")
        page.goto(f"{address}#{quote(lie, safe='=&')}")
        says = page.locator('[data-part="says"]')
        expect(says).to_contain_text("this link cannot be followed", timeout=WAIT)
        expect(says).to_contain_text(LIES[lie])
        expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "20")
    page.goto("about:blank")
    text = "Ana lives <b>in</b> \x00"
    page.goto(f"{address}#text={quote(text)}&layer=99&head=99&query=99&key=99&tab=hidden")
    expect(page.locator('[data-part="text"]')).to_have_value(text, timeout=WAIT)
    expect(page.locator(".bloomlab")).to_have_attribute("data-layer", "3")
    assert page.evaluate("window.canary") is None and visit.errors == [] and visit.refused == []


def test_made_up_links_are_read_or_refused_in_a_sentence(opened: Callable[..., Visit]) -> None:
    """A thousand changes to an honest link: to its letters, and to what its edits say."""
    page = opened().page
    edits = [
        {"spot": "h.0.attn.mixed", "kind": "scale", "axes": {"head": [1], "query": [16]}, "number": 0.5},
        {"spot": "embed", "kind": "copied", "axes": {"pos": [2]}, "text": "Ana lives in Lima.", "of": "Leo"},
    ]
    chance = random.Random(2026)
    links = []
    for _ in range(1000):
        now = changed_value(edits, chance) if chance.random() < 0.5 else edits
        places = "tab=hidden&layer=1&head=0&query=2&key=1&run=what+if&off=0.1"
        link = f"text={quote(STORY)}&{places}&edits={quote(json.dumps(now))}"
        links.append("#" + (link if now != edits else changed_bytes(link.encode(), chance).decode("latin-1")))
    read = """(links) => links.map((link) => {
        try {
            const { edits, place, off } = page_link.readLink(link, { tabs: ["hidden"], runs: ["what if"] }) ?? {};
            const numbers = edits ? [...Object.values(place), ...off] : [];
            return Array.isArray(edits ?? []) && numbers.every(Number.isSafeInteger) ? "" : "lies";
        } catch (error) {
            return error.constructor.name === "InputError" ? error.message : `${error.name}!`;
        }
    })"""
    said = page.evaluate(read, links)
    refused = [message for message in said if message]
    assert 300 < len(refused) < 900 and max(map(len, refused)) <= 400
    assert [message for message in refused if message == "lies" or message.endswith("!")] == []
    assert page.evaluate("window.canary") is None


def test_a_strict_policy_leaves_the_page_without_a_worker_and_it_works(opened: Callable[..., Visit]) -> None:
    visit = opened(STRICT)
    page = visit.page
    assert page.evaluate("document.body.dataset.host") == "page"
    expect_oslo_at(page, "0.948")
    type_text(page, "Ana lives in Lima.")
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "5")
    assert visit.refused == [] and visit.errors == []


def test_what_needs_python_says_so_in_one_sentence(opened: Callable[..., Visit]) -> None:
    page = opened().page
    says = {
        "tokens": ('[data-panel="tokens"]', f"this needs Python: lab.attribution('{STORY}')"),
    }
    opens = {"tokens": "mattered"}
    for tab, (place, sentence) in says.items():
        page.locator(f'[role="tab"][data-tab="{tab}"]').click()
        if tab in opens:
            page.locator(f'[data-panel="{tab}"] details[data-part="{opens[tab]}"] > summary').click()
        expect(page.locator(place)).to_contain_text(sentence)
    page.locator('[role="tab"][data-tab="alibi"]').click()
    for question in ("twins", "lengths"):
        for press in (f'input[value="{question}"]', '[data-part="lab-run"]'):
            page.locator(f'[data-panel="alibi"] {press}').dispatch_event("click")
        code = f"view = lab.alibi('{STORY}'); view.question = \"{question}\"; view.run_length_lab()"
        expect(page.locator('[data-panel="alibi"] [data-part="lab"]')).to_contain_text(f"this needs Python: {code}")


def test_a_text_is_written_on_in_the_page(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page = visit.page
    page.locator('[role="tab"][data-tab="writing"]').click()
    page.locator('[data-panel="writing"] [data-part="step"]').click()
    expect(page.locator('[data-part="written"]')).to_contain_text("Oslo")
    page.locator('[data-setting="sample"]').check()
    page.locator('[data-part="play"]').click()
    expect(page.locator('[data-panel="writing"] [data-part="message"]')).to_be_hidden()
    expect(page.locator(".bloomlab")).to_have_attribute("data-at", re.compile("[5-9]|1[0-9]"))
    page.locator('[data-part="play"]').click()  # which stops
    at = settled(page, "document.querySelector('.bloomlab').dataset.at")  # a token may be on its way
    page.locator('[data-panel="writing"] [data-part="back"]').click()
    expect(page.locator(".bloomlab")).to_have_attribute("data-at", str(int(at) - 1))
    page.locator('[data-part="bars"] [data-token]').nth(1).click()
    expect(page.locator('[data-part="branches"] [data-end]')).to_have_count(4)
    page.locator('input[type="radio"][value="window"]').check()
    expect(page.locator('[data-part="cache-says"]')).to_contain_text("nats (KL)")
    page.locator('[data-setting="beams"]').select_option("4")
    page.locator('[data-part="search"]').click()
    expect(page.locator('[data-panel="writing"] [data-part="message"]')).to_be_hidden()
    expect(page.locator('[data-part="branches"] [data-end]')).not_to_have_count(4)
    page.locator('[data-part="keep-text"]').click()
    expect(page.locator('[data-part="text"]')).not_to_have_value(STORY)
    assert visit.refused == [] and visit.errors == []


def test_a_change_is_refuted_in_the_page(opened: Callable[..., Visit]) -> None:
    visit = opened()
    page = visit.page
    type_text(page, "Leo lives in Oslo. Leo lives in")
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "8")
    page.locator('[role="option"][data-layer="3"][data-head="5"]').click()
    page.keyboard.press("e")
    page.locator('[data-panel="attention"] [data-edit="silence"]').click()
    expect(page.locator('[data-worth="drawn"]')).to_be_visible()
    page.keyboard.press("r")
    expect(page.locator('[data-part="verdict"]')).to_contain_text("27 other texts the same way", timeout=WAIT)
    assert grave(page) == [] and visit.refused == [] and visit.errors == []


def test_a_receipt_and_a_map_are_measured_in_the_page(opened: Callable[..., Visit]) -> None:
    page = opened().page
    type_text(page, "Leo lives in Oslo. Leo lives in")
    expect(page.locator(".bloomlab")).to_have_attribute("data-tokens", "8")
    for tab, box, says in (
        ("attention", "look", "most of the key's side is"),
        ("hidden", "effects", "of the lead of ' Oslo' over"),
        ("predictions", "receipt", "the largest line is"),
    ):
        page.locator(f'[role="tab"][data-tab="{tab}"]').click()
        page.locator(f'[data-panel="{tab}"] details[data-part="{box}"] > summary').click()
        expect(page.locator(f'[data-part="{box}"]')).to_have_attribute("data-state", "done", timeout=WAIT)
        expect(page.locator(f'[data-part="{box}-says"]')).to_contain_text(says)


def test_texts_of_every_kind_are_shown_as_they_are(opened: Callable[..., Visit]) -> None:
    visit = opened(width=360)
    page = visit.page
    for text in [*TEXTS.values(), *HOSTILE[:4]]:
        type_text(page, text)
        expect(page.locator('[data-part="text"]')).to_have_value(text)
        expect(page.locator(".bloomlab")).to_have_attribute("data-state", "ready")
    assert "window.canary" in shown_on_strip(page) and page.evaluate("window.canary") is None
    type_text(page, "a b " * 2500)
    expect(page.locator('[data-part="says"]')).to_contain_text("but a page reads at most 256")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_grave(opened: Callable[..., Visit], theme: Literal["light", "dark"]) -> None:
    page = opened().page
    page.emulate_media(color_scheme=theme)
    for tab in ("map", "tokens", "attention", "alibi", "hidden", "predictions", "writing"):
        page.locator(f'[role="tab"][data-tab="{tab}"]').click()
        expect(page.locator('[data-part="tab-says"][data-waits]')).to_have_count(0)
        assert grave(page) == [], tab
