"""Every result that is a table is a table of pandas, too; its columns are plain data."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import bloomlab
from bloomlab.errors import MissingPackageError
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero

TEXT = "Leo lives in Oslo. Leo lives in"
LAB = bloomlab.load()
EDIT = {"h.3.attn.mixed": zero(head=4)}
TABLES: dict[str, Callable[[Lab], Any]] = {
    "tokens": lambda lab: lab.tokens(TEXT),
    "lens": lambda lab: lab.lens(TEXT),
    "ablate": lambda lab: lab.ablate(TEXT, "h.3.attn.mixed", head=4),
    "ablate in texts": lambda lab: lab.ablate(TEXT, "h.3.attn.mixed", head=4, texts=lab.like(TEXT, 3)),
    "receipt": lambda lab: lab.receipt(TEXT),
    "attribution": lambda lab: lab.attribution(TEXT),
    "effects": lambda lab: lab.effects(TEXT, TEXT.replace("Oslo", "Lima"), exact=0),
    "refute": lambda lab: lab.refute(TEXT, EDIT, n=2),
    "keep": lambda lab: lab.keep(TEXT, ["3.4"]),
    "without": lambda lab: lab.without(TEXT, ["3.4"]),
    "like": lambda lab: lab.like(TEXT, 3),
    "classify": lambda lab: lab.classify(TEXT),
    "tag": lambda lab: lab.tag(TEXT),
    "answer": lambda lab: lab.answer("Where does Leo live?", TEXT),
    "models": lambda lab: bloomlab.models(),
}


def rows_of(table: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    stand_in = ModuleType("pandas")
    stand_in.DataFrame = lambda rows: rows  # type: ignore[attr-defined]  # what it would be given
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    given = table.to_pandas()
    if isinstance(given, dict):  # columns by name
        assert len({len(column) for column in given.values()}) == 1
        given = [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]
    return list(given)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_one_of_pandas(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES[name](LAB)
    rows = rows_of(table, monkeypatch)
    assert rows and len({tuple(row) for row in rows}) == 1
    assert {type(value) for row in rows for value in row.values()} <= {str, int, float, bool, bytes, tuple, type(None)}
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="needs pandas, which is not installed"):
        table.to_pandas()


@pytest.mark.slow
def test_the_rows_are_what_the_table_shows() -> None:
    tokens, lens, tags = LAB.tokens(TEXT), LAB.lens(TEXT), LAB.tag(TEXT)
    assert [row["id"] for row in tokens.records()] == tokens.ids
    assert len(lens.records()) == len(lens) * len(tokens)
    last = lens.records()[-1]
    assert (last["p"], last["next"]) == (lens[-1].probs[-1, 0].item(), lens.words(-1, -1)[0])
    assert [row["tag"] for row in tags.records()] == list(tags.tags)
    assert LAB.classify(TEXT).records()[0]["label"] == LAB.classify(TEXT).label
