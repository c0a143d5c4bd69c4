"""Every sentence that is said of the model stands beside a measurement, and could have been refuted by it."""

from collections.abc import Iterator

import pytest

from bloomlab import Lab, load
from bloomlab.hooks import in_order
from bloomlab.lens.cases import of_texts
from bloomlab.lens.findings import Finding, as_data
from tests.claims import page
from tests.claims.claim import ROOT, plain, prose
from tests.claims.every import CLAIMS
from tests.claims.kept import FINDINGS, FOLDER, checked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.* not in the files, so made new at random")]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    yield load()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_sentence_is_true_and_its_opposite_is_not(name: str, lab: Lab) -> None:
    claim = CLAIMS[name]
    for file in claim.said_in:
        assert plain(claim.sentence) in prose(ROOT / file), f"{file} does not say: {claim.sentence}"
    value, control = claim.measured(lab)
    page.remember(name, value, control)
    assert claim.holds(value, control), (
        f"not true: {claim.sentence}\n{claim.value}: {value}\n{claim.control}: {control}"
    )
    assert not claim.holds(control, value), f"says nothing: it also holds with value and control exchanged; {name}"


@pytest.mark.parametrize("name", FINDINGS)
def test_a_claim_that_is_a_finding_is_in_its_file_and_holds(name: str, lab: Lab) -> None:
    """What the file asks is what the claim asks, and the numbers are as they were."""
    kept = Finding.read(FOLDER / f"{name}.json")
    claim, asked = FINDINGS[name]
    wants = asked(lab)
    assert kept.claim == claim and any(name in one.findings for one in CLAIMS.values())
    assert kept.texts == of_texts(wants["texts"]) and kept.request == kept.request | {
        part: wants[part] for part in ("text", "metric", "answer", "n", "everywhere")
    }
    data = {spot: [as_data(edit) for edit in in_order(spot, edits)] for spot, edits in wants["edit"].items()}
    assert {spot: [as_data(edit) for edit in edits] for spot, edits in kept.edit.items()} == data
    assert checked(lab, name), checked(lab, name).sentence


def test_every_file_of_a_finding_is_a_claim_s() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*FINDINGS}


def test_the_page_of_claims_is_what_was_measured(lab: Lab) -> None:
    """Numbers may differ in their last digit from machine to machine; words may not."""
    shown = page.PAGE.read_text(encoding="utf-8")
    made = page.page(lab)
    assert page.words(shown) == page.words(made), "run `make claims-page`, which writes docs/claims.md anew"
    for before, now in zip(page.digits(shown), page.digits(made), strict=True):
        assert now == pytest.approx(before, rel=0.05, abs=0.02)
