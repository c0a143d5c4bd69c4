"""A site as files: every page under a policy without inline script or style, and nothing loaded from elsewhere."""

import errno
import re
from pathlib import Path
from typing import Any

import pytest

from bloomlab.errors import InputError
from bloomlab.pages import folder
from bloomlab.site import GALLERY, _Site, make


@pytest.mark.slow
def test_the_pages_load_only_what_lies_beside_them(tmp_path: Path) -> None:
    pages = list(make(tmp_path, []))
    docs = {path.stem.replace("README", "index") for path in folder().glob("*.md")}
    assert {page.relative_to(tmp_path).as_posix() for page in pages} == {
        "index.html",
        "live.html",
        "gallery/index.html",
        "lessons/index.html",
        "lessons/GLOSSARY.html",
        *(f"gallery/{verb}.html" for verb in GALLERY),
        *(f"docs/{name}.html" for name in docs),
    }
    for page in pages:
        text = page.read_text(encoding="utf-8")
        rules = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
        assert rules == ["default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"]  # WebAssembly, but no text as code
        tags = "".join(re.findall(r"<[a-z][^<>]*>", text))
        assert not re.findall(r"src=.https?://|\sstyle=|<style|\son\w+=|<script>", tags)
        for link in re.findall(r'(?:href|src|data-given|data-model)="([^"]+)"', tags):
            path = link.partition("#")[0]
            assert (page.parent / path).is_file() or (link.startswith("https://") and "docs" in page.parts), link
    assert len(list((tmp_path / "assets").glob("model-*.js"))) == 1  # one for all pages
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 8_000_000


def test_a_lesson_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no lesson 'x.ipynb'; the lessons are 00_welcome\.ipynb"):
        list(make(tmp_path, ["x.ipynb"]))


def test_a_home_that_nobody_has_is_one_clear_error() -> None:
    with pytest.raises(InputError, match="cannot write ~nobody-at-all/site: could not determine home directory"):
        list(make("~nobody-at-all/site", []))


PICTURE = {"data": {"image/png": "aGFsZiBhIHBpY3R1cmU="}}


@pytest.mark.parametrize("file", ["assets/explorer.js", "data/x.png", "page.html"])
def test_on_a_full_disk_the_older_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    site: Any = _Site(tmp_path, None)  # type: ignore[arg-type]  # these files say nothing of a model
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("the older file")

    def half(path: Path, data: Any, *rest: Any, **named: Any) -> int:
        with path.open("wb") as opened:
            opened.write(data[:3] if isinstance(data, bytes) else data[:3].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(InputError, match="no space left on device"):
        {"assets": site.assets, "data": lambda: site._output("x", PICTURE)}.get(
            file.partition("/")[0], lambda: site.page("page.html", "", "")
        )()
    assert [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [b"the older file"]


@pytest.mark.parametrize(
    "kind", ["CellExecutionError", "CellTimeoutError", "DeadKernelError", "PermissionError", "NoSuchKernel"]
)
def test_a_lesson_that_cannot_be_run_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    nbclient: Any = pytest.importorskip("nbclient")
    from jupyter_client.kernelspec import NoSuchKernel

    long = "x" * 9_000
    errors: dict[str, Exception] = {
        "CellExecutionError": nbclient.exceptions.CellExecutionError(f"…\nNameError: {long}", "NameError", long),
        "CellTimeoutError": nbclient.exceptions.CellTimeoutError(f"A cell timed out: {long}"),
        "DeadKernelError": nbclient.exceptions.DeadKernelError(""),
        "PermissionError": PermissionError(errno.EACCES, "Permission denied", f"/{long}"),
        "NoSuchKernel": NoSuchKernel(long),
    }

    def fails(client: Any) -> None:
        raise errors[kind]

    monkeypatch.setattr(nbclient.NotebookClient, "execute", fails)
    with pytest.raises(
        InputError, match=r"^the lesson 00_welcome\.ipynb could not be run: .*`bloomlab doctor`"
    ) as said:
        _Site(tmp_path, None).lesson("00_welcome.ipynb")  # type: ignore[arg-type]  # it does not come so far
    assert len(str(said.value)) <= 400 and " … " not in str(said.value)
