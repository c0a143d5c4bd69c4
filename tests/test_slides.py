"""What stands on which slide: a rule, not a mark in each lesson."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from bloomlab.errors import InputError
from bloomlab.guards.markup import framed
from bloomlab.lessons import folder
from bloomlab.slides import REVEAL, ROOM, laid_out, shows, slides_of, write_slides

LESSONS = sorted(folder().glob("*.ipynb"))


def kinds(*cells: Any) -> list[str]:
    return [cell.metadata.slideshow.slide_type for cell in laid_out(list(cells))]


def code(source: str, shown: dict[str, str] | None = None, text: str = "") -> Any:
    outputs = [new_output("display_data", data=shown)] if shown else []
    outputs += [new_output("stream", text=text)] if text else []
    return new_code_cell(source, outputs=outputs)


def test_a_heading_begins_a_slide_and_what_follows_stays_on_it() -> None:
    assert kinds(new_markdown_cell("# A\n\nWords."), code("1 + 1", text="2")) == ["slide", "-"]
    cut = list(laid_out([new_markdown_cell("One.\n\n## B\n\nTwo.")]))
    assert [cell.source for cell in cut] == ["One.", "## B\n\nTwo."]
    assert cut[1].metadata.slideshow.slide_type == "slide" and cut[0].id != cut[1].id


def test_a_view_a_cover_and_a_picture_have_a_slide_for_themselves() -> None:
    for shown in ({"text/html": framed("", "view", 560)}, {"image/png": "…"}):
        assert kinds(new_markdown_cell("## A"), code("view", shown), new_markdown_cell("After it.")) == [
            "slide",
            "subslide",
            "subslide",
        ]
    assert not shows(code("print(1)", text=framed("", "view", 560)))
    in_one_line = code("lab.map(small=True)", {"text/html": framed("", "map", 130)})
    assert kinds(new_markdown_cell("# A\n\nWords."), in_one_line) == ["slide", "-"]


def test_what_a_slide_has_no_room_for_goes_below_it() -> None:
    long = "\n\n".join(["A sentence that is repeated until a slide is full of it, and then there is no room."] * ROOM)
    assert set(kinds(new_markdown_cell(f"## A\n\n{long}"))) == {"slide", "subslide"}
    assert "\n\n".join(cell.source for cell in laid_out([new_markdown_cell(long)])) == long
    assert kinds(new_markdown_cell("## A"), code("print(table)", text="row\n" * 15)) == ["slide", "-"]
    assert kinds(new_markdown_cell("## A"), *[code("print(table)", text="row\n" * 15)] * 2)[-1] == "subslide"


def test_a_fold_is_not_cut() -> None:
    fold = "<details><summary>Why</summary>\n\nOne.\n\nTwo.\n</details>"
    first, _ = laid_out([new_markdown_cell(f"Words.\n\n{fold}\n\n## B")])
    assert first.source == f"Words.\n\n{fold}"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_every_lesson_begins_with_a_slide_and_skips_what_prints_versions(path: Path) -> None:
    cells = list(laid_out(nbformat.read(path, as_version=4).cells))  # type: ignore[no-untyped-call]
    given = [cell.metadata.slideshow.slide_type for cell in cells]
    assert given[0] == "slide" and given.count("slide") > 3 and "skip" in given
    assert len({cell.id for cell in cells}) == len(cells)


@pytest.mark.slow
def test_a_page_of_slides_asks_nothing_of_a_network_and_text_is_text() -> None:
    cells = [new_markdown_cell("# A\n\nWords."), code("print('<b>')", text="<script>alert(1)</script>")]
    page = slides_of(new_notebook(cells=cells), "<title>", "fr")
    assert '<html lang="fr">' in page and "&lt;title&gt;" in page and "<script>alert" not in page
    assert "Reveal.initialize" in page and (REVEAL / "reveal.js").read_text(encoding="utf-8") in page
    assert " src=" not in page.replace("</script>", "") or 'src="http' not in page
    for tag in ("<link", "<script src", "@import url(http", "cdn"):
        assert tag not in page, tag
    assert (REVEAL / "LICENSE").read_text(encoding="utf-8").count("Permission is hereby granted") == 1


def test_a_lesson_that_there_is_none_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no lesson"):
        next(write_slides(tmp_path, only="99_none.ipynb"))
