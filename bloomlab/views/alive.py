"""Views and covers as plain data for the pages of a site, or as frames for slides; in the kernel of a lesson."""

from typing import Any

from IPython.display import display

from bloomlab.errors import BloomlabError
from bloomlab.views.cover import Cover
from bloomlab.views.live import live_given
from bloomlab.views.shared.embedded import Embedded
from bloomlab.views.shared.page import bytes_as_text, page
from bloomlab.views.view import View

GIVEN = "application/vnd.bloomlab.given+json"
AS_SAVED = {"live": False, "state": "ready", "message": "", "answered": 0}


def given_of(view: Any) -> dict[str, Any]:
    """A view as plain data for a page of the site: alive where the page can compute it, else as it was saved."""
    try:
        given = live_given(view)
    except BloomlabError:
        saved, runs = view.saved_state()
        each = {run: _as_text(own) for run, own in runs.items()}
        return {"widget": view.module, "saved": {"state": AS_SAVED | _as_text(saved), "runs": each}, "says": repr(view)}
    for part in ("state", "empty"):
        given[part] = _as_text(given[part])
    return {"widget": view.module, "live": given, "says": repr(view)}


def view_of(found: Any) -> Any:
    """The view of a result that has one."""
    return getattr(found, "view", found)


def _as_text(values: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes_as_text(value) for name, value in values.items()}


def record_views() -> None:
    """In the kernel of a lesson: views and covers show themselves as data for the site."""

    def show(given: dict[str, Any], says: str) -> None:
        display({GIVEN: given, "text/plain": says}, raw=True)  # type: ignore[no-untyped-call]

    def show_view(view: Any) -> None:
        show(given_of(view), repr(view))

    def show_cover(cover: Any) -> None:
        given: dict[str, Any] = {"widget": "cover", "saved": {"state": AS_SAVED | cover.saved_state(), "runs": {}}}
        covered = view_of(cover.shows)
        if isinstance(covered, View):
            given["covered"] = given_of(covered)
        show(given, cover.question)

    View._ipython_display_ = show_view  # type: ignore[method-assign,assignment]  # in this kernel only
    Cover._ipython_display_ = show_cover  # type: ignore[method-assign,assignment]


SLIDE = 560  # pixels of a slide that a view may take
LINE = 130  # and the map in one line
LARGER = 1.5  # a question is for the whole class to read


def embed_views() -> None:
    """In the kernel of a lesson: views and covers show themselves as pages inside the page, in their compact form."""

    def show(frame: Embedded, opened: str = "") -> None:
        html = frame._repr_html_()
        if opened:
            html = f"<details><summary>{opened}</summary>{html}</details>"
        display({"text/html": html, "text/plain": repr(frame)}, raw=True)  # type: ignore[no-untyped-call]

    def show_view(view: Any, opened: str = "") -> None:
        view.compact = True
        show(view.embed(LINE if getattr(view, "level", "") == "small" else SLIDE), opened)

    def show_cover(cover: Any) -> None:
        cover.scale = LARGER
        still = cover._still()
        show(Embedded(page("cover", cover.saved_state(), still, cover.question), still, SLIDE, cover.question))
        covered = view_of(cover.shows)
        if isinstance(covered, View):
            show_view(covered, "predict first; then open what was covered")

    View._ipython_display_ = show_view  # type: ignore[method-assign,assignment]  # in this kernel only
    Cover._ipython_display_ = show_cover  # type: ignore[method-assign,assignment]
