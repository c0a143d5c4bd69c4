"""The README's pictures are what the program draws now."""

import struct
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from docs.make_pictures import draw

KEPT = Path(__file__).parents[2] / "docs" / "explorer.png"


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, as its first block has them."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def test_the_picture_in_the_docs_is_as_large_as_a_new_one(chromium: Browser, tmp_path: Path) -> None:
    made = draw(chromium, tmp_path)
    assert KEPT.stat().st_size < 300_000
    again = "the explorer has changed: python -m docs.make_pictures"
    assert size(made)[0] == size(KEPT)[0], again
    assert size(made)[1] == pytest.approx(size(KEPT)[1], rel=0.1), again  # the fonts may be others


def test_the_film_is_small_and_the_readme_shows_it() -> None:
    film = KEPT.with_name("film.gif").read_bytes()
    assert film[:6] == b"GIF89a" and len(film) < 1_500_000
    assert film.count(b"\x21\xf9\x04") == 5  # a picture for each scene: its control block
    assert "(docs/film.gif)" in (KEPT.parents[1] / "README.md").read_text(encoding="utf-8")
