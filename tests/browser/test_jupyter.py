"""The explorer and the welcome notebook, in JupyterLab and in Notebook 7, as a person uses them."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Position, expect

import bloomlab
from bloomlab.chips import visible
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes
from tests.browser.conftest import Visit
from tests.browser.driving import Notebook
from tests.browser.servers import Server

WELCOME = Path(__file__).parents[2] / "notebooks" / "00_welcome.ipynb"
TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
OTHER = "猫 \N{LION FACE} القطة, two  spaces"
CIVIDIS = (matplotlib.colormaps["cividis"](np.arange(256))[:, :3] * 255).round().astype(int)
HOSTILE = [
    "<img src=x onerror=window.fired=1>",
    "</script><script>window.fired=1</script>",
    "<svg onload=window.fired=1>",
    '" onfocus="window.fired=1" autofocus="',
    "[a](javascript:window.fired=1)",
    "gnp.\u202eexe \u200b \u2028",
]


@pytest.fixture(scope="session")
def lab() -> bloomlab.Lab:
    """What the notebooks load, here: to compare with."""
    return bloomlab.load()


@pytest.fixture(scope="module")
def notebook(chromium: Browser, server: Server) -> Iterator[Notebook]:
    """A notebook that shows the explorer; the tests below use it one after the other."""
    visit = Visit(chromium, height=1400)
    notebook = Notebook(
        visit, server, ["import bloomlab", "lab = bloomlab.load()", "view = lab.explore()\nview"], "explorer"
    )
    notebook.run_all()
    yield notebook
    notebook.close()


@pytest.fixture
def explorer(notebook: Notebook) -> Iterator[Locator]:
    """The explorer on the page, showing head 0 of layer 0 of TEXT. Afterwards: no request, no error of a widget."""
    notebook.page.evaluate("document.activeElement.blur()")
    root = notebook.page.locator("[data-view=explorer]")
    notebook.python("view.show('.'); view.layer = view.head = 0; view.mode = 'probability'")
    expect(root).to_have_attribute("data-tokens", "1")  # so that the next picture is known to be a new one
    notebook.python(f"view.show({TEXT!r})")
    expect(root).not_to_have_attribute("data-tokens", "1")
    for name, value in {"state": "ready", "layer": "0", "head": "0", "mode": "probability"}.items():
        expect(root).to_have_attribute(f"data-{name}", value)
    expect(root.locator("[data-part=text]")).to_have_value(TEXT)
    root.scroll_into_view_if_needed()
    yield root
    assert notebook.visit.refused == []
    assert notebook.visit.widget_errors == []


def probabilities(lab: bloomlab.Lab, text: str) -> np.ndarray:
    """(layer, head, query, key)"""
    return lab.trace(text, read=["attn.probs"]).stack("attn.probs")[:, 0].numpy()


def step_of(colour: np.ndarray) -> int:
    """The step of cividis that a colour is, by matplotlib's own table."""
    distance = np.abs(CIVIDIS - colour[:3].astype(int)).sum(1)
    assert distance.min() <= 3, f"{colour} is no colour of cividis"
    return int(distance.argmin())


def painted(canvas: Locator) -> np.ndarray:
    """What is on the screen where an element is, once it has come to rest: (height, width, colour)."""
    now = canvas.screenshot()
    for _ in range(20):
        before, now = now, canvas.screenshot()
        if now == before:
            break
        canvas.page.wait_for_timeout(100)
    return np.asarray(Image.open(io.BytesIO(now)).convert("RGB"))


def some_cells(tokens: int, seed: int = 0) -> list[tuple[int, int]]:
    """Ten cells of the causal half, away from the last row, which is selected and so has a frame."""
    random = np.random.default_rng(seed)
    queries = random.integers(1, tokens - 1, 10)
    return [(int(query), int(random.integers(0, query + 1))) for query in queries]


def check_matrix(root: Locator, probs: np.ndarray) -> None:
    """Ten cells of the large matrix show one head's (query, key) probabilities, to one step of colour."""
    root.page.mouse.move(0, 0)
    picture = painted(root.locator("[data-part=canvas]"))
    tokens = len(probs)
    for query, key in some_cells(tokens):
        y, x = (int((place + 0.5) * side / tokens) for place, side in zip((query, key), picture.shape, strict=False))
        assert abs(step_of(picture[y, x]) - 255 * probs[query, key] ** 0.5) <= 1.0, (query, key)


