"""docs/ecosystem.md names a test for each row that is said to be tested, and that test is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ecosystem.md").read_text(encoding="utf-8")


def test_every_row_names_a_test_that_is_there_or_says_that_it_was_tried_once() -> None:
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    for row in rows:
        if len(row) < 3:
            assert "tried once" in row[1], row
            continue
        file, name = re.fullmatch(r"(tests/\S+\.py)(?:: `(\w+)`)?", row[2]).groups()
        text = (ROOT / file).read_text(encoding="utf-8")
        assert name is None or f"def {name}(" in text, f"{file} has no {name}"
