"""The tokens view in JupyterLab and in Notebook 7: chips, a replay stepped by keys, languages compared and read."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook, open_more
from tests.browser.servers import Server
from tests.browser.texts import HOSTILE


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=1400)
    cells = ["import bloomlab", "lab = bloomlab.load()", 'tokens = lab.tokens("Leo lives in Oslo.")\ntokens']
    notebook = Notebook(visit, server, cells, "tokens")
    notebook.run_all()
    yield notebook
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


def test_chips_are_replayed_by_keys_texts_typed_and_languages_compared(notebook: Notebook) -> None:
    root = notebook.page.locator("[data-view=tokens]")
    expect(root).to_have_attribute("data-state", "ready")
    strip, replay = root.locator("[data-part=strip]"), root.locator("[data-part=replay]")
    strip.press("ArrowRight")
    strip.press("ArrowRight")
    expect(root).to_have_attribute("data-query", "3")
    strip.press("Enter")
    expect(replay).to_be_focused()
    replay.press("Home")
    replay.press("ArrowRight")
    expect(replay).to_have_attribute("data-step", "1")
    first = "from bloomlab.lens.tokens import merges; print(merges(lab.tokenizer, tokens[3].bytes)[0].rank)"
    expect(root.locator("[data-stage='0'] .bl-rank[data-next]")).to_have_text(notebook.python(first).strip())
    assert notebook.page.locator(".jp-Notebook.jp-mod-editMode").count() == 0  # Enter was not the notebook's

    compare = root.locator("[data-part=compare]")
    assert notebook.python("print(len(tokens.view.costs))").strip() == "0"
    open_more(root)
    compare.locator("summary").click()
    expect(compare).to_have_attribute("data-state", "done", timeout=60_000)
    expect(compare).to_have_attribute("data-rows", "10")
    notebook.visit.screenshot(f"tokens-{notebook.server.app}")
    root.locator("[data-language='العربية'] button").click()
    expect(root.locator("[data-part=text]")).to_have_value("يعيش ليو في أوسلو.")
    expect(strip).to_have_attribute("dir", "rtl")
    expect(compare).to_have_attribute("data-state", "done", timeout=60_000)

    for text in (HOSTILE[0], "猫 😀\u202e बिल्ली"):
        root.locator("[data-part=text]").fill(text)
        expect(root).to_have_attribute("data-tokens", notebook.python(f"print(len(lab.tokens({text!r})))").strip())
    assert notebook.page.evaluate("window.canary") is None
    expect(strip).to_contain_text("⟨U+202E⟩")
    assert notebook.python("print(tokens.ids == lab.tokens('Leo lives in Oslo.').ids)").strip() == "True"
