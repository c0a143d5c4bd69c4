"""The pictures in the docs are what the program draws now."""

import struct
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from docs.make_pictures import draw

DOCS = Path(__file__).parents[2] / "docs"


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, as its first block has them."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


@pytest.mark.parametrize("engines", [None, 2])
def test_the_picture_in_the_docs_is_as_large_as_a_new_one(
    engines: int | None, chromium: Browser, tmp_path: Path
) -> None:
    made = draw(chromium, tmp_path, engines)
    kept = DOCS / made.name
    assert kept.stat().st_size < 300_000
    again = "the explorer has changed: python -m docs.make_pictures"
    assert size(made)[0] == size(kept)[0], again
    assert size(made)[1] == pytest.approx(size(kept)[1], rel=0.1), again  # the fonts may be others


def test_the_film_is_small_and_the_readme_shows_it() -> None:
    film = (DOCS / "film.gif").read_bytes()
    assert film[:6] == b"GIF89a" and len(film) < 1_500_000
    assert film.count(b"\x21\xf9\x04") == 5  # a picture for each scene: its control block
    assert "(docs/film.gif)" in (DOCS.parent / "README.md").read_text(encoding="utf-8")
