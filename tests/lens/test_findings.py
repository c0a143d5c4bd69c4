"""A finding is data: saved, read in another process and measured again, it says what moved; nothing else is read."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import BloomlabError, HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.lens.findings import EDITS, Finding, as_data, of_data
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import add, cut, patch, scale, zero

PLAIN = "Leo lives in Oslo. He has a cat. Let us say it cat. Leo lives in"
AGAIN = PLAIN.replace("it cat", "it again")
EDIT: Any = {"h.0.attn.mixed": copied(AGAIN, head=1, query=16)}
OTHER = Case(PLAIN.replace("Oslo", "Lima"), AGAIN.replace("Oslo", "Lima"), " Lima")


@pytest.fixture(scope="module")
def finding(lab: Lab) -> Finding:
    return lab.finding("Sixteen numbers switch copying on.", PLAIN, EDIT, "probability", " Oslo", texts=[OTHER], n=3)


@pytest.fixture(scope="module")
def saved(finding: Finding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finding.save(tmp_path_factory.mktemp("findings") / "sixteen.json")


@pytest.mark.slow
def test_a_saved_finding_holds_when_it_is_measured_again(finding: Finding, saved: Path) -> None:
    again = bloomlab.finding(saved)
    assert again.claim == finding.claim and again.request == finding.request and again.texts == [OTHER]
    assert again.found.controls == finding.found.controls and again.found.sentence == finding.found.sentence
    check = again.check()
    assert check.holds and not check.others and check.numbers == 2 + 2 * len(finding.found.controls)
    assert check.sentence == f"all {check.numbers} numbers are as they were, to 0.001."
    assert "Sixteen numbers switch copying on." in repr(again) and finding.provenance["weights"] in repr(again)


@pytest.mark.slow
def test_another_process_finds_the_same(saved: Path) -> None:
    code = f"import bloomlab; print(bloomlab.finding({str(saved)!r}).check(tolerance=1e-4))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("all ") and "as they were, to 0.0001" in run.stdout


@pytest.mark.slow
def test_with_one_weight_changed_it_says_what_moved(saved: Path) -> None:
    other = bloomlab.load()
    with torch.no_grad():
        other.model.transformer.h[1].self_attention.query_key_value.weight[5, 7] += 3.0
    check = bloomlab.finding(saved, other).check()
    assert not check.holds and f"of {check.numbers} numbers moved by more than 0.001" in check.sentence
    assert any("weights" in one for one in check.others) and "weights" in check.sentence
    then, now = check.moved[0][1:]
    assert all(abs(then - now) >= abs(a - b) for _, a, b in check.moved)


def test_a_number_that_was_made_up_is_found_out(saved: Path, tmp_path: Path) -> None:
    values = json.loads(saved.read_text())
    values["after"] += 0.05
    values["before"] -= 0.05
    values["controls"] += [["other heads", "head 99", 0.1, 0.2], [*values["controls"][0][:2], 0.3, 0.4]]
    values["controls"][1][2] += 0.05
    values["compared"][0] = " Lima"
    (tmp_path / "made_up.json").write_text(json.dumps(values))
    check = bloomlab.finding(tmp_path / "made_up.json").check()
    made_up = {"other heads: head 99", "random directions: random 0 (2)"}
    named = {"before", "after", "random directions: random 1, before", *made_up}
    assert {name for name, _, _ in check.moved} == named | {f"{name}, before" for name in made_up}
    assert any(one.startswith("compared (' Lima'") for one in check.others)


@pytest.mark.parametrize(
    "edit",
    [
        zero(),
        zero(head=1, query=[2, 3]),
        scale(0.5),
        add(2, pos=1),
        cut(key=3),
        usual(["Leo"], head=1),
        usual(["Leo"], "all"),
        drawn(["Leo", "Ana"], 3),
        copied("Leo", [1], pos=[2]),
        hold(pos=2),
        steer(["Leo", "Ana"], ["Mia"], -2.5, pos=3),
    ],
)
def test_an_edit_is_kept_as_data(edit: Any) -> None:
    again: Any = of_data(json.loads(json.dumps(as_data(edit))))
    assert repr(again) == repr(edit) and type(again) is type(edit) and again.where == edit.where


@pytest.mark.parametrize("edit", [patch(torch.zeros(1, 2)), add(torch.zeros(2)), lambda x, at: x, zero(pos=slice(2))])
def test_what_is_no_data_is_not_kept(lab: Lab, edit: Any) -> None:
    with pytest.raises(HookError, match="a finding"):
        as_data(edit)


MADE = dict.fromkeys(("model", "weights", "dtype", "code"), "")
HOSTILE: dict[str, Any] = {
    "no finding": {"bloomlab_finding": None},
    "a format of tomorrow": {"bloomlab_finding": 2},
    "a claim that is no text": {"claim": ["<script>"]},
    "an edit of its own": {"edit": {"h.0.mlp.out": [{"kind": "__import__", "where": {}}]}},
    "an edit with more": {"edit": {"h.0.mlp.out": [{"kind": "zero", "where": {}, "code": "print(1)"}]}},
    "an edit with a list for a name": {"edit": {"h.0.mlp.out": [{"kind": ["zero"], "where": {}}]}},
    "an edit that is none": {"edit": {"h.0.mlp.out": [3]}},
    "edits that are no list": {"edit": {"h.0.mlp.out": 3}},
    "no edits at all": {"edit": 3},
    "a negative axis": {"edit": {"h.0.mlp.out": [{"kind": "zero", "where": {"pos": -1}}]}},
    "an axis that is an argument": {"edit": {"h.0.mlp.out": [{"kind": "scale", "factor": 1, "where": {"factor": 2}}]}},
    "a huge axis": {"edit": {"h.0.mlp.out": [{"kind": "zero", "where": {"pos": 10**30}}]}},
    "a huge column": {
        "edit": {"h.0.mlp.out": [{"kind": "copied", "text": "a", "columns": 2**63, "where": {"pos": 1}}]}
    },
    "a number that is none": {"after": float("nan")},
    "a number beyond all bounds": {"after": 10**400},
    "a number that is a text": {"before": "<img src=x>"},
    "controls that are none": {"controls": [["a", "b"]]},
    "texts that are no texts": {"texts": [["Leo", 3, "", ""]]},
    "texts that are one text": {"texts": "Leo"},
    "half of a text": {"texts": [["Leo"]]},
    "a number of controls that is none": {"n": True},
    "a metric that is none": {"metric": {"a": 1}},
    "an answer that is a list": {"answer": [1]},
    "no provenance": {"provenance": 3},
    "versions that are no texts": {
        "provenance": {"model": "", "weights": "", "dtype": "", "code": "", "versions": [1]}
    },
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_no_finding_is_refused_in_one_sentence(saved: Path, tmp_path: Path, what: str) -> None:
    values = json.loads(saved.read_text()) | HOSTILE[what]
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="is not a finding that was saved") as caught:
        Finding.read(path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name", ["claim", "edit", "texts", "before", "controls", "provenance", "text", "n", "compared"]
)
def test_a_file_that_lacks_something_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    values = json.loads(saved.read_text())
    del values[name]
    (tmp_path / "part.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=f"it has no '{name}'"):
        Finding.read(tmp_path / "part.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "404", '{"a": ' * 50_000, '{"a": 1, "a": 2}', "\xff", "{" + " " * 2_000_001]
)
def test_a_file_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        Finding.read(tmp_path / "broken.json")
    with pytest.raises(InputError, match="there is none"):
        Finding.read(tmp_path / "absent.json")


@pytest.mark.slow
def test_what_a_file_asks_for_is_checked_by_the_lab(saved: Path, tmp_path: Path) -> None:
    for name, value in (
        ("n", 10**6),
        ("metric", "loss"),
        ("text", ""),
        ("edit", {}),
        ("answer", "Oslo"),
        ("text", "Leo"),
        ("seed", 10**30),
        ("edit", {"h.0.mlp.out": [{"kind": "scale", "factor": 10**400, "where": {}}]}),
    ):
        path = tmp_path / "asks.json"
        path.write_text(json.dumps(json.loads(saved.read_text()) | {name: value}))
        with pytest.raises(BloomlabError):
            bloomlab.finding(path).check()


def test_a_finding_that_would_not_be_read_is_not_written(finding: Finding, tmp_path: Path) -> None:
    large = copy.copy(finding)
    large.texts = [Case("x" * 100_000)] * 30
    with pytest.raises(InputError, match="at most 2,000,000 are read"):
        large.save(tmp_path / "large.json")
    with pytest.raises(InputError, match="cannot write"):
        finding.save(tmp_path / "no" / "such.json")
    assert not list(tmp_path.iterdir())


def test_every_edit_that_a_file_may_name_is_public() -> None:
    assert {name: function for name, (function, _) in EDITS.items()} == {
        name: getattr(bloomlab, name) for name in EDITS
    }


def test_a_finding_without_a_lab_says_so(saved: Path) -> None:
    with pytest.raises(InputError, match="no lab to measure with"):
        Finding.read(saved).check()
