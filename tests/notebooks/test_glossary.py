"""No lesson uses a word of the glossary before the course has explained it."""

import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb"))
ROWS = re.findall(
    r"^\| (.+?) \| (\d\d[a-z]?) \| (.+?) \|$", (FOLDER / "GLOSSARY.md").read_text(encoding="utf-8"), re.MULTILINE
)
# what lies ahead, and where: a list of goals, what a lesson needs, a link to another lesson with its title
AHEAD = re.compile(
    r"^(?:#.*|\d\. .*|\d+ minutes · .*|.*\*\*Next:\*\*.*)$|\[[^\]]*\]\([^)]*\)|`[^`]*`|(?:arrow|Tab) keys?",
    re.MULTILINE,
)


def cells() -> list[tuple[str, str]]:
    """The pages of the course in their order: the lesson's number, and what is to be read."""
    found = []
    for path in LESSONS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                found.append((path.name.split("_")[0], AHEAD.sub(" ", cell.source)))
    return found


CELLS = cells()


def uses(word: str, text: str) -> bool:
    return (
        re.search(rf"(?<![\w-]){re.escape(word)}s?(?![\w-])", text, 0 if word.isupper() else re.IGNORECASE) is not None
    )


def explains(word: str, text: str) -> bool:
    """A word that is explained stands out."""
    return re.search(rf"\*{{1,2}}{re.escape(word)}s?\*{{1,2}}", text, re.IGNORECASE) is not None


def test_the_glossary_has_the_words_that_the_course_rests_on() -> None:
    words = [word for word, _, _ in ROWS]
    assert len(words) == len(set(words)) > 25
    assert {"state", "layer", "head", "spot", "edit", "circuit", "transformer"} <= set(words)
    assert [lesson for _, lesson, _ in ROWS] == sorted(lesson for _, lesson, _ in ROWS)


@pytest.mark.parametrize(("word", "lesson"), [(word, lesson) for word, lesson, _ in ROWS])
def test_a_word_is_explained_where_it_is_used_first(word: str, lesson: str) -> None:
    first = next(place for place, (_, text) in enumerate(CELLS) if uses(word, text))
    where, text = CELLS[first]
    assert (where, explains(word, text)) == (lesson, True), f"{word}: first used in {where}: …{text[:300]}"
