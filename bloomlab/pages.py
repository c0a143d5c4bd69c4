"""Markdown as the pages of a site: the project's own pages, the glossary, the text of a lesson.

Links among them lead to the same place in the site; what is not in the site stands as its words.
"""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

ELSEWHERE = re.compile(r"https?://")


def folder() -> Path:
    """Where the project's pages are: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "_docs"
    return installed if installed.is_dir() else Path(__file__).parents[1] / "docs"


def title_of(markdown: str) -> str:
    """The first heading.

    >>> title_of("# The *lab*\\n\\nIt has a model.")
    'The lab'
    """
    found = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return re.sub(r"[*`]", "", found[1]) if found else ""


def place_of(source: str) -> str:
    """Where the site has a file of the project, by its path; "" if it has no such pages.

    >>> place_of("docs/page.md"), place_of("notebooks/04_alibi.ipynb"), place_of("docs/README.md"), place_of("LICENSE")
    ('docs/page.html', 'lessons/04_alibi.html', 'docs/index.html', '')
    """
    path = PurePosixPath(source)
    rooms = {"docs": "docs", "notebooks": "lessons"}
    if str(path.parent) not in rooms and not source.startswith("docs/"):
        return ""
    place = PurePosixPath(rooms[path.parts[0]], *path.parts[1:])
    if place.suffix not in (".md", ".ipynb"):
        return str(place)
    return str(place.with_name("index.html") if place.stem == "README" else place.with_suffix(".html"))


def as_html(markdown: str, source: str, there: Callable[[str], bool]) -> str:
    """A page's HTML, nothing in it inline; `source` is its path in the project, `there` says what the site has."""
    mistune: Any = import_module("mistune")
    root = "../" * (len(PurePosixPath(place_of(source)).parts) - 1)

    def led(url: str) -> str:
        if ELSEWHERE.match(url) or url.startswith("#"):
            return url
        path, _, part = url.partition("#")
        place = place_of(normpath(f"{PurePosixPath(source).parent}/{path}"))
        return f"{root}{place}{'#' if part else ''}{part}" if place and there(place) else ""

    class Linked(mistune.HTMLRenderer):  # type: ignore[misc]  # it is Any
        def link(self, text: str, url: str, title: str | None = None) -> str:
            place = led(url)
            return str(super().link(text, place, title)) if place else text

        def image(self, text: str, url: str, title: str | None = None) -> str:
            place = led(url)
            return str(super().image(text, place, title)) if place and not ELSEWHERE.match(place) else text

    page = mistune.create_markdown(renderer=Linked(escape=False), plugins=["strikethrough", "footnotes", "table"])
    return re.sub(r' style="text-align:(\w+)"', r' align="\1"', page(markdown))
