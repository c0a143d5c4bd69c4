"""A site: the live page, a gallery, the lessons with views that are alive, and docs, as files for any file server.

    for path in make("public"): print(path)

Every page loads only what lies beside it, by relative addresses, under a policy that allows no inline script or style:
`default-src 'self'`. The model is one file, which all pages share. In a lesson stands what a run of it has shown: each
view computes in the page, each cover asks; code is shown, and what checks a student's code needs Python.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bloomlab import pages
from bloomlab.editions import DOTS
from bloomlab.errors import InputError
from bloomlab.guards.files import replacing, saying_why_not
from bloomlab.guards.markup import escaped
from bloomlab.lab import FIRST_TEXT, Lab, load
from bloomlab.lesson_run import run
from bloomlab.lessons import folder as lessons_folder
from bloomlab.lessons import listed
from bloomlab.views.alive import GIVEN, given_of, view_of
from bloomlab.views.shared.assets import above_hosts, folder, module_text, script_text, style_text

RULES = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"  # as a live page's, but nothing stands in the page
BESIDE = (".png", ".gif", ".svg", ".json")  # what stands beside the project's pages
GALLERY = {  # verb of the lab -> title, what to try there, the text
    "explore": ("Explore", "All views of one text, linked: choose a token, and every tab follows.", FIRST_TEXT),
    "map": (
        "Map",
        "The whole model in one picture. Click on a part: what it does, how large it is, its file.",
        FIRST_TEXT,
    ),
    "tokens": (
        "Tokens",
        "What BLOOM reads. Click on a token to see how it was merged.",
        "Léa habite à Zürich. 小梅住在北京。",
    ),
    "attention": ("Attention", "Who looks at whom. Click on a cell for the sum behind it.", FIRST_TEXT),
    "alibi": ("ALiBi", "How far each head can look, and does. Compare the first head with the last.", FIRST_TEXT),
    "hidden_states": ("Hidden states", "What BLOOM would say if it stopped early, and who added what.", FIRST_TEXT),
    "predictions": ("Predictions", "What BLOOM would say next, at every layer, and which part wrote it.", FIRST_TEXT),
}
NEEDS_PYTHON = (
    "The code of the lessons was run in Python, and their views compute in the page. To change it, or to have your "
    "own code checked, you need Python: bloomlab lab."
)
OWN_CODE = "In place of the dots stands your code. To write it, and to have it checked, you need Python: bloomlab lab."
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{rules}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="bloomlab">
<title>{title}</title>
<link rel="stylesheet" href="{root}assets/style.css">
<script type="module" src="{root}assets/site.js"></script>
</head>
<body class="bloomlab-page">
<main class="bloomlab bl-site">
<nav aria-label="the site"><a href="{root}index.html">bloomlab</a> · <a href="{root}live.html">live page</a> ·
<a href="{root}gallery/index.html">gallery</a> · <a href="{root}lessons/index.html">lessons</a> ·
<a href="{root}docs/index.html">docs</a></nav>
{body}
</main>
</body>
</html>
"""
WORKER = """\
import { page_host } from "./host.js";
page_host.serve((hear) => { onmessage = ({ data }) => hear(data); }, (message) => postMessage(message));
"""
STARTS = "from bloomlab.views.alive import record_views\nrecord_views()\n"


