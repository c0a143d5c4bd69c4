"""Lessons are copied to where a student works, and what she changed stays hers."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bloomlab import lessons
from bloomlab.errors import InputError
from bloomlab.lessons import FIRST, NOTE, copy_to, folder, listed


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lessons that a test may change, in place of those that are shipped."""
    place = tmp_path / "shipped"
    place.mkdir()
    for name in ("00_a.ipynb", "01_b.ipynb"):
        (place / name).write_text(f'{{"cells": ["{name}"]}}')
    monkeypatch.setattr(lessons, "folder", lambda: place)
    return place


def test_the_list_names_every_lesson_once_in_order_with_its_time() -> None:
    found = listed()
    assert [lesson.file for lesson in found] == sorted(path.name for path in folder().glob("*.ipynb"))
    assert all(5 <= lesson.minutes <= 45 and lesson.about for lesson in found)
    lines = repr(found).splitlines()
    assert lines[0].split("  ")[-1] == found[0].about and len(lines) == len(found) + 2
    assert max(map(len, lines[: len(found)])) <= 120


def test_where_there_are_no_lessons_the_list_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "folder", lambda: tmp_path)
    assert repr(listed()) == f"there are no lessons in {tmp_path}"


def test_all_lessons_are_copied_and_the_first_is_there(tmp_path: Path) -> None:
    copied = copy_to(tmp_path / "a" / "course")
    assert FIRST in copied.new and set(copied.new) == {path.name for path in folder().iterdir() if path.is_file()}
    assert repr(copied) == f"{len(copied.new)} files copied to {tmp_path / 'a' / 'course'}"
    assert (copied.place / FIRST).read_bytes() == (folder() / FIRST).read_bytes()


def test_what_a_student_changed_stays_as_it_is(shipped: Path, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    copy_to(place)
    (place / "00_a.ipynb").write_text("my own work")
    (place / "notes.txt").write_text("mine too")
    (shipped / "00_a.ipynb").write_text("a newer lesson")
    for _ in range(2):
        copied = copy_to(place)
        assert copied.kept == ("00_a.ipynb",) and copied.same == ("01_b.ipynb",) and copied.new == ()
        assert "00_a.ipynb: kept as you changed them (delete or rename one to get it anew)" in repr(copied)
        assert (place / "00_a.ipynb").read_text() == "my own work"
    assert (place / "notes.txt").read_text() == "mine too"


def test_a_copy_as_it_was_is_replaced_by_a_newer_lesson(shipped: Path, tmp_path: Path) -> None:
    copy_to(tmp_path / "mine")
    (shipped / "01_b.ipynb").write_text("a newer lesson")
    assert copy_to(tmp_path / "mine").new == ("01_b.ipynb",)
    assert (tmp_path / "mine" / "01_b.ipynb").read_text() == "a newer lesson"


def test_a_copy_that_was_killed_before_its_note_was_written_is_replaced_later(shipped: Path, tmp_path: Path) -> None:
    copy_to(tmp_path / "mine")
    for newer in ("newer", "newer still"):
        (shipped / "01_b.ipynb").write_text(newer)
        if newer == "newer":  # the lesson was copied, and then the program ended
            (tmp_path / "mine" / "01_b.ipynb").write_text(newer)
            assert copy_to(tmp_path / "mine").same == ("00_a.ipynb", "01_b.ipynb")
    assert copy_to(tmp_path / "mine").new == ("01_b.ipynb",)


def test_a_deleted_copy_comes_back(shipped: Path, tmp_path: Path) -> None:
    copy_to(tmp_path / "mine")
    (tmp_path / "mine" / "01_b.ipynb").unlink()
    assert copy_to(tmp_path / "mine").new == ("01_b.ipynb",)


def test_a_file_that_was_there_before_is_not_taken_for_a_copy(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "00_a.ipynb").write_text("somebody's own")
    copied = copy_to(tmp_path / "mine")
    assert copied.kept == ("00_a.ipynb",) and copied.new == ("01_b.ipynb",)
    (shipped / "00_a.ipynb").write_text("a newer lesson")
    assert copy_to(tmp_path / "mine").kept == ("00_a.ipynb",)


@pytest.mark.parametrize("note", ["", "[]", "{", '{"00_a.ipynb": 7}'])
def test_a_note_that_is_broken_overwrites_nothing(shipped: Path, tmp_path: Path, note: str) -> None:
    copy_to(tmp_path / "mine")
    (tmp_path / "mine" / NOTE).write_text(note)
    (tmp_path / "mine" / "00_a.ipynb").write_text("my own work")
    try:
        copy_to(tmp_path / "mine")
    except InputError as error:
        assert NOTE in str(error)
    assert (tmp_path / "mine" / "00_a.ipynb").read_text() == "my own work"


def test_a_place_that_cannot_be_written_to_is_said(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"cannot write .*(exists|directory); name a folder"):
            copy_to(place)


def test_an_interrupt_leaves_no_half_of_a_lesson(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "write_bytes", stop)
        copy_to(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []
    shutil.rmtree(tmp_path / "mine")
    assert len(copy_to(tmp_path / "mine").new) == 2


@pytest.mark.slow
def test_the_wheel_holds_the_lessons_and_the_front_end(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    code = "from bloomlab import lessons; from bloomlab.views.shared import assets; "
    code += "print(lessons.folder(), assets.folder())"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); {code}"]
    places = [Path(word) for word in subprocess.check_output(command, cwd=tmp_path, text=True).split()]
    for place, source in zip(places, ("notebooks", "widgets"), strict=True):
        assert place.is_relative_to(tmp_path / "installed")
        assert {path.name for path in (root / source).glob("*.*")} <= {path.name for path in place.iterdir()}
    (scripts,) = (tmp_path / "installed").glob("*.dist-info/entry_points.txt")
    assert "bloomlab = bloomlab.cli:main" in scripts.read_text()