def check_thumbnails(root: Locator, probs: np.ndarray) -> None:
    """A cell in each of ten thumbnails shows (layer, head, query, key) probabilities, to one step of colour."""
    layers, heads, tokens, _ = probs.shape
    for number, (query, key) in enumerate(some_cells(tokens, seed=1)):
        layer, head = number % layers, (3 * number + 1) % heads
        thumbnail = root.locator(f"[data-part=heads] [data-layer='{layer}'][data-head='{head}'] canvas")
        colour = thumbnail.evaluate(
            "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]", [key, query]
        )
        assert colour[3] == 255
        assert abs(step_of(np.array(colour)) - 255 * probs[layer, head, query, key] ** 0.5) <= 1.0
        seen = painted(thumbnail)
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 2, "nothing of it is on the screen"


def type_text(root: Locator, text: str) -> None:
    """Type a text and wait for its picture."""
    drawn = root.get_attribute("data-drawn") or ""
    root.locator("[data-part=text]").fill(text)
    expect(root).not_to_have_attribute("data-drawn", drawn)
    expect(root).to_have_attribute("data-state", "ready")


def place(root: Locator, lab: bloomlab.Lab, query: int, key: int) -> Position:
    """Where a cell of the large matrix is, from its upper left corner."""
    box = root.locator("[data-part=canvas]").bounding_box()
    assert box is not None
    tokens = len(lab.tokens(TEXT))
    return {"x": (key + 0.5) * box["width"] / tokens, "y": (query + 0.5) * box["height"] / tokens}


