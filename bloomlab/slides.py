"""The lessons as slides: run once, each view still to be clicked, in one file a lesson that needs no network.

nbconvert makes them, with reveal.js (bloomlab/reveal/) inside the page. What stands on which slide follows from what is
in a cell, so that no lesson has to say it:

    slide      a heading begins one
    subslide   what a slide has no room for goes below it; a view, a cover or a picture has one for itself
    skip       the cells that print versions and open the lab, and the one for Colab
"""

import itertools
import math
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from bloomlab.editions import edition_of
from bloomlab.errors import InputError
from bloomlab.guards.files import replacing, saying_why_not
from bloomlab.lesson_run import run
from bloomlab.lessons import folder, listed

WIDTH, HEIGHT = 1280, 720  # pixels of a projector
ROOM = 19  # lines of a slide
LETTERS = 92  # in a line of prose
LINE = 33  # pixels of a line
STARTS = "from bloomlab.views.alive import embed_views\nembed_views()\n"
HEADING = re.compile(r"^#{1,2} ", re.MULTILINE)
OPENS = re.compile(r"bloomlab\.__version__|google\.colab|^lab = bloomlab\.load\(\)$", re.MULTILINE)
FRAME = re.compile(r'height: (\d+)px; border: 0"></iframe>')  # as guards.markup.framed writes it
REVEAL = Path(__file__).parent / "reveal"
TEMPLATE = """\
{%- extends 'base.html.j2' -%}
{%- block header -%}
<!doctype html>
<html lang="{{ resources.bloomlab.language }}">
<head>
<meta charset="utf-8">
<meta name="generator" content="bloomlab">
<title>{{ resources.bloomlab.title | escape }}</title>
<style>{{ resources.bloomlab.css }}</style>
{{ resources.include_css("static/index.css") }}
{{ resources.include_css("static/theme-light.css") }}
<style>{{ resources.bloomlab.own }}</style>
</head>
{%- endblock -%}
{%- block body_header -%}
<body class="jp-Notebook" data-jp-theme-light="true" data-jp-theme-name="JupyterLab Light">
<main><div class="reveal"><div class="slides">
{%- endblock -%}
{%- block body_footer -%}
</div></div></main>
{%- endblock -%}
{%- block footer -%}
<script>{{ resources.bloomlab.js }}</script>
<script>
Reveal.initialize({ width: {{ resources.bloomlab.width }}, height: {{ resources.bloomlab.height }}, margin: 0,
  center: false, hash: true, transition: "none", slideNumber: "c/t", controlsTutorial: false });
</script>
</body>
</html>
{%- endblock -%}
"""
STYLE = """\
body.jp-Notebook, body > main { height: 100%; margin: 0; padding: 0 !important; overflow: hidden }
.reveal { font-size: 24px; background: #fff; color: #111 }
.reveal .slides { text-align: start }
.reveal .slides section { box-sizing: border-box; width: 100%; max-height: 720px; overflow: auto; padding: 20px 40px }
.reveal .slide-number { left: 8px; right: auto }
.reveal .jp-Cell { padding: 0 }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt, .reveal .jp-Collapser, .reveal .anchor-link { display: none }
.reveal .jp-RenderedHTMLCommon { font-size: 24px; line-height: 1.35; padding: 0 }
.reveal .jp-RenderedHTMLCommon :is(p, ul, ol, details) { margin: 0 0 12px }
.reveal .jp-RenderedHTMLCommon :is(h1, h2) { font-size: 38px; margin: 0 0 16px }
.reveal pre, .reveal pre * { font-size: 17px; line-height: 1.3 }
.reveal :is(.jp-OutputArea-output, .jp-InputArea-editor) pre { margin: 0; overflow: auto }
.reveal .jp-OutputArea-output img { display: block; max-width: 100%; max-height: 460px; object-fit: contain }
.reveal .jp-RenderedHTMLCommon iframe { border: 0; width: 100% }
"""


