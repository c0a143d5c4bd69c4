"""What is taken out of a view: tables as spreadsheets read them, its picture and itself as files; by the keys alone."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

import bloomlab
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.waiting import redrawn
from tests.views.lone import TITLES

pytestmark = pytest.mark.browser

TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
LAB = bloomlab.load()
ANSWER = "(content) => model.listeners.filter(([event]) => event === 'msg:custom').forEach(([, hear]) => hear(content))"


@pytest.fixture
def blank(visit: Visit) -> BlankPage:
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    blank = BlankPage(visit.page)
    visit.page.evaluate(f"globalThis.asked = []; globalThis.answer = {ANSWER}; 0")
    return blank


def shown(blank: BlankPage, view: Any) -> Any:
    """A live view, whose kernel answers."""
    blank.draw(view)
    blank.page.evaluate("""() => {
        model.send = (message) => message.do === "knock" ? answer({ heard: message.number }) : asked.push(message);
    }""")
    return blank.page.locator('[data-part="take"]')


def copied(blank: BlankPage) -> list[list[str]]:
    text = blank.page.evaluate("navigator.clipboard.readText()")
    return [line.split("\t") for line in text.split("\n")]


def test_numbers_are_written_for_programs_and_no_word_becomes_a_formula(blank: BlankPage) -> None:
    cells = {
        "−1.000": "-1.000",
        "+3.21": "3.21",
        "≈ 0.180": "0.180",
        "2.1 × 10⁻⁸": "2.1e-8",
        "−2.1 × 10⁻¹⁰": "-2.1e-10",
        "1⁄16": "0.0625",
        "12,345": "12345",
        "3.072,5": "3.072,5",
        "0.12 → −0.34": "0.12 → -0.34",
        "=1+1": "'=1+1",
        "@SUM(A1)": "'@SUM(A1)",
        "-cmd": "'-cmd",
        "\u2068·Oslo\u2069": "·Oslo",
        " a\tb\n c ": "a b c",
        "–": "–",
        "": "",
    }
    found = blank.evaluate("{plainCell} from lib/take.js", "value.map(plainCell)", list(cells))
    assert dict(zip(cells, found, strict=True)) == cells


@pytest.mark.parametrize("scale", [1.0, 1.75])
def test_every_table_of_every_tab_is_copied_by_the_keys_and_nothing_moves(blank: BlankPage, scale: float) -> None:
    view = LAB.explore(TEXT)
    view.scale = scale
    page, take = blank.page, shown(blank, view)
    page.set_viewport_size({"width": 816, "height": 580})
    for tab in TITLES:
        view.tab = tab
        blank.push()
        expect(page.locator(f'[data-panel="{tab}"]')).to_be_visible()
        redrawn(page)
        height = page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().height")
        take.locator("> button").press("Enter")
        buttons = take.locator("[data-table]")
        expect(buttons.first).to_be_visible()
        found = list[str]()
        for at in range(buttons.count()):
            take.locator('[data-part="take-says"]').evaluate("says => { says.textContent = '' }")  # of the one before
            buttons.nth(at).press("Enter")
            expect(take.locator('[data-part="take-says"]')).to_contain_text("copied: ")
            rows = copied(blank)
            count = re.search(r"copied: (\d+) row", take.locator('[data-part="take-says"]').inner_text())
            assert count and len(rows) == int(count[1]) and max(map(len, rows)) > 1, (tab, at)
            numbers = [cell for row in rows for cell in row if re.fullmatch(r"[−+-]?[\d,]*\.?\d+( ×.*)?", cell)]
            found += numbers
            for cell in numbers:
                float(cell)  # as a program does
            assert not re.search(r"− ?[\d.]", "".join(map("".join, rows)))
        assert found, tab
        assert page.evaluate("document.querySelector('.bloomlab').getBoundingClientRect().height") == height
        box, sheet = (page.locator(what).bounding_box() for what in (".bloomlab", ".bl-take-list"))
        assert (
            box and sheet and sheet["x"] >= box["x"] - 1 and sheet["x"] + sheet["width"] <= box["x"] + box["width"] + 1
        )
        assert sheet["y"] >= box["y"]
        take.locator("[data-table]").first.press("Escape")
        expect(buttons.first).not_to_be_visible()
        expect(take.locator("> button")).to_be_focused()


def test_the_matrix_is_copied_as_the_numbers_that_the_model_used(blank: BlankPage) -> None:
    view = LAB.attention(TEXT)
    take = shown(blank, view)
    take.locator("> button").click()
    take.locator('[data-table="0"]').click()
    expect(take.locator('[data-part="take-says"]')).to_contain_text("copied: ")
    head, *rows = copied(blank)
    assert view.trace is not None
    probs = view.trace[f"h.{view.layer}.attn.probs"][0, view.head]
    assert head[0] == "query \\ key" and head[2] == "1 ·lives" and [row[0] for row in rows] == head[1:]
    for query, row in enumerate(rows):
        assert [float(cell) for cell in row[1 : query + 2]] == pytest.approx(
            probs[query, : query + 1].tolist(), rel=1e-6
        )
        assert not any(row[query + 2 :])


def test_what_is_selected_is_copied_as_lines_and_the_code_as_it_stands(blank: BlankPage) -> None:
    shown(blank, LAB.attention(TEXT))
    page = blank.page
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.bl-ledger'))")
    page.keyboard.press("Control+c")
    rows = copied(blank)
    assert len(rows) == 5 and all(len(row) > 1 for row in rows)
    content, position, *_ = (float(row[-1]) for row in rows)
    assert position < 0 and content == pytest.approx(blank.ledger("content"))
    page.locator('[data-part="code"]').evaluate("code => { code.closest('details').open = true }")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.bl-code'))")
    page.keyboard.press("Control+c")
    code = page.locator('[data-part="code"]').inner_text()
    assert page.evaluate("navigator.clipboard.readText()").strip() == code.strip()


def test_where_the_clipboard_is_denied_the_copy_stands_there_selected(blank: BlankPage) -> None:
    take = shown(blank, LAB.attention(TEXT))
    blank.page.evaluate("""() => {
        navigator.clipboard.writeText = () => Promise.reject(new Error("denied"));
        document.execCommand = () => false;
    }""")
    take.locator("> button").press("Enter")
    take.locator('[data-table="1"]').press("Enter")
    text = take.locator('[data-part="take-text"]')
    expect(text).to_be_focused()
    expect(take.locator('[data-part="take-says"]')).to_contain_text("selected; press Ctrl+C")
    chosen = blank.page.evaluate(
        "(({ selectionStart, selectionEnd }) => selectionEnd - selectionStart)(document.activeElement)"
    )
    assert chosen == len(text.input_value()) > 20 and "\t" in text.input_value()


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_a_file_comes_from_the_kernel_or_the_words_that_say_why_not(
    blank: BlankPage, kind: str, tmp_path: Path
) -> None:
    view = LAB.attention(TEXT)
    take, sent = shown(blank, view), list[Any]()
    name = f"Leo-lives-in-Oslo-He-has-a-cat-Let-us-sa.{kind}"
    view.send = lambda content, buffers=None: sent.append(content)
    take.locator("> button").press("Enter")
    with blank.page.expect_download() as download:
        take.locator(f'[data-file="{kind}"]').press("Enter")
        view._answer(view, blank.page.evaluate("asked.pop()"), [])
        assert sent[-1]["saved"] == kind and not sent[-1]["trouble"]
        blank.page.evaluate("content => answer(content)", sent[-1])
    assert download.value.suggested_filename == name
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html"}[kind]
    assert Path(download.value.path()).read_bytes().lower().startswith(begins.lower())
    expect(take.locator('[data-part="take-says"]')).to_contain_text(
        f"saved: Leo-lives-in-Oslo-He-has-a-cat-Let-us-sa.{kind}"
    )

    view.save = lambda path: (_ for _ in ()).throw(bloomlab.BloomlabError("the disk is full"))
    view._answer(view, {"do": "save", "kind": kind, "number": 1}, [])
    blank.page.evaluate("content => answer(content)", sent[-1])
    expect(take.locator('[data-part="take-says"]')).to_have_text("the disk is full")
    for nonsense in (
        {"do": "save", "kind": "../../x.png"},
        {"do": "save", "kind": ["png"]},
        {"do": "save"},
        "save",
        None,
    ):
        before = len(sent)
        view._answer(view, nonsense, [])
        assert len(sent) == before


@pytest.mark.parametrize(("tab", "word"), [("attention", "·lives"), ("hidden", "logit lens")])
def test_a_page_without_a_kernel_saves_what_is_in_it_and_says_what_it_cannot(
    visit: Visit, tmp_path: Path, tab: str, word: str
) -> None:
    view = LAB.explore(TEXT)
    view.tab = tab
    visit.page.goto(view.save(tmp_path / "view.html").as_uri())
    take = visit.page.locator('[data-part="take"]')
    take.locator("> button").press("Enter")
    expect(take.locator('[data-part="take-says"]')).to_have_text(
        "this page is the view as html; png and svg save the picture as it stands here"
    )
    html = take.locator('[data-file="html"]')
    assert html.is_disabled() and "kernel" in str(html.get_attribute("title"))
    files = {}
    for kind in ("png", "svg"):
        with visit.page.expect_download() as download:
            take.locator(f'[data-file="{kind}"]').press("Enter")
        files[kind] = tmp_path / f"{tab}.{kind}"
        download.value.save_as(files[kind])
    assert visit.errors == []
    with Image.open(files["png"]) as picture:
        assert picture.width > 400 and len(picture.convert("RGB").getcolors(1_000_000) or []) > 30
        picture.save(SCREENSHOTS / f"taken-{tab}.png")
    text = files["svg"].read_text(encoding="utf-8")
    assert text.startswith("<svg") and word in text and "<script" not in text and 'checked=""' in text
    width = float(re.findall(r'width="([\d.]+)"', text)[0])
    assert width >= visit.page.locator("[data-zone=where] [role=grid]").evaluate_all(
        "all => Math.max(0, ...all.map((e) => e.scrollWidth))"
    )  # all of what scrolls
    visit.page.goto(files["svg"].as_uri())  # by itself it looks the same
    with Image.open(visit.screenshot(f"taken-svg-{tab}")) as shown:
        assert len(shown.convert("RGB").getcolors(1_000_000) or []) > 30