def make(place: str | Path, lessons: Iterator[str] | list[str] | None = None) -> Iterator[Path]:
    """Write the site into a folder, and give each page when it is written; `lessons` are files, by default all.

    Raises:
        InputError: it cannot be written there, or there is no such lesson.
    """
    with saying_why_not(Path(place)):
        place = Path(place).expanduser()
    known = [lesson.file for lesson in listed()]
    chosen = known if lessons is None else list(lessons)
    for name in chosen:
        if name not in known:
            raise InputError(f"there is no lesson {name!r}; the lessons are {', '.join(known)}")
    lab = load()
    with saying_why_not(place):
        for part in ("assets", "data", "gallery", "lessons", "docs"):
            (place / part).mkdir(parents=True, exist_ok=True)
    site = _Site(place, lab, chosen)
    site.assets()
    yield site.page("live.html", "Live page", site.view("live", given_of(lab.explore(FIRST_TEXT)), "", linked=True))
    for verb, (title, words, text) in GALLERY.items():
        view = site.view(verb, given_of(view_of(getattr(lab, verb)(text))), "../")
        yield site.page(f"gallery/{verb}.html", title, f"<h1>{title}</h1><p>{escaped(words)}</p>{view}")
    entries = [(f"{verb}.html", title, words) for verb, (title, words, _) in GALLERY.items()]
    yield site.page("gallery/index.html", "Gallery", f"<h1>Gallery</h1>{_list(entries)}")
    titles = {lesson.file: lesson for lesson in listed()}
    for name in chosen:
        yield site.lesson(name)
    entries = [(f"{Path(name).stem}.html", titles[name].title, titles[name].about) for name in chosen]
    entries.append(("GLOSSARY.html", "The words", "each word that a lesson explains, in one list"))
    yield site.page("lessons/index.html", "Lessons", f"<h1>Lessons</h1><p>{escaped(NEEDS_PYTHON)}</p>{_list(entries)}")
    yield site.text(lessons_folder() / "GLOSSARY.md", "notebooks/GLOSSARY.md")
    yield from site.docs()
    entries = [
        ("live.html", "Live page", "the whole instrument: any text, edits by hand, every number computed in the page"),
        ("gallery/index.html", "Gallery", "each view by itself"),
        ("lessons/index.html", "Lessons", "the course, with views that are alive"),
        ("docs/index.html", "Docs", "what the Python does: a model, edits, writing, training; for teachers"),
    ]
    about = f"BLOOM, opened up: a model of {lab.model.num_parameters():,} parameters that runs in these pages."
    yield site.page("index.html", "bloomlab", f"<h1>bloomlab</h1><p>{about}</p>{_list(entries)}")


