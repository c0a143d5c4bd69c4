"""Every sentence that is said of the model stands beside a measurement, and could have been refuted by it."""

from collections.abc import Iterator

import pytest

from bloomlab import Lab, load
from tests.claims import page
from tests.claims.claim import ROOT, plain, prose
from tests.claims.every import CLAIMS

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


def test_the_page_of_claims_is_what_was_measured(lab: Lab) -> None:
    """Numbers may differ in their last digit from machine to machine; words may not."""
    shown = page.PAGE.read_text(encoding="utf-8")
    made = page.page(lab)
    assert page.words(shown) == page.words(made), "run `make claims-page`, which writes docs/claims.md anew"
    for before, now in zip(page.digits(shown), page.digits(made), strict=True):
        assert now == pytest.approx(before, rel=0.05, abs=0.02)
