"""A site as files: every page under a policy without inline script or style, and nothing loaded from elsewhere."""

import re
from pathlib import Path

import pytest

from bloomlab.errors import InputError
from bloomlab.site import GALLERY, make


@pytest.mark.slow
def test_the_pages_load_only_what_lies_beside_them(tmp_path: Path) -> None:
    pages = list(make(tmp_path, []))
    assert {page.relative_to(tmp_path).as_posix() for page in pages} == {
        "index.html",
        "live.html",
        "gallery/index.html",
        "lessons/index.html",
        *(f"gallery/{verb}.html" for verb in GALLERY),
    }
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'http-equiv="Content-Security-Policy" content="default-src &#x27;self&#x27;"' in text.replace(
            "'", "&#x27;"
        )
        assert not re.findall(r"https?://|\sstyle=|<style|\son\w+=|<script>", text)
        for link in re.findall(r'(?:href|src|data-given|data-model)="([^"]+)"', text):
            assert (page.parent / link).is_file(), link
    assert len(list((tmp_path / "assets").glob("model-*.js"))) == 1  # one for all pages
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 8_000_000


def test_a_lesson_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no lesson 'x.ipynb'; the lessons are 00_welcome\.ipynb"):
        list(make(tmp_path, ["x.ipynb"]))
