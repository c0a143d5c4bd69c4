"""`make hosts` runs the views in every host that pip can install, without a network, and prints what was seen.

What is in the table was looked at by a browser or read from a file; a host whose check fails says what was expected.
The pictures that it takes lie in tests/browser/screenshots/. `ARGS="marimo voila"` runs only these.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

from bloomlab.editions import edition_of
from tests.browser import chromium
from tests.browser.conftest import SCREENSHOTS, Visit
from tests.browser.driving import IDLE, write_notebook
from tests.browser.servers import Server
from tests.hosts.firefox import Firefox
from tests.hosts.firefox import find as find_firefox

ROOT = Path(__file__).parents[2]
GRADED_LESSON = ROOT / "notebooks" / "04_alibi.ipynb"  # its exercise asks for a number
BORROWED = ROOT / ".venv"
TEXT = "Leo lives in Oslo."
CELLS = [
    "import bloomlab\nfrom bloomlab import checks\nlab = bloomlab.load()",
    f"view = lab.attention({TEXT!r})\nview.png = True\nview",
    f"lab.explore({TEXT!r})",
    "checks.cover('How many tokens?', 5, unit='tokens')",
    f"lab.alibi({TEXT!r}).embed()",
]
YELLOW, BLUE = (254, 232, 56), (0, 34, 78)  # the ends of cividis, the colours of probabilities
CHROMIUM_IN_NBCONVERT = """
import sys, playwright.async_api as p
from nbconvert.nbconvertapp import main
launch = p.BrowserType.launch
p.BrowserType.launch = lambda self, **options: launch(self, executable_path=sys.argv[1], **options)
main(["--to", "webpdf", "--disable-chromium-sandbox", sys.argv[2]])
"""


class Bench:
    """A folder of its own, the notebook in it, and how to run a program of the hosts' environment there."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder, self.browser = folder, browser
        own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
        self.environment = {
            **os.environ,
            **own,
            "HOME": str(folder),
            "IPYTHONDIR": str(folder / "ipython"),
            "PYTHONPATH": str(ROOT),
            "JUPYTER_PATH": ":".join(str(Path(place) / "share" / "jupyter") for place in (sys.prefix, BORROWED)),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self.environment.pop("MPLBACKEND", None)
        write_notebook(folder / "lesson.ipynb", CELLS)

    def run(self, *command: str | Path, folder: Path | None = None) -> str:
        """What a command of these Pythons says; its last lines, if it fails."""
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
        return done.stdout + done.stderr

    def executed(self) -> Path:
        """The notebook, run by nbclient, with its outputs."""
        path = self.folder / "executed.ipynb"
        if not path.exists():
            self.run("-m", "nbconvert", "--execute", "--to", "notebook", "--output", path.name, "lesson.ipynb")
        return path

    @contextmanager
    def serving(self, *command: str | Path) -> Iterator[str]:
        """A server's address; {port} in its command is a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [str(word).format(port=port) for word in command]
        log = self.folder / f"server-{port}.log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, *words], cwd=self.folder, env=self.environment, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).close()
                    break
                except OSError:
                    assert server.poll() is None, log.read_text()[-1500:]
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}/"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=20)

    @contextmanager
    def looking(self, address: str, picture: str) -> Iterator[Page]:
        """A page in a browser that reaches this machine only, with its picture taken at the end."""
        visit = Visit(self.browser)
        visit.page.goto(address)
        yield visit.page
        visit.screenshot(f"hosts-{picture}")
        visit.close()


# ---- what is looked for ----


def stills(page: Page) -> str:
    """The still pictures stand in the page, for there is no live view; nothing says that one is coming."""
    shown = page.locator("[class^=bl-still-]")
    expect(shown).to_have_count(3)  # two views and a cover
    expect(shown.first.locator("img, svg").first).to_be_visible()
    expect(shown.last).to_contain_text("How many tokens?")
    assert "predict" not in shown.last.inner_text().lower() or not shown.last.get_by_text("5 tokens").is_visible()
    assert not re.search("model not found|Loading widget", page.locator("body").inner_text())
    return "the stills"


def clickable(frame: FrameLocator | Page) -> str:
    """A view whose page is here as a whole: another head is chosen."""
    head = frame.locator("[data-view=alibi] [data-part=slopes] [data-head='3']").first
    head.dispatch_event("click")  # Playwright's own looks for it in the wrong place where a slide is drawn smaller
    expect(frame.locator("[data-view=alibi]").first).to_have_attribute("data-head", "3")
    return "embed() is clickable"


def live(page: Page) -> str:
    """A view with a kernel: a tab that was not there is computed, and another text is read."""
    view = page.locator("[data-view=explorer]")
    expect(view).to_be_visible(timeout=60_000)
    expect(view).to_have_attribute("data-kernel", "here")
    view.locator("[role=tab][data-tab=hidden]").click()
    expect(view.locator("[data-panel=hidden]")).to_be_visible()
    view.locator("[data-part=text]").fill("Mia lives in Rome. Really.")
    expect(view).to_have_attribute("data-tokens", "13")
    expect(view).to_have_attribute("data-state", "ready")
    return "live: tabs are computed, another text is read"


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """How many pixels of a picture have a colour, or nearly."""
    return int((np.abs(picture.astype(int) - colour).max(axis=2) <= 12).sum())


def on_paper(pdf: Path, name: str) -> str:
    """The pages of a PDF, as pdftoppm draws them: the colours of the data are on one of them."""
    assert shutil.which("pdftoppm"), "pdftoppm is missing; install poppler-utils"
    for old in SCREENSHOTS.glob(f"hosts-{name}-*.png"):
        old.unlink()
    subprocess.run(["pdftoppm", "-r", "80", "-png", str(pdf), str(SCREENSHOTS / f"hosts-{name}")], check=True)
    pages = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(SCREENSHOTS.glob(f"hosts-{name}-*.png"))]
    found = max(min(near(page, YELLOW), near(page, BLUE)) for page in pages)
    assert found > 20, f"{found} pixels of the colours of probabilities on {len(pages)} pages"
    return f"{len(pages)} pages, colours kept"


# ---- the hosts ----


def nbclient_host(bench: Bench) -> str:
    outputs = [output for cell in nbformat.read(bench.executed(), 4).cells for output in cell.outputs]
    kinds = [set(output.get("data", {})) for output in outputs]
    assert sum("application/vnd.jupyter.widget-view+json" in each for each in kinds) == 3
    assert sum("text/html" in each for each in kinds) == 4 and sum("image/png" in each for each in kinds) == 1
    return "each view as a widget and as a still; a PNG where it was asked for"


def nbconvert_html(bench: Bench) -> str:
    said = []
    for name, options in (("plain", []), ("short", ["--ExecutePreprocessor.store_widget_state=False"])):
        bench.run("-m", "nbconvert", "--execute", "--to", "html", *options, "--output", name, "lesson.ipynb")
        with bench.looking((bench.folder / f"{name}.html").as_uri(), f"nbconvert-{name}") as page:
            said = [stills(page), clickable(page.frame_locator("iframe"))]
    return f"offline, with widget state and without: {', '.join(said)}"


def papermill_host(bench: Bench) -> str:
    bench.run("-m", "papermill", "lesson.ipynb", "milled.ipynb", "--no-progress-bar")
    bench.run("-m", "nbconvert", "--to", "html", "milled.ipynb")
    with bench.looking((bench.folder / "milled.html").as_uri(), "papermill") as page:
        return f"offline: {stills(page)}, {clickable(page.frame_locator('iframe'))}"


def nbconvert_webpdf(bench: Bench) -> str:
    path = str(chromium.find())
    bench.run("-c", CHROMIUM_IN_NBCONVERT, path, bench.executed())
    return on_paper(bench.executed().with_suffix(".pdf"), "webpdf")


def nbconvert_latex(bench: Bench) -> str:
    assert shutil.which("xelatex"), "xelatex is missing; install texlive-xetex and pandoc"
    bench.run("-m", "nbconvert", "--to", "pdf", "--output", "latex", bench.executed())
    return f"{on_paper(bench.folder / 'latex.pdf', 'latex')} (with view.png = True)"


def nbconvert_slides(bench: Bench) -> str:
    notebook = nbformat.read(bench.executed(), 4)
    for cell in notebook.cells:
        cell.metadata["slideshow"] = {"slide_type": "slide"}
    nbformat.write(notebook, bench.folder / "slides.ipynb")
    static = Path(sys.prefix, "lib", f"python3.{sys.version_info.minor}", "site-packages", "sphinx_revealjs", "_static")
    shutil.copytree(static / "revealjs", bench.folder / "reveal.js", dirs_exist_ok=True)
    require = Path(sys.prefix) / "share/jupyter/voila/templates/base/static/require.min.js"
    shutil.copy(require, bench.folder / "require.js")
    (bench.folder / "jquery.js").write_text("", encoding="utf-8")
    bench.run(
        "-m", "nbconvert", "--to", "slides", "--no-input", "slides.ipynb", "--reveal-prefix", "reveal.js",
        "--HTMLExporter.require_js_url=require.js", "--HTMLExporter.jquery_url=jquery.js",
    )  # fmt: skip
    with bench.looking((bench.folder / "slides.slides.html").as_uri(), "slides-still") as page:
        expect(page.locator(".reveal.ready .slides section.present").first).to_be_visible()
        heights = page.locator("[class^=bl-still-]").evaluate_all("all => all.map(e => e.offsetHeight)")
        page.goto(f"{page.url.split('#')[0]}#/4")
        clickable(page.frame_locator("section.present iframe"))
        frame = page.locator("section.present iframe").evaluate("e => e.offsetHeight")
    assert len(heights) == 3 and max(*heights, frame) <= 700, (heights, frame)
    return f"stills and embed() are as high as a slide at most ({max(*heights, frame)} of 700 pixels)"


def voila_host(bench: Bench) -> str:
    with (
        bench.serving("-m", "voila", "lesson.ipynb", "--no-browser", "--port={port}", "--Voila.ip=127.0.0.1") as url,
        bench.looking(url, "voila") as page,
    ):
        said = live(page)
        page.locator("[data-part=box]").fill("5")
        page.locator("[data-part=reveal]").click()
        expect(page.locator("[data-view=cover] [data-part=live]")).to_have_text("✓ You knew it.")
        return f"{said}; covers"


def marimo_host(bench: Bench) -> str:
    cells = [
        "import marimo as mo\nimport bloomlab\nfrom bloomlab import checks\nlab = bloomlab.load()",
        f"lab.explore({TEXT!r})",
        f"mo.hstack([lab.attention({TEXT!r}), checks.cover('Which?', 3)])",
        "checks.cover('How many?', 3, shows=lab.hidden_states('Leo'))",
        *(f"lab.{verb}({TEXT!r})" for verb in ("tokens", "alibi", "hidden_states", "predictions", "write")),
    ]
    uses = ["", "lab", "mo, lab, checks", "checks, lab", *["lab"] * 5]
    gives = ["return mo, bloomlab, checks, lab", *["return"] * 8]
    body = [
        f"@app.cell\ndef _({use}):\n    {cell.replace(chr(10), chr(10) + '    ')}\n    {give}\n"
        for use, cell, give in zip(uses, cells, gives, strict=True)
    ]
    (bench.folder / "app.py").write_text("import marimo\napp = marimo.App()\n" + "\n".join(body), encoding="utf-8")
    with (
        bench.serving("-m", "marimo", "run", "app.py", "--headless", "--no-token", "--port={port}") as url,
        bench.looking(url, "marimo") as page,
    ):
        said = live(page)
        for view in ("attention", "tokens", "alibi", "hidden", "predictions", "writing"):
            expect(page.locator(f"[data-view={view}]").first).to_have_attribute("data-state", "ready")
        views = page.locator("[data-view]")
        widths = views.evaluate_all("all => all.map(e => e.clientWidth)")
        assert min(widths) >= 250, widths
        cover = page.locator("[data-view=cover]").last
        cover.locator("[data-part=box]").fill("3")
        cover.locator("[data-part=reveal]").click()
        inside = cover.locator("[data-part=shown] [data-view=hidden]")
        expect(inside).to_have_attribute("data-state", "ready")
        page.locator("[data-view=attention]").first.scroll_into_view_if_needed()
        return f"{said}; {len(widths)} views at least {min(widths)} pixels wide, in hstack too; a cover uncovers a view"


def jupyter_book_host(bench: Bench) -> str:
    book = bench.folder / "book"
    book.mkdir()
    shutil.copy(bench.executed(), book / "lesson.ipynb")
    title = nbformat.read(book / "lesson.ipynb", 4)
    title.cells.insert(0, nbformat.v4.new_markdown_cell("# Lesson"))
    nbformat.write(title, book / "lesson.ipynb")
    (book / "_config.yml").write_text("title: t\nexecute:\n  execute_notebooks: off\n", encoding="utf-8")
    (book / "_toc.yml").write_text("format: jb-book\nroot: lesson\n", encoding="utf-8")
    bench.run(Path(sys.executable).parent / "jb", "build", book)
    with bench.looking((book / "_build/html/lesson.html").as_uri(), "jupyter-book") as page:
        return f"offline: {stills(page)}, {clickable(page.frame_locator('iframe'))}"


ASSIGNMENT = """
### BEGIN SOLUTION
answer = 1 / 16
### END SOLUTION
"""
GUESSED = """
cover = checks.cover("How many?", 3)
display(cover)
cover.set_state({"prediction": "7", "revealed": True})
"""


def nbgrader_host(bench: Bench) -> str:
    from nbgrader.api import Gradebook  # type: ignore[import-not-found]  # of the hosts' environment

    course = bench.folder / "course"
    source = course / "source/ps1"
    source.mkdir(parents=True)
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    common = {"schema_version": 3, "locked": False, "task": False}
    kinds = [{}, {"grade_id": "a", "solution": True, "grade": False, **common}]
    kinds.append({"grade_id": "t", "solution": False, "grade": True, "points": 1, **common, "locked": True})
    texts = [f"from bloomlab import checks\n{GUESSED}", ASSIGNMENT, "assert checks.half_weight(11, answer)"]
    for text, kind in zip(texts, kinds, strict=True):
        notebook.cells.append(nbformat.v4.new_code_cell(text.strip(), metadata={"nbgrader": kind} if kind else {}))
    nbformat.write(notebook, source / "ps1.ipynb")
    config = (
        "c = get_config()\nc.CourseDirectory.course_id = 'c'\nc.ClearSolutions.code_stub = {'python': 'answer = 0'}\n"
    )
    (course / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbgrader = Path(sys.executable).parent / "nbgrader"
    bench.run(nbgrader, "generate_assignment", "ps1", folder=course)
    for student, answer in {"right": "0.063", "wrong": "0.5", "dots": "..."}.items():
        submitted = course / "submitted" / student / "ps1"
        shutil.copytree(course / "release/ps1", submitted)
        path = submitted / "ps1.ipynb"
        path.write_text(path.read_text().replace("answer = 0", f"answer = {answer}"), encoding="utf-8")
        bench.run("-m", "nbconvert", "--execute", "--allow-errors", "--to", "notebook", "--inplace", path)
    bench.run(nbgrader, "autograde", "ps1", folder=course)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        scores = {one.student.id: one.score for one in book.assignment_submissions("ps1")}
    assert scores == {"right": 1.0, "wrong": 0.0, "dots": 0.0}, scores
    report = "from bloomlab import checks; print(checks.report('submitted/wrong/ps1/ps1.ipynb')[0].prediction)"
    assert bench.run("-c", report, folder=course).split()[-1] == "7"
    lesson_for_nbgrader(bench, course)
    return (
        "a right answer gets its point, a wrong one and three dots none; so it is with a lesson of the edition for "
        "nbgrader; guesses are read from what was submitted"
    )


def lesson_for_nbgrader(bench: Bench, course: Path) -> None:
    """A whole lesson, as `bloomlab lessons FOLDER --edition nbgrader` writes it, is released and graded."""
    from nbgrader.api import Gradebook

    nbgrader = Path(sys.executable).parent / "nbgrader"
    source = course / "source/ps2"
    source.mkdir()
    (source / GRADED_LESSON.name).write_bytes(edition_of(GRADED_LESSON, "nbgrader"))
    bench.run(nbgrader, "generate_assignment", "ps2", folder=course)
    for student, answer in {"right": "0.0347", "dots": "..."}.items():
        submitted = course / "submitted" / student / "ps2"
        shutil.copytree(course / "release/ps2", submitted)
        path = submitted / GRADED_LESSON.name
        text = path.read_text(encoding="utf-8")
        assert "slope = ..." in text and "A solution" not in text
        path.write_text(text.replace("slope = ...", f"slope = {answer}"), encoding="utf-8")
    bench.run(nbgrader, "autograde", "ps2", folder=course)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        scores = {one.student.id: one.score for one in book.assignment_submissions("ps2")}
    assert scores == {"right": 1.0, "dots": 0.0}, scores


def otter_host(bench: Bench) -> str:
    """A lesson of the edition for otter: otter assigns it, which runs its solutions, and grades what is handed in."""
    name, otter = GRADED_LESSON.name, Path(sys.executable).parent / "otter"
    (bench.folder / name).write_bytes(edition_of(GRADED_LESSON, "otter"))
    bench.run(otter, "assign", name, "assigned")
    student, (zipped,) = bench.folder / "assigned/student" / name, bench.folder.glob("assigned/autograder/*.zip")
    text = student.read_text(encoding="utf-8")
    assert "slope = ..." in text and "math.log(2) / 20" not in text
    scores = {}
    for who, answer in {"right": "0.0347", "wrong": "0.5", "dots": "..."}.items():
        handed = bench.folder / who / name
        handed.parent.mkdir()
        handed.write_text(text.replace("slope = ...", f"slope = {answer}"), encoding="utf-8")
        bench.run(otter, "run", "-a", zipped, "-o", handed.parent, handed)
        found = json.loads((handed.parent / "results.json").read_text(encoding="utf-8"))["tests"]
        scores[who] = sum(test.get("score", 0) for test in found)
    assert scores == {"right": 1.0, "wrong": 0.0, "dots": 0.0}, scores
    return "`otter assign` takes the edition for otter; a right answer gets its point, a wrong one and three dots none"


def jupyter_host(app: str) -> Callable[[Bench], str]:
    def check(bench: Bench) -> str:
        which = [f"tests/browser/test_no_kernel.py::{REOPENED}[{app}]"]
        done = subprocess.run(
            [BORROWED / "bin/python", "-m", "pytest", "-q", *which], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-1500:]
        return "opened again: the stills, and what was predicted (all else: tests/browser, each time)"

    return check


REOPENED = "test_a_notebook_that_is_opened_again_shows_the_still_and_what_was_predicted"
VIEW = "document.querySelector('[data-view=explorer]')"


def firefox_host(bench: Bench) -> str:
    """JupyterLab and Notebook 7 in Firefox, their kernels behind them; and a saved page."""
    path = find_firefox()
    assert path, "Firefox is missing; install firefox-esr"
    share = BORROWED / "share" / "jupyter"
    os.environ.update(JUPYTERLAB_DIR=str(share / "lab"), JUPYTER_PATH=str(share), PYTHONPATH=str(ROOT))
    os.environ["JUPYTER_CONFIG_PATH"] = str(BORROWED / "etc" / "jupyter")  # the server's side of what is in the lab
    fox = Firefox(path)
    try:
        for app in ("lab", "notebook"):
            server = Server(app, bench.folder / f"firefox-{app}")
            try:
                firefox_live(fox, server)
            finally:
                server.stop()
        firefox_saved(fox, bench.folder / "firefox.html")
        firefox_alone(fox, bench.folder / "firefox-alone.html")
    finally:
        fox.close()
    return (
        f"Firefox {fox.version}: JupyterLab and Notebook 7 live, every tab; another text is read; stills give way; "
        "a saved page from a file, every tab; a live page from a file: every tab, five scripts, an edit"
    )


def firefox_live(fox: Firefox, server: Server) -> None:
    """Every tab, another text, and no still beside a live view."""
    write_notebook(server.root / "lesson.ipynb", CELLS)
    fox.goto(server.url("lesson.ipynb"))
    fox.wait_for(f"typeof jupyterapp !== 'undefined' && {IDLE}")
    fox.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => 1)")
    fox.wait_for(f"{VIEW}?.dataset.state === 'ready'", 120)
    open_tabs(fox)
    type_it = f"(b => {{ b.value = 'Mia lives in Rome. Really.'; b.dispatchEvent(new Event('input', {{bubbles: true}})); }})({VIEW}.querySelector('[data-part=text]'))"  # noqa: E501
    fox.evaluate(type_it)
    fox.wait_for(f"{VIEW}.dataset.tokens === '13'")
    assert painted_in(fox) > 10
    hidden = "[...document.querySelectorAll('[class^=bl-still-]')].every(e => e.getClientRects().length === 0)"
    assert fox.evaluate(hidden)  # :has() hides them while the live views stand there
    fox.evaluate(f"{VIEW}.scrollIntoView()")
    fox.screenshot(SCREENSHOTS / f"hosts-firefox-{server.app}.png")


def firefox_saved(fox: Firefox, page: Path) -> None:
    """A page from a file: every tab, and choosing."""
    save = "import bloomlab, sys; bloomlab.load().explore('Leo lives in Oslo. Leo has a cat.').save(sys.argv[1])"
    subprocess.run([BORROWED / "bin/python", "-c", save, page], cwd=ROOT, check=True)
    fox.goto(page.as_uri())
    fox.wait_for(f"{VIEW}?.dataset.state === 'ready'")
    open_tabs(fox)
    fox.evaluate(f'{VIEW}.querySelector(\'[data-part=heads] [data-layer="1"][data-head="2"]\').click()')
    fox.wait_for(f"{VIEW}.dataset.layer === '1' && {VIEW}.dataset.head === '2'")
    assert painted_in(fox) > 10
    fox.screenshot(SCREENSHOTS / "hosts-firefox-saved.png")


def firefox_alone(fox: Firefox, page: Path) -> None:
    """A page with the model inside, from a file: every tab, other texts, and an edit at one token by keys."""
    story = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    save = "import bloomlab, sys; bloomlab.load().explore(sys.argv[2]).save(sys.argv[1], live=True)"
    subprocess.run([BORROWED / "bin/python", "-c", save, page, story], cwd=ROOT, check=True)
    fox.goto(page.as_uri())
    fox.wait_for(f"{VIEW}?.dataset.tokens === '20'")
    open_tabs(fox)
    for text in ("يعيش ليو في أوسلو.", "लियो ओस्लो में रहता है।", "小梅住在北京。", "🦁 é", story):
        said = json.dumps(text)
        enter = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
        box = f"{VIEW}.querySelector('[data-part=text]')"
        fox.evaluate(f"(box => {{ box.value = {said}; box.dispatchEvent({enter}); }})({box})")
        picture = f"{VIEW}.querySelector('[data-part=code]').textContent.includes({said})"
        fox.wait_for(f"{VIEW}.dataset.state === 'ready' && {picture}")
    for place in ('[data-part=heads] [data-layer="0"][data-head="1"]', '[data-part=strip] [data-token="16"]'):
        fox.evaluate(f"{VIEW}.querySelector('{place}').click()")
    fox.wait_for(f"{VIEW}.dataset.query === '16'")
    fox.evaluate(f"{VIEW}.querySelector('[data-panel=attention] [data-edit=silence]').click()")
    fox.wait_for(f"{VIEW}.querySelector('[data-part=changes]').textContent.includes('head 0.1 silent at 16')")
    fox.screenshot(SCREENSHOTS / "hosts-firefox-alone.png")


def open_tabs(fox: Firefox) -> None:
    for tab in ("map", "tokens", "alibi", "hidden", "predictions", "writing", "attention"):
        fox.evaluate(f"{VIEW}.querySelector('[role=tab][data-tab={tab}]').click()")
        fox.wait_for(f"!{VIEW}.querySelector('[data-panel={tab}]').hidden && {VIEW}.dataset.tab === '{tab}'")


def painted_in(fox: Firefox) -> int:
    """How many colours the matrix has."""
    canvas = f"{VIEW}.querySelector('[data-panel=attention] [data-part=canvas]')"
    pixels = f"{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data.buffer"
    return int(fox.evaluate(f"new Set(new Uint32Array({pixels})).size"))


HOSTS: dict[str, tuple[str, Callable[[Bench], str]]] = {
    "nbclient": ("nbclient", nbclient_host),
    "html": ("nbconvert", nbconvert_html),
    "papermill": ("papermill", papermill_host),
    "webpdf": ("nbconvert", nbconvert_webpdf),
    "latex": ("nbconvert", nbconvert_latex),
    "slides": ("nbconvert", nbconvert_slides),
    "voila": ("voila", voila_host),
    "marimo": ("marimo", marimo_host),
    "jupyter-book": ("jupyter-book", jupyter_book_host),
    "nbgrader": ("nbgrader", nbgrader_host),
    "otter": ("otter-grader", otter_host),
    "jupyterlab": ("jupyterlab", jupyter_host("lab")),
    "notebook": ("notebook", jupyter_host("notebook")),
    "firefox": ("jupyterlab", firefox_host),
}


def main(names: list[str]) -> int:
    path = chromium.find()
    if path is None:
        print(chromium.MISSING)
        return 1
    SCREENSHOTS.mkdir(exist_ok=True)
    failed = 0
    for name in names or HOSTS:
        package, check = HOSTS[name]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, headless=True, args=chromium.ARGS)
            try:
                seen = check(Bench(Path(folder), browser))
            except Exception as error:
                failed += 1
                seen = f"FAILED: {error}"
                traceback.print_exc()
            browser.close()
        print(f"| {name} | {package} {version(package)} | {seen} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
