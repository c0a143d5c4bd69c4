"""The class table: thirty people hand in, some of them hostile files."""

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bloomlab.checks.class_table import MOST_FILES, class_of, near
from bloomlab.checks.handin import FORMAT
from bloomlab.cli import main
from bloomlab.errors import InputError

EASY, HARD = "02b downhill", "03 attention"
COLUMNS = "the probabilities add up to 1 over the queries, not over the keys"
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>$\\frac{"


def a_person(number: int) -> dict[str, Any]:
    """All do the easy exercise, at the first try or the second; every third one does the hard one, at the third."""
    rng = random.Random(number)
    tries = [(EASY, False, "uphill")] * (number % 2) + [(EASY, True, "that is all")]
    tries += [(HARD, False, COLUMNS), (HARD, False, rng.choice([COLUMNS, "NaN"]))]
    tries += [(HARD, True, "well")] if number % 3 == 0 else []
    keys = ("exercise", "done", "says")
    guess = {"question": "How many?", "seconds": 5, "prediction": "7" if number % 5 else "500", "answer": "500"}
    return {
        "format": FORMAT,
        "name": f"Person {number:02}",
        "began": "2026-11-30 09:00",
        "tries": [
            {**dict(zip(keys, one, strict=True)), "seconds": 60 * i, "answer": "def f(): …"}
            for i, one in enumerate(tries)
        ],
        "guesses": [guess],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(30):
        (tmp_path / f"p{number}.json").write_text(json.dumps(a_person(number)), encoding="utf-8")
    return tmp_path


def test_thirty_hand_ins_make_a_table_that_says_where_the_class_stumbled(folder: Path) -> None:
    table = class_of(folder)
    assert [one.name for one in table.people] == [f"Person {number:02}" for number in range(30)]
    assert table.refused == () and table.exercises() == [EASY, HARD]
    cells = [table.cell(person, HARD) for person in table.people]
    assert cells == ["2" if number % 3 else "✓ 3" for number in range(30)]
    hard, easy = table.stumbles()
    assert (hard.exercise, hard.done, hard.tried, hard.tries, hard.said) == (HARD, 10, 30, 2, (COLUMNS, 30))
    assert (easy.exercise, easy.done, easy.tries, easy.said) == (EASY, 30, 1.5, ("uphill", 15))
    assert hard.minutes == 1
    [guess] = table.surprises()
    assert (guess.near, guess.guessed, guess.wrong) == (6, 30, ("7", 24))


def test_the_table_prints_in_lines_of_the_same_columns(folder: Path) -> None:
    lines = repr(class_of(folder)).splitlines()
    assert lines[0].split() == [*EASY.split(), *HARD.split()]
    assert lines[1].split() == ["Person", "00", "✓", "1", "✓", "3"] and lines[2].split() == [
        "Person",
        "01",
        "✓",
        "2",
        "2",
    ]
    assert f"{HARD}: 10 of 30 done, 2 tries; to 30 its check said: {COLUMNS!r}" in "\n".join(lines)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_hostile_hand_ins_are_text_in_the_page_or_named_with_the_reason(folder: Path) -> None:
    evil = a_person(31)
    evil["name"] = EVIL[:80]
    evil["tries"][0] |= {"exercise": EVIL[:80], "says": EVIL, "answer": EVIL}
    evil["guesses"][0] |= {"question": EVIL, "prediction": EVIL, "answer": EVIL}
    (folder / "evil.json").write_text(json.dumps(evil), encoding="utf-8")
    for name, content in {"big": b"x" * 6_000_000, "deep": b"[" * 100_000, "none": b"{}", EVIL[:8] + "b": b"7"}.items():
        (folder / f"{name.replace('/', '')}.json").write_bytes(content)
    (folder / "sub.json").mkdir()
    table = class_of(folder)
    assert len(table.people) == 31 and len(table.refused) == 5
    page = table.save(folder / "class.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    assert {tag for tag, _ in tags.found} <= set(
        "html head meta title style body h1 h2 p div table tr th td svg path rect text".split()
    )
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert [tag for tag, _ in tags.found].count("svg") == 2
    assert "default-src 'none'" in page and "&lt;script&gt;alert(1)" in page
    assert max(map(len, repr(table).splitlines())) < 500


def test_a_folder_without_hand_ins_or_with_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder of hand-ins"):
        class_of(tmp_path / "missing")
    with pytest.raises(InputError, match="but there are 0"):
        class_of(tmp_path)
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(InputError, match=f"but there are {MOST_FILES + 1}"):
        class_of(tmp_path)


def test_a_page_has_a_name_that_a_browser_opens(folder: Path) -> None:
    with pytest.raises(InputError, match=r"saved as \.html"):
        class_of(folder).save(folder / "class.pdf")


def test_the_command_prints_the_table_and_writes_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["class", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "30 people" in said and said.rstrip().endswith(str(folder / "class.html"))
    assert re.search(r"<h1>30 people</h1>", (folder / "class.html").read_text(encoding="utf-8"))
    assert main(["class", str(folder / "missing")]) == 2


@pytest.mark.parametrize(
    ("prediction", "answer", "is_near"),
    [
        ("0,5", "5", True),  # a comma stands between thousands here; a guess is only counted, not marked
        ("47", "45", True),
        ("40", "45", False),
        ("-1", "1", False),
        ("no", "yes", False),
        ("", "", False),
        ("1e999", "5", False),
        ("...", "5", False),
    ],
)
def test_a_guess_is_near_or_not(prediction: str, answer: str, is_near: bool) -> None:
    assert near(prediction, answer) is is_near
