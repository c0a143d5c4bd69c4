"""axe looks at every tab of the explorer, in both themes; and at a page that is broken on purpose.

The tests of each module look at the view alone, in each of its states.
"""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

import bloomlab
from tests.browser.texts import TEXTS
from tests.views.lone import TITLES

TEXT = TEXTS["english"] + " " + TEXTS["arabic"]
BROKEN = """<!doctype html><html><head><title>broken</title></head><body><main>
<img src="data:,"><button></button><input><p style="color:#ccc;background:#fff">hard to read</p>
<div role="listbox" tabindex="0" aria-label="empty"><span>no option</span></div><div role="nonsense">x</div>
<table><tr><td headers="nothing">x</td></tr></table><a href="#"></a></main></body></html>"""


def grave(page: Page) -> list[tuple[str, str]]:
    """What axe calls serious or critical: the rule, and where. To be told of what is in order takes twice as long."""
    return [
        (rule["id"], node["html"][:200])
        for rule in Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_grave_in_any_tab(chromium: Browser, tmp_path: Path, theme: str) -> None:
    context = chromium.new_context(color_scheme=theme)  # type: ignore[arg-type]  # "light" or "dark"
    page = context.new_page()
    page.goto(bloomlab.load().explore(TEXT).save(tmp_path / "page.html").as_uri())
    for name in TITLES:
        page.locator(f"[role=tab][data-tab={name}]").click()
        expect(page.locator(f"[data-panel={name}]")).to_be_visible()
        page.evaluate("for (const folded of document.querySelectorAll('details')) folded.open = true")
        assert grave(page) == [], name
    context.close()


def test_the_rules_do_fire(chromium: Browser) -> None:
    page = chromium.new_page()
    page.set_content(BROKEN)
    fired = {rule for rule, _ in grave(page)}
    assert fired >= {"image-alt", "button-name", "label", "color-contrast", "link-name", "html-has-lang", "aria-roles"}
    page.close()
