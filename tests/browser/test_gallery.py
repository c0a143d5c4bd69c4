"""The gallery: a page for each view, opened as files, without a server or a network."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import expect

import bloomlab
from bloomlab.views.tokens.result import Tokens
from bloomlab.views.view import View
from bloomlab.views.writing.writing import Writing
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

SOURCE = Path(__file__).parents[2] / "docs" / "make_gallery.py"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_gallery", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("gallery") / "pages"
    maker.make(place)
    return place


def test_every_page_opens_from_its_file(gallery: Path, maker: ModuleType, visit: Visit) -> None:
    for verb, (_, _, text) in maker.PAGES.items():
        visit.page.goto((gallery / f"{verb}.html").as_uri())
        visit.page.wait_for_selector("#view [data-panel], #view [role]")
        assert "a saved page" in visit.page.inner_text("body") and visit.page.title().startswith(text[:20]), verb
    assert visit.errors == [] and visit.refused == []


def test_the_first_page_leads_to_all_others(gallery: Path, maker: ModuleType, visit: Visit) -> None:
    for verb in maker.PAGES:
        visit.page.goto((gallery / "index.html").as_uri())
        visit.page.click(f"a[href='{verb}.html']")
        visit.page.wait_for_selector("#view *")
        expect(visit.page).to_have_url(re.compile(f"/{verb}\\.html$"))
    assert visit.errors == []


def test_no_view_is_left_out(maker: ModuleType) -> None:
    """A new panel stands in the explorer, and has a verb of the lab that shows it, alone or first, with a page here."""
    lab = bloomlab.load()
    shown = [getattr(lab, verb)("Leo.") for verb in maker.PAGES]
    views = [one.view if isinstance(one, Tokens | Writing) else one for one in shown]
    alone = {next(iter(view.panels)) for view in views if isinstance(view, View) and len(view.panels) == 1}
    alone |= {view.tab for view in views if isinstance(view, View) and len(view.panels) > 1}
    files = (SOURCE.parents[1] / "bloomlab" / "views").glob("*/panel.py")
    assert {path.parent.name for path in files} - {"shared"} | set(lab.explore("Leo.").panels) <= alone
