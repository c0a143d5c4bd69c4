"""What a lesson keeps of what a person does, and the one file that is handed in."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bloomlab import checks
from bloomlab.checks import covers, guesses, handin, record, verdict
from bloomlab.checks.handin import FORMAT, MOST_BYTES, Handin, clean, file_name
from bloomlab.checks.record import LONGEST, MOST, Session
from bloomlab.errors import InputError


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """A lesson that begins now."""
    begun = Session()
    for module in (covers, guesses, record, verdict):
        monkeypatch.setattr(module, "SESSION", begun)
    return begun


def good() -> dict[str, Any]:
    """What a file holds."""
    tried = {"exercise": "04 half_weight", "seconds": 3.5, "done": False, "says": "flatter", "answer": "0.25"}
    guessed = {"question": "How many?", "seconds": 1, "prediction": "7", "answer": "5"}
    return {"format": FORMAT, "name": "Leo", "began": "2026-11-30 09:00", "tries": [tried], "guesses": [guessed]}


def written(path: Path, found: Any) -> Path:
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_each_try_is_kept_with_its_answer_and_what_was_said_and_three_dots_are_none(session: Session) -> None:
    def downhill(w: float, gradient: float, rate: float) -> float:
        return w + rate * gradient

    checks.half_weight(11, ...)
    checks.half_weight(11, "0.5")
    checks.half_weight(11, 0.25)
    checks.half_weight(11, 0.063)
    checks.downhill(downhill)
    assert [(one.exercise, one.done) for one in session.tries] == [
        ("04 half_weight", False),
        ("04 half_weight", False),
        ("04 half_weight", True),
        ("02b downhill", False),
    ]
    assert [one.answer for one in session.tries[:3]] == ["'0.5'", "0.25", "0.063"]
    assert "return w + rate * gradient" in session.tries[3].answer and "uphill" in session.tries[3].says
    seconds = [one.seconds for one in session.tries]
    assert seconds == sorted(seconds) and 0 <= seconds[0] < 60


def test_a_guess_is_kept_when_its_answer_is_shown_and_only_the_first(session: Session) -> None:
    cover = checks.cover("How many?", 5)
    assert session.guesses == []
    cover.prediction = "7"
    assert session.guesses == []
    cover.revealed = True
    cover.revealed = False
    cover.prediction, cover.revealed = "5", True
    assert [(one.question, one.prediction, one.answer) for one in session.guesses] == [("How many?", "7", "5")]
    checks.cover("Is it?", True).revealed = True  # nobody guessed
    assert len(session.guesses) == 1


def test_what_is_kept_is_bounded_whatever_is_answered(session: Session) -> None:
    class Loud:
        def __repr__(self) -> str:
            raise RuntimeError

    assert record.written(Loud()) == "a Loud" and len(record.written("x" * 9999)) == LONGEST
    for _ in range(MOST + 5):
        checks.half_weight(11, 0.5)
        session.guessed("q" * 9999, "p" * 9999, "a")
    assert len(session.tries) == MOST and len(session.guesses) == 1
    for number in range(MOST):
        session.guessed(str(number), "p", "a")
    assert len(session.guesses) == MOST
    assert len(session.guesses[0].question) == len(session.guesses[0].prediction) == LONGEST


def test_a_report_with_a_name_is_one_file_that_is_read_as_it_was_written(session: Session, tmp_path: Path) -> None:
    checks.half_weight(11, 0.063)
    cover = checks.cover("How many?", 5)
    cover.prediction, cover.revealed = "7", True
    report = checks.report(name="  Zoë   O'Neil ", to=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["zoe-o-neil.json"]
    assert "1 exercises done in 1 tries, 1 guesses" in repr(report) and "went nowhere" in repr(report)
    read = Handin.read(report.path)
    assert read == report.handin and read.name == "Zoë O'Neil"
    kept = json.loads(report.path.read_text(encoding="utf-8"))
    assert kept.keys() == {"format", "name", "began", "tries", "guesses"}, "nothing else leaves the machine"
    assert str(Path.home()) not in report.path.read_text(encoding="utf-8")


def test_a_report_needs_a_name_and_a_folder(session: Session, tmp_path: Path) -> None:
    for name in ("", "   ", "x" * 81):
        with pytest.raises(InputError, match=r'checks.report\(name="Leo"\)'):
            checks.report(name=name, to=tmp_path)
    with pytest.raises(InputError, match="says whose it is"):
        checks.report()  # type: ignore[call-overload]
    with pytest.raises(InputError):
        checks.report(name="Leo", to=tmp_path / "missing")


def test_a_file_name_leads_nowhere_else() -> None:
    for name in ("../../etc/passwd", "/root", "a\\b", "..", "con: x", "\u202egpj", "a" * 300):
        made = file_name(name)
        assert made == Path(made).name and made.endswith(".json") and len(made) <= 65 and not made.startswith(".")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "other"}, "not a hand-in"),
        ({"name": 7}, "a text of at most 80 characters as 'name'"),
        ({"name": "x" * 81}, "a text of at most 80"),
        ({"tries": {}}, "at most 500 tries"),
        ({"tries": [[]] * 3}, "at most 500 tries"),
        ({"tries": [good()["tries"][0]] * (MOST + 1)}, "at most 500 tries"),
        ({"tries": [{"exercise": "04 half_weight"}]}, "expected seconds"),
        ({"tries": [good()["tries"][0] | {"answer": "x" * (LONGEST + 1)}]}, "as 'answer'"),
        ({"guesses": [good()["guesses"][0] | {"seconds": "soon"}]}, "expected seconds"),
        ({"guesses": [good()["guesses"][0] | {"seconds": True}]}, "expected seconds"),
        ({"guesses": [good()["guesses"][0] | {"question": None}]}, "as 'question'"),
    ],
)
def test_what_is_no_hand_in_is_refused_in_one_sentence(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    assert Handin.read(written(tmp_path / "good.json", good())).name == "Leo"
    with pytest.raises(InputError, match=says):
        Handin.read(written(tmp_path / "a.json", good() | change))


def test_what_is_no_json_too_large_or_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"", b"{", b"[]", b"\xff\xfe", b'{"format": NaN}', b"[" * 5000, b'"' + b"x" * MOST_BYTES + b'"'):
        path.write_bytes(content)
        with pytest.raises(InputError):
            Handin.read(path)
    os.symlink(written(tmp_path / "good.json", good()), tmp_path / "link.json")
    with pytest.raises(InputError, match="is a link"):
        Handin.read(tmp_path / "link.json")


def test_a_text_steers_no_terminal_and_a_time_is_one(tmp_path: Path) -> None:
    evil = good() | {"name": "Le\x1b[2Jo\n\u202e\x00"}
    evil["tries"][0] |= {"seconds": -1e300, "says": "a\x9bb\nc"}
    evil["guesses"][0] |= {"seconds": 10**400}
    read = Handin.read(written(tmp_path / "a.json", evil))
    assert read.name == "Le[2Jo" and read.tries[0].says == "ab\nc"
    assert read.tries[0].seconds == 0 and read.guesses[0].seconds == handin.A_WEEK
    assert clean("狮子 🦁") == "狮子 🦁"
