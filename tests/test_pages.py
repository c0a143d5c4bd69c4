"""Markdown as a site's pages: links lead where the site has them, and nothing is inline."""

import re

from bloomlab import pages

HERE = {"docs/lab.html", "docs/index.html", "docs/film.gif", "lessons/04_alibi.html", "lessons/index.html"}
WRITTEN = """\
# A *page*

See [the lab](lab.md), [all](README.md#top), [a lesson](../notebooks/04_alibi.ipynb), [another](../notebooks/05.ipynb),
[a file](../bloomlab/hooks.py), [outside](https://example.org/a.md), [here](#there).

![a film](film.gif) ![none](none.png) ![from elsewhere](https://example.org/x.png)

| a | b |
|:-:|--:|
| 1 | 2 |
"""


def test_links_lead_to_the_same_place_in_the_site_and_what_is_not_there_is_its_words() -> None:
    html = pages.as_html(WRITTEN, "docs/page.md", HERE.__contains__)
    assert re.findall(r'(?:href|src)="([^"]*)"', html) == [
        *("../docs/lab.html", "../docs/index.html#top", "../lessons/04_alibi.html"),
        *("https://example.org/a.md", "#there", "../docs/film.gif"),
    ]
    assert "another" in html and "a file" in html and "none" in html and "from elsewhere" in html
    assert " style=" not in html and 'align="right"' in html
    assert pages.title_of(WRITTEN) == "A page" and pages.title_of("no heading") == ""


def test_every_page_of_the_project_is_found() -> None:
    names = {path.name for path in pages.folder().glob("*.md")}
    assert {"README.md", "page.md", "lab.md"} <= names
