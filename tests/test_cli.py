"""The command as a shell runs it."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import bloomlab
from bloomlab.cli import cli, main
from bloomlab.lessons import FIRST, NOTE
from bloomlab.notebook.commands import COMMANDS

COMMAND = [sys.executable, "-m", "bloomlab"]


def run(*arguments: str, place: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, cwd=place, timeout=300)


@pytest.mark.slow
def test_help_comes_in_less_than_a_third_of_a_second() -> None:
    """Of computing, so that a busy machine does not count; and nothing heavy is loaded for it."""
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        said = run("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert said.returncode == 0 and all(name in said.stdout for name in cli.commands)
    assert min(seconds) < 0.3, seconds


def test_what_is_heavy_is_not_loaded_for_help() -> None:
    code = "import sys; from bloomlab.cli import main; main(['generate', '--help']); print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1].split())
    assert "bloomlab.cli" in loaded
    assert not loaded & {"torch", "numpy", "huggingface_hub", "jupyterlab", "IPython", "tokenizers", "bloomlab.lab"}


@pytest.mark.slow
def test_alone_it_shows_what_it_can_do() -> None:
    said = run()
    assert said.returncode == 0 and set(cli.commands) == {
        "lab",
        "lessons",
        "explore",
        "page",
        "site",
        "generate",
        "info",
        "convert",
        "class",
        "doctor",
    }
    assert "..." not in said.stdout.split("Commands:")[1], "a line of help is cut off"
    assert run("--version").stdout == f"bloomlab {bloomlab.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["genrate"], "no such command 'genrate'; did you mean 'generate'; bloomlab --help shows how"),
        (["generate"], "missing argument 'TEXT'; bloomlab generate --help shows how"),
        (["generate", "Leo", "--temprature", "1"], "there is no option --temprature; did you mean '--temperature'"),
        (["generate", "Leo", "--seed", "x"], "invalid value for '--seed': 'x' is not a valid integer; "),
        (["generate", "Leo", "lives"], "got unexpected extra argument (lives); "),
        (["explore", "Leo"], "missing option '--save'; "),
        (["explore", "Leo", "--save", "a.txt"], "--save takes a name that ends in .html, .png or .svg, and got "),
        (["page", "a.png"], "the page's name ends in .html, and got 'a.png'; bloomlab page --help shows how"),
        (["lab", "--no-browser"], "the folder comes before JupyterLab's options: bloomlab lab bloomlab-lessons "),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    said = run(*arguments, place=tmp_path)
    assert said.returncode == 2 and said.stdout == ""
    assert said.stderr.startswith(f"bloomlab: {words}") and said.stderr.count("\n") == 1, said.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "Leo", "--temperature", "-1"], "temperature must be a number at least 0"),
        (["generate", ""], "the text is empty; "),
        (["generate", "Leo", "--model", "561m"], "expected a folder .* did you mean '560m'"),
        (["info", "561m"], "expected a folder .* did you mean '560m'"),
        (["explore", "Leo", "--save", "no/such/folder.html"], "cannot write no/such/folder.html: no such file"),
    ],
)
def test_what_the_lab_refuses_is_one_sentence_and_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and re.match(f"bloomlab: {words}", said.err) and said.err.count("\n") == 1, said.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a folder's name is a text")
def test_a_folder_whose_name_is_not_a_text_is_named_as_python_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{tmp_path}/\udcff"
    assert main(["lessons", place, "--edition", "student", "--sheets"]) == 0
    assert main(["page", f"{place}/page.html"]) == 0
    assert main(["info", place]) == 2
    said = capsys.readouterr()  # which takes as little as a terminal does
    assert said.out.count("/\\udcff") == 3 and "/\\udcff/config.json" in said.err
    assert len(list(Path(place).iterdir())) > 15


def test_an_interrupt_ends_it_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bloomlab.lab.load", stop)
    assert main(["generate", "Leo"]) == 130
    assert capsys.readouterr().err.strip() == "bloomlab: stopped"


@pytest.mark.slow
def test_generate_says_what_the_lab_says(capsys: pytest.CaptureFixture[str]) -> None:
    lab = bloomlab.load()
    assert run("generate", "Leo lives in", "--max-new-tokens", "4").stdout == lab.generate("Leo lives in", 4) + "\n"
    assert main(["generate", "Léo", "--max-new-tokens", "5", "--seed", "3", "--top-k", "9"]) == 0
    assert capsys.readouterr().out == lab.generate("Léo", 5, seed=3, do_sample=True, top_k=9) + "\n"


def test_generate_shows_the_pieces_where_somebody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bloomlab.load().generate("Léo", 5, seed=3, do_sample=True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(bloomlab.Lab, "generate", None)  # which would show it at the end only
    assert main(["generate", "Léo", "--max-new-tokens", "5", "--seed", "3"]) == 0
    assert capsys.readouterr().out == expected + "\n"


def test_generate_has_the_options_of_the_magic() -> None:
    flags = {flag for each in cli.commands["generate"].params for flag in each.opts}
    assert {option.flag for option in COMMANDS["generate"].options} <= flags


def test_info_says_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0 and re.search(r"parameters +1,186,816\n", capsys.readouterr().out)
    assert main(["info", "7b1"]) == 0
    large = capsys.readouterr().out
    assert re.search(r"parameters +7,069,016,064\n", large) and "bfloat16" in large and "fit" in large


def test_doctor_says_what_works(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor"]) == 0 and capsys.readouterr().out.endswith("all is well\n")
    monkeypatch.setattr("bloomlab.notebook.doctor.installed", lambda name: "")
    assert main(["doctor"]) == 1 and "torch missing" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
def test_explore_saves_a_page(tmp_path: Path) -> None:
    said = run("explore", "Léo habite à Oslo.", "--save", "out.html", place=tmp_path)
    assert said.stdout == "out.html\n", said.stderr
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "Léo habite à Oslo." in page


@pytest.mark.slow
def test_page_saves_a_page_that_computes_by_itself(tmp_path: Path) -> None:
    said = run("page", "--text", "Léo habite à Oslo.", place=tmp_path)
    assert said.stdout == "bloomlab.html\n", said.stderr
    page = (tmp_path / "bloomlab.html").read_text(encoding="utf-8")
    assert "Léo habite à Oslo." in page and "page_host" in page


@pytest.mark.slow
def test_lab_copies_the_lessons_and_serves_the_first(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    jupyter = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment = {**os.environ, **own, "JUPYTER_TOKEN": "only-for-tests"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*COMMAND, "lab", "course", *jupyter], cwd=tmp_path, env=environment, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}/api/contents?token=only-for-tests"
        until = time.monotonic() + 180
        names: list[str] = []
        while not names and time.monotonic() < until and server.poll() is None:
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    names = [each["name"] for each in json.load(answer)["content"]]
            except OSError:
                continue
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
    words = (tmp_path / "log").read_text()
    assert FIRST in names, words
    assert f"files copied to {Path('course')}" in words and f"/lab/tree/{FIRST}" in words
    assert (tmp_path / "course" / NOTE).exists()
