"""What was measured of an effect shows itself as a readable table, and any text in it stays a text."""

import re
import sys
from types import ModuleType

import pytest

from bloomlab.errors import MissingPackageError
from bloomlab.lens.refute import HEADS, TEXTS, Control, Refutation
from bloomlab.views.evidence import Evidence

STAMP = "tiny · weights 0123 · float32"


def evidence(text: str = "Leo") -> Evidence[Refutation]:
    controls = (Control(HEADS, "head 2", 0.1, 0.2), Control(TEXTS, text, 0.1, 0.9))
    return Evidence(Refutation(f"copied({text!r})", "probability", text, text, 0.1, 0.8, controls), STAMP)


def test_a_terminal_shows_the_sentence_and_a_line_for_each_row() -> None:
    lines = repr(evidence()).splitlines()
    assert lines[0] == evidence().sentence and "0.100 → 0.800" in lines[0] and len(lines) == 2 + 3
    assert lines[3].split() == ["other", "heads", "1", "0.200", "0.200", "0.200", "0.100"]


def test_a_page_shows_the_same_numbers() -> None:
    page = evidence()._repr_html_()
    assert (
        re.findall(r"<bdi>(0\.\d+)</bdi>", page)
        == "0.800 0.700 0.200 0.200 0.200 0.100 0.900 0.900 0.900 0.800".split()
    )
    assert STAMP in page and evidence()._repr_mimebundle_() == {"text/plain": repr(evidence()), "text/html": page}


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</table><script>", "القطة", "a\u202eb", "\x00"])
def test_a_text_stays_a_text(text: str) -> None:
    page = evidence(text)._repr_html_()
    tags = "div table caption thead tbody tr th td bdi p small".split()
    assert set(re.findall(r"</?(\w+)", page)) <= {*tags}
    assert not {"\u202e", "\x00"} & {*page, *repr(evidence(text))}


def test_pandas_gets_every_run_and_without_it_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match="needs pandas"):
        evidence().to_pandas()
    stand_in = ModuleType("pandas")
    stand_in.DataFrame = list  # type: ignore[attr-defined]  # a stand-in: pandas is not installed here
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    rows = evidence().to_pandas()
    assert [row["name"] for row in rows] == ["copied('Leo')", "head 2", "Leo"] and rows[1]["change"] == 0.2 - 0.1