def write_slides(
    place: str | os.PathLike[str], edition: str | None = None, language: str | None = None, only: str | None = None
) -> Iterator[Path]:
    """Write `NN_topic.slides.html` for each lesson into a folder that is there, and give each path when it is written.

    Args:
        edition: as of `copy_to`; None: the student's, whose exercises are without solutions.
        language: those that have been translated are in it.
        only: the file of one lesson, as "04_alibi.ipynb".

    Raises:
        InputError: it cannot be written to, there is no such lesson, or one did not run.
    """
    known = {lesson.file: lesson.title for lesson in listed()}
    if only is not None and only not in known:
        raise InputError(f"there is no lesson {only!r}; the lessons are {', '.join(known)}")
    for name in known if only is None else [only]:
        with saying_why_not(Path(place)):
            path = Path(place).expanduser() / f"{Path(name).stem}.slides.html"
        book = run(name, edition_of(folder() / name, edition or "student", language), STARTS)
        page = slides_of(book, known[name], language or "en")
        with replacing(path) as draft:
            draft.write_text(page, encoding="utf-8")
        yield path


def slides_of(book: Any, title: str, language: str) -> str:
    """A page of slides from a notebook that has been run."""
    exporter = import_module("nbconvert").SlidesExporter(raw_template=TEMPLATE, exclude_input_prompt=True)
    files = {kind: (REVEAL / f"reveal.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")}
    about = {**files, "own": STYLE, "title": title, "language": language, "width": WIDTH, "height": HEIGHT}
    book.cells = list(laid_out(book.cells))
    page, _ = exporter.from_notebook_node(book, {"bloomlab": about})
    return str(page)


def laid_out(cells: list[Any]) -> Iterator[Any]:
    """The cells, a long text in several, each with its kind of slide in `metadata.slideshow`."""
    left = 0.0
    for cell in itertools.chain.from_iterable(map(_pieces, cells)):
        kind, takes = "-", _lines(cell)
        if cell.cell_type == "code" and OPENS.search(cell.source):
            kind, takes = "skip", 0
        elif cell.cell_type == "markdown" and HEADING.match(cell.source):
            kind, left = "slide", ROOM
        elif shows(cell) or takes > left:
            kind, left = "subslide", ROOM
        left = 0 if shows(cell) else left - takes
        cell.metadata["slideshow"] = {"slide_type": kind}
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["transient"] = {"remove_source": True}  # as nbconvert has it
        yield cell


def shows(cell: Any) -> bool:
    """Whether a cell has shown a view, a cover or a picture; the map in one line is none."""
    shown = [output.get("data", {}) for output in cell.get("outputs", [])]
    return any("image/png" in data for data in shown) or any(height > HEIGHT / 2 for height in _frames(cell))


def _frames(cell: Any) -> list[int]:
    """How many pixels high the frames are that a cell has shown."""
    shown = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
    return [int(height) for html in shown for height in FRAME.findall(str(html))]


def _pieces(cell: Any) -> Iterator[Any]:
    """A text cut at its headings, and where it is too long for a slide; a fold stays whole."""
    if cell.cell_type != "markdown":
        yield cell
        return
    part = ""
    number = 0
    for paragraph in re.split(
        r"\n\n(?![^<]*</details>)(?!(?:(?!<details>).)*</details>)", cell.source, flags=re.DOTALL
    ):
        longer = f"{part}\n\n{paragraph}".strip()
        if part and (HEADING.match(paragraph) or _prose_lines(longer) > ROOM):
            yield _copy(cell, part, number)
            number, longer = number + 1, paragraph
        part = longer
    yield _copy(cell, part, number)


def _copy(cell: Any, source: str, number: int) -> Any:
    own = type(cell)({**cell, "source": source, "metadata": type(cell)(cell.metadata)})
    own["id"] = f"{cell.get('id', 'text')}-{number}" if number else cell.get("id", "text")
    return own


def _lines(cell: Any) -> float:
    """About how many lines of a slide a cell takes; a fold is closed."""
    if cell.cell_type == "markdown":
        return _prose_lines(cell.source)
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    texts = [str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in cell.outputs]
    printed = sum(1 + text.count("\n") for text in texts if text.strip())
    return 0.75 * (printed + (0 if hidden else 2 + cell.source.count("\n"))) + sum(_frames(cell)) / LINE


def _prose_lines(source: str) -> float:
    open_ = re.sub(r"(<summary>.*?</summary>).*?</details>", r"\1", source, flags=re.DOTALL)
    paragraphs = [line for line in open_.split("\n") if line.strip()]
    return sum(math.ceil(len(line) / LETTERS) + (0.9 if HEADING.match(line) else 0.4) for line in paragraphs)
