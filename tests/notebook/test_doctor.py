"""What the doctor says about machines that are well, and about those that are not."""

import json
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from bloomlab import tiny
from bloomlab.notebook import doctor
from bloomlab.notebook.doctor import WIDGETS, Check, Report, cache, examine, memory, network, packages, python, widgets

REQUIRED = ["torch>=2.10", "anywidget<0.12,>=0.11", "tqdm>=4.66", "numpy>=1.26", "plotly>=6", 'jax; extra == "jax"']
GOOD = {"torch": "2.13.0", "anywidget": "0.11.0", "tqdm": "4.70.1", "numpy": "2.4.6", "plotly": "7.1.0"}


@pytest.mark.slow
def test_a_machine_that_is_well_gets_no_advice() -> None:
    report = examine()
    assert [check.name for check in report.checks] == ["python", "packages", "widgets", "memory", "cache", "network"]
    assert report.ok, report
    page = repr(report)
    assert page.endswith("all is well") and "!!" not in page
    assert all(len(line) < 200 for line in page.splitlines())


def test_what_is_wrong_comes_with_what_to_do() -> None:
    report = Report((Check("cache", "is full", "make room"), Check("memory", "8 GB free")))
    assert not report.ok
    assert repr(report).splitlines() == [
        "!!  cache     is full",
        "              -> make room",
        "ok  memory    8 GB free",
        "1 of 2 need care; the arrows say what to do",
    ]


def test_a_python_too_old_is_named() -> None:
    assert python((3, 10, 4)) == Check("python", "3.10.4", "install Python 3.11 or newer")
    assert python((3, 13, 0)).ok


def test_packages_that_are_missing_or_too_old_or_too_new_are_named_with_the_command() -> None:
    assert packages(REQUIRED, lambda name: GOOD[name]).ok
    bad = {**GOOD, "torch": "2.1.0", "anywidget": "0.12.0", "tqdm": ""}
    check = packages(REQUIRED, lambda name: bad[name])
    assert check.found == "torch 2.1.0, anywidget 0.12.0, tqdm missing"
    assert check.advice.endswith('-m pip install "torch>=2.10" "anywidget<0.12,>=0.11" "tqdm>=4.66"')


def test_a_local_build_of_torch_counts_as_its_version() -> None:
    assert packages(["torch>=2.10"], lambda name: "2.13.0+cpu").ok


def test_an_extension_that_the_server_lacks_is_named() -> None:
    assert widgets(dict.fromkeys(WIDGETS, "0.11.2"), "JupyterLab here", "0.11.0").ok
    check = widgets({WIDGETS[1]: "5.0"}, "the running server", "0.11.0")
    assert check.found == "the running server: no anywidget"
    assert "into the Python that runs the server" in check.advice
    older = widgets({**dict.fromkeys(WIDGETS, "5.0"), "anywidget": "0.9.1"}, "the running server", "0.11.0")
    assert not older.ok and "this Python has anywidget 0.11.0" in older.advice


def test_too_little_memory_gets_advice_and_enough_names_the_largest_model_that_fits() -> None:
    assert memory(8 * 10**9).found == "8.0 GB free; the largest published BLOOM that fits is 7b1 in int8"
    assert memory(8 * 10**9).ok and memory(None).ok
    poor = memory(300 * 10**6)
    assert poor.found == "300.0 MB free"
    assert "end other notebooks" in poor.advice


def test_a_cache_that_cannot_be_written_to_is_named_and_nothing_is_left_in_one_that_can(tmp_path: Path) -> None:
    assert cache(tmp_path / "not" / "there").ok
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    check = cache(tmp_path / "file")
    assert "cannot be written to: not a directory" in check.found and "HF_HUB_CACHE" in check.advice
    check = cache(Path("~/.cache/huggingface/hub"))  # what stands there for a user without a home
    assert (
        not check.ok and check.found == "there is no home folder to keep models in" and "HF_HUB_CACHE" in check.advice
    )


def test_the_embedded_model_is_looked_for(tmp_path: Path) -> None:
    assert network(tiny.folder()).ok
    check = network(tmp_path)
    assert "lacks config.json, model.safetensors, tokenizer.json" in check.found and "install" in check.advice


@pytest.mark.slow
def test_a_check_that_cannot_be_made_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing here")

    monkeypatch.setattr(doctor, "free_bytes", broken)
    check = next(check for check in examine().checks if check.name == "memory")
    assert check.found == "cannot tell (RuntimeError: no such thing here)" and not check.ok


# -- the extensions of a server ----


class Extensions(BaseHTTPRequestHandler):
    has: ClassVar[dict[str, str]] = {}
    status = 404

    def do_GET(self) -> None:
        name = self.path.removeprefix("/base/lab/extensions/").removesuffix("/package.json")
        is_served = name in self.has and self.headers["Authorization"] == "token secret"
        self.send_response(200 if is_served else self.status)
        self.end_headers()
        self.wfile.write(json.dumps({"name": name, "version": self.has[name]}).encode() if is_served else b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Extensions]]:
    """A server that says it started this kernel, as Jupyter writes it down."""
    handler = type("OwnExtensions", (Extensions,), {})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        description = {"pid": os.getpid(), "token": "secret", "url": f"http://127.0.0.1:{http.server_address[1]}/base/"}
        (tmp_path / f"jpserver-{os.getpid()}.json").write_text(json.dumps(description))
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
        monkeypatch.setenv("http_proxy", "http://localhost:9")  # which is not asked
        yield handler
        http.shutdown()


def test_the_server_that_started_the_kernel_is_asked(server: type[Extensions]) -> None:
    server.has = {WIDGETS[0]: "0.11.0", WIDGETS[1]: "5.0.16"}
    assert doctor.extensions() == (server.has, "the running server")
    server.has = {WIDGETS[1]: "5.0.16"}
    assert doctor.extensions() == (server.has, "the running server")


def test_a_server_that_does_not_say_is_not_believed_to_lack_them(server: type[Extensions]) -> None:
    server.status = 403
    listed, where = doctor.extensions()
    assert listed is not None and listed[WIDGETS[0]] and "does not say" in where


def test_a_server_of_another_kernel_is_not_asked(server: type[Extensions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    listed, where = doctor.extensions()
    assert where == "JupyterLab here" and listed is not None and set(WIDGETS) <= set(listed)


def test_without_folders_of_extensions_none_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [str(tmp_path)])
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert doctor.extensions() == ({}, "JupyterLab here")
    (tmp_path / "anywidget").mkdir()
    (tmp_path / "anywidget" / "package.json").write_text('{"name": "anywidget", "version": "0.11.0"}')
    assert doctor.extensions() == ({"anywidget": "0.11.0"}, "JupyterLab here")


def test_colab_shows_widgets_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    listed, where = doctor.extensions()
    assert listed is None and widgets(listed, where, "0.11.0").ok
