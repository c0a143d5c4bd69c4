"""A question answered by hand in JupyterLab and Notebook 7: which head brings the city, and what if it is silent?"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
P_OSLO = """\
from bloomlab import zero
oslo = lab.tokens(" Oslo")[0].id
def p(edit=None):
    return lab.trace({text!r}, ["logits"], edit)["logits"][0, -1].softmax(-1)[oslo].item()
print({what})
"""


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    visit = Visit(chromium, height=900)
    cells = ["import bloomlab", "lab = bloomlab.load()", f"view = lab.explore({RECAP!r})\nview"]
    notebook = Notebook(visit, server, cells, "change")
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def explorer(notebook: Notebook) -> Iterator[Locator]:
    root = notebook.page.locator("[data-view=explorer]")
    expect(root).to_have_attribute("data-tokens", "20")
    yield root
    assert notebook.visit.refused == []
    assert notebook.visit.widget_errors == []


def computed(notebook: Notebook, what: str) -> float:
    return float(notebook.python(P_OSLO.format(text=RECAP, what=what)))


def shown_oslo(explorer: Locator, p: float) -> None:
    """The chance of Oslo after the last token, as the Predictions tab shows it."""
    row = explorer.locator("[data-panel=predictions] [data-part=next] tr").filter(has_text="Oslo")
    expect(row.locator(".bl-value")).to_have_text(f"{p:.3f}")


def test_a_question_takes_eight_clicks(explorer: Locator, notebook: Notebook) -> None:
    clicks: list[Locator] = []

    def click(selector: str) -> None:
        clicks.append(explorer.locator(selector))
        clicks[-1].click()

    # Which head moves the city to the last token? The thumbnails show two in layer 3; this one gives it most.
    click("[data-part=heads] [data-layer='3'][data-head='4']")
    expect(explorer).to_have_attribute("data-head", "4")
    click("[data-part=strip] [data-token='3'].bl-part >> nth=0")  # Oslo; then the last token, which looks at it
    explorer.locator("[data-part=strip]").press("End")
    # And what if it is silent?
    click("[data-panel=attention] [data-part=change-menu] > summary")
    click("[data-panel=attention] [data-part=change-menu] input[value=every-token]")
    click("[data-panel=attention] [data-edit=silence]")
    expect(explorer.locator("[data-change-number='0']")).to_have_text("head 3.4 silent")
    click("[role=tab][data-tab=predictions]")
    whole, silent = computed(notebook, "p()"), computed(notebook, "p({'h.3.attn.mixed': zero(head=4)})")
    shown_oslo(explorer, silent)
    click("[data-part=runs] input[value='as it is']")
    shown_oslo(explorer, whole)
    assert len(clicks) <= 8 and whole > 0.9 and silent < whole
    click("[role=tab][data-tab=attention]")
    click("[data-part=clear]")
    expect(explorer).not_to_have_attribute("data-run", "what if")


def test_sixteen_numbers_at_one_full_stop(explorer: Locator, notebook: Notebook) -> None:
    explorer.locator("[data-part=heads] [data-layer='0'][data-head='1']").click()
    strip = explorer.locator("[data-part=strip]")
    strip.press("Home")
    for _ in range(16):
        strip.press("ArrowRight")
    expect(explorer).to_have_attribute("data-query", "16")
    strip.press("e")
    menu = explorer.locator("[data-panel=attention] [data-part=change-menu]")
    menu.locator("input[value=one-token]").check()  # the menu remembers how far the last edit reached
    menu.locator("[data-edit=silence]").press("Enter")
    expect(explorer.locator("[data-change-number='0']")).to_have_text("head 0.1 silent at 16")
    strip.press("End")
    explorer.locator("[role=tab][data-tab=predictions]").click()
    explorer.locator("[data-part=to-last]").click()
    silent = computed(notebook, "p({'h.0.attn.mixed': zero(head=1, query=16)})")
    assert computed(notebook, "p()") > 0.9 and silent < 0.25
    shown_oslo(explorer, silent)
    assert (
        float(
            notebook.python(
                "print(lab.trace(view.text, ['logits'], view.edits)['logits'][0, -1].softmax(-1)[oslo].item())"
            )
        )
        == silent
    )
    notebook.visit.screenshot(f"change-{notebook.server.app}")
    explorer.locator("[role=tab][data-tab=attention]").click()
    explorer.locator("[data-part=strip]").press("Control+z")
    expect(explorer.locator("[data-change-number]")).to_have_count(0)