def number(text: str) -> float:
    """A number as the page writes it: −0.44, +3.21 or 1.4 × 10⁻⁴."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    return float(text.translate(raised).replace(" × 10", "e"))


def test_the_welcome_notebook_runs(chromium: Browser, server: Server) -> None:
    visit = Visit(chromium, height=4000)
    notebook = Notebook(visit, server, WELCOME, "welcome")
    outputs = notebook.run_all()
    assert all(outputs)
    expect(visit.page.locator("[data-view=explorer]")).to_have_attribute("data-state", "ready")
    visit.screenshot(f"welcome-{server.app}")
    assert visit.refused == [] and visit.widget_errors == []
    notebook.close()


def test_thumbnails_and_matrix_show_the_traced_probabilities(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    probs = probabilities(lab, TEXT)
    check_thumbnails(explorer, probs)
    check_matrix(explorer, probs[0, 0])
    explorer.locator("[data-part=heads] [data-layer='1'][data-head='2']").click()
    expect(explorer).to_have_attribute("data-head", "2")
    check_matrix(explorer, probs[1, 2])


def test_clicking_a_head_and_a_cell_selects_them_in_python_too(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    layer, head, query, key = 1, 3, len(lab.tokens(TEXT)) - 1, 3
    explorer.locator(f"[data-part=heads] [data-layer='{layer}'][data-head='{head}']").click()
    explorer.locator("[data-part=canvas]").click(position=place(explorer, lab, query, key))
    expect(explorer).to_have_attribute("data-key", str(key))
    explorer.page.wait_for_timeout(200)
    chosen = notebook.python("print(view.layer, view.head, view.query, view.key)")
    assert chosen == f"{layer} {head} {query} {key}\n"
    explorer.page.mouse.move(0, 0)
    explorer.screenshot(path=notebook.visit.screenshot(f"explorer-{notebook.server.app}"))


def test_hovering_a_cell_shows_its_ledger(explorer: Locator, lab: bloomlab.Lab) -> None:
    tokens = len(lab.tokens(TEXT))
    query, key = tokens - 3, 1
    explorer.locator("[data-part=canvas]").hover(position=place(explorer, lab, query, key))
    ledger = explorer.locator(f"[data-part=ledger][data-query='{query}'][data-key='{key}'][data-exact=true]")
    expect(ledger).to_be_visible()

    trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
    scores = trace["h.0.attn.scores"][0, 0]
    wanted = score_ledger(scores, slopes(8)[0], query=query, key=key)
    for part in ("content", "position", "total", "probability"):
        shown = number(ledger.locator(f"[data-ledger={part}]").inner_text())
        assert shown == pytest.approx(getattr(wanted, part), abs=6e-4), part
    captured = float(trace["h.0.attn.probs"][0, 0, query, key])
    assert float(ledger.get_attribute("data-probability") or "nan") == pytest.approx(captured, abs=1e-6)
    assert float(ledger.get_attribute("data-error") or "nan") < 1e-6


def test_arrow_keys_step_heads_and_leave_the_notebook_alone(explorer: Locator, notebook: Notebook) -> None:
    active = "jupyterapp.shell.currentWidget.content.activeCellIndex"
    heads = explorer.locator("[data-part=heads]")
    before = notebook.page.evaluate(active)
    for key, layer, head in [("ArrowRight", 0, 1), ("ArrowRight", 0, 2), ("ArrowDown", 1, 2), ("ArrowLeft", 1, 1)]:
        heads.press(key)
        expect(explorer).to_have_attribute("data-layer", str(layer))
        expect(explorer).to_have_attribute("data-head", str(head))
    notebook.page.wait_for_timeout(200)
    assert notebook.python("print(view.layer, view.head)") == "1 1\n"
    assert notebook.page.evaluate(active) == before


def test_typing_a_new_text_changes_the_picture(explorer: Locator, notebook: Notebook, lab: bloomlab.Lab) -> None:
    before = painted(explorer.locator("[data-part=canvas]"))
    type_text(explorer, OTHER)
    expect(explorer).to_have_attribute("data-tokens", str(len(lab.tokens(OTHER))))
    probs = probabilities(lab, OTHER)
    check_thumbnails(explorer, probs)
    check_matrix(explorer, probs[0, 0])
    after = painted(explorer.locator("[data-part=canvas]"))
    assert before.shape != after.shape or not np.array_equal(before, after)
    assert notebook.python("print(view.text)") == f"{OTHER}\n"
    notebook.visit.screenshot(f"typed-{notebook.server.app}")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tokens_are_shown_verbatim_and_fire_nothing(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab, text: str
) -> None:
    type_text(explorer, text)
    expect(explorer).to_have_attribute("data-tokens", str(len(lab.tokens(text))))
    shown = "".join(explorer.locator("[data-part=strip] .bl-token").all_text_contents())
    assert shown == visible(text)
    assert "\u202e" not in explorer.inner_text()
    heads = explorer.locator("[data-part=heads]")
    heads.press("ArrowRight")  # draws the names everywhere once more
    notebook.page.wait_for_timeout(200)
    assert explorer.locator("img, script, svg, iframe, a, [onfocus], [onerror]").count() == 0
    assert notebook.page.evaluate("window.fired") is None


def test_a_text_that_is_too_long_is_refused_in_words_and_the_picture_stays(
    explorer: Locator, notebook: Notebook
) -> None:
    drawn = explorer.get_attribute("data-drawn")
    notebook.python("lab.max_tokens = 20")
    explorer.locator("[data-part=text]").fill("Leo " * 50)
    expect(explorer).to_have_attribute("data-state", "error")
    expect(explorer.locator("[data-part=says]")).to_contain_text("at most 20")
    assert explorer.get_attribute("data-drawn") == drawn
    notebook.visit.screenshot(f"refused-{notebook.server.app}")
    notebook.python("lab.max_tokens = 2048")


def test_the_dark_theme_has_light_words_on_a_dark_ground(
    explorer: Locator, notebook: Notebook, lab: bloomlab.Lab
) -> None:
    def contrast() -> tuple[float, float]:
        colours = explorer.evaluate("e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]")
        return tuple(sum(json.loads(f"[{c[c.index('(') + 1 : -1]}]")[:3]) / 765 for c in colours)  # type: ignore[return-value]  # two colours

    paper, ink = contrast()
    assert paper > 0.8 and ink < 0.3
    notebook.dark()
    try:
        paper, ink = contrast()
        assert paper < 0.2 and ink > 0.7
        check_matrix(explorer, probabilities(lab, TEXT)[0, 0])
        notebook.visit.screenshot(f"dark-{notebook.server.app}")
    finally:
        notebook.dark(False)


def test_a_saved_page_works_from_a_file_without_a_kernel(
    explorer: Locator, notebook: Notebook, visit: Visit, lab: bloomlab.Lab
) -> None:
    notebook.python("view.save('leo.html')")
    page: Page = visit.page
    page.goto((notebook.server.root / "leo.html").as_uri())
    root = page.locator("[data-view=explorer]")
    expect(root).to_have_attribute("data-state", "ready")
    probs = probabilities(lab, TEXT)
    check_thumbnails(root, probs)
    check_matrix(root, probs[0, 0])
    root.locator("[data-part=heads]").press("ArrowDown")
    expect(root).to_have_attribute("data-layer", "1")
    expect(root.locator("[data-part=ledger]")).to_have_attribute("data-exact", "true")
    check_matrix(root, probs[1, 0])
    visit.screenshot("saved-page")
    assert visit.refused == [] and visit.errors == []