class _Site:
    """The pages in a folder, and the files that they share."""

    def __init__(self, place: Path, lab: Lab, lessons: Sequence[str] = ()) -> None:
        self.place, self.lab = place, lab
        self.lessons = [pages.place_of(f"notebooks/{name}") for name in lessons]

    def assets(self) -> None:
        """What all pages share: the views, the model's worker, and one style sheet."""
        for name in ("explorer", "map", "tokens", "attention", "alibi", "hidden", "predictions", "writing", "cover"):
            self.write(f"assets/{name}.js", module_text(name))
        host = script_text("page/host.js", "page/line.js")
        self.write("assets/host.js", f"{host}\nexport {{ page_host, page_line }};\n")
        self.write("assets/worker.js", WORKER)
        self.write("assets/site.js", (folder() / "page" / "site.js").read_text(encoding="utf-8"))
        own = above_hosts((folder() / "page" / "site.css").read_text("utf-8"))
        self.write("assets/style.css", f"{style_text()}\n{own}")

    def page(self, name: str, title: str, body: str) -> Path:
        root = "../" * name.count("/")
        return self.write(name, PAGE.format(rules=RULES, title=escaped(f"{title} · bloomlab"), root=root, body=body))

    def write(self, name: str, text: str) -> Path:
        return self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> Path:
        path = self.place / name
        with replacing(path) as draft:
            draft.write_bytes(data)
        return path

    def view(self, name: str, given: dict[str, Any], root: str, linked: bool = False) -> str:
        """The place of a view in a page, its data written beside."""
        says, model = given.get("says", ""), ""
        data = given.get("saved")
        if data is None:
            data = dict(given["live"])
            model = self._model(data.pop("model"))
        self.write(f"data/{name}.js", _as_module(data))
        attributes = {"view": given["widget"], "given": f"{root}data/{name}.js"}
        attributes |= {"model": f"{root}{model}", "page": f"{root}live.html"} if model else {}
        attributes |= {"linked": ""} if linked else {}
        written = " ".join(f'data-{key}="{escaped(value)}"' for key, value in attributes.items())
        place = f'<div class="bl-site-view" {written}><pre>{escaped(says)}</pre></div>'
        if "covered" in given:
            inside = self.view(f"{name}-covered", given["covered"], root)
            place += f"<details><summary>predict first; then open what was covered</summary>{inside}</details>"
        return place

    def _model(self, model: dict[str, Any]) -> str:
        name = f"assets/model-{model['hash']}.js"
        if not (self.place / name).is_file():
            self.write(name, _as_module(model))
        return name

    def has(self, name: str) -> bool:
        """Whether a page, or what stands beside it, is in the site when it is finished."""
        room, _, rest = name.partition("/")
        if room != "docs":
            return name in ("lessons/index.html", "lessons/GLOSSARY.html", *self.lessons)
        source = "README.md" if rest == "index.html" else rest.removesuffix(".html") + ".md" * rest.endswith(".html")
        return (pages.folder() / source).is_file()

    def text(self, file: Path, source: str) -> Path:
        """A file of markdown as a page; `source` is its path in the project."""
        markdown = file.read_text(encoding="utf-8")
        return self.page(pages.place_of(source), pages.title_of(markdown), pages.as_html(markdown, source, self.has))

    def docs(self) -> Iterator[Path]:
        """The project's own pages, with their pictures and what else they link to."""
        for file in sorted(pages.folder().rglob("*")):
            source = file.relative_to(pages.folder()).as_posix()
            if file.suffix == ".md":
                yield self.text(file, f"docs/{source}")
            elif file.suffix in BESIDE:
                (self.place / "docs" / source).parent.mkdir(exist_ok=True)
                self.write_bytes(f"docs/{source}", file.read_bytes())

    def lesson(self, name: str) -> Path:
        """A lesson as a page: run once, its text, its code, and what its cells have shown."""
        book = run(name, (lessons_folder() / name).read_bytes(), STARTS)
        stem = Path(name).stem
        cells = [self._cell(f"{stem}-{number}", cell, name) for number, cell in enumerate(book.cells)]
        title = next((lesson.title for lesson in listed() if lesson.file == name), stem)
        return self.page(f"lessons/{stem}.html", title, f"<p>{escaped(NEEDS_PYTHON)}</p>{''.join(cells)}")

    def _cell(self, name: str, cell: Any, lesson: str) -> str:
        if cell.cell_type == "markdown":
            return pages.as_html(cell.source, f"notebooks/{lesson}", self.has)
        if cell.cell_type != "code":
            return ""
        shown = [self._output(f"{name}-{number}", output) for number, output in enumerate(cell.outputs)]
        if DOTS.search(cell.source):  # what it has said is of the lesson as it was run, with nothing written
            shown = [f'<p class="bl-site-python">{escaped(OWN_CODE)}</p>', *shown]
        return f'<pre class="bl-site-code"><code>{escaped(cell.source)}</code></pre>{"".join(shown)}'

    def _output(self, name: str, output: Any) -> str:
        data = output.get("data", {})
        if GIVEN in data:
            return self.view(name, data[GIVEN], "../")
        if "image/png" in data:
            path = self.write_bytes(f"data/{name}.png", base64.b64decode(data["image/png"]))
            return f'<p><img src="../data/{path.name}" alt="what the cell has drawn"></p>'
        text = output.get("text", "") or data.get("text/plain", "")
        return f'<pre dir="auto">{escaped(text)}</pre>' if text else ""


def _as_module(data: dict[str, Any]) -> str:
    """Data as a module: what a page may load from beside it without asking, under any policy that lets it run."""
    return f"export default {json.dumps(data)};\n"


def _list(entries: list[tuple[str, str, str]]) -> str:
    each = (f'<li><a href="{href}">{escaped(title)}</a>: {escaped(words)}</li>' for href, title, words in entries)
    return f"<ul>{''.join(each)}</ul>"
