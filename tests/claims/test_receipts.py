"""What `python -m tests.claims.receipts` prints of the story of Oslo, and beside what is not written here."""

import re

import pytest

import bloomlab
from bloomlab.lab import Lab
from tests.claims import receipts


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


def test_the_figures_of_the_story_of_oslo(lab: Lab) -> None:
    raw, above, sydney, look, why = receipts.oslo(lab)
    assert "16.889: MLP 3 +7.58, head 3.4 +2.23" in raw  # most of the raw logit says: a city
    assert "17.855: MLP 3 +7.45, head 3.4 +2.14, head 3.5 +1.77" in above
    assert "4.970: head 3.5 +1.80, MLP 3 +1.59, head 3.4 +0.88" in sydney  # which of the two heads comes first turns
    assert ": 8.943; against the first" in look and "5.96, of which MLP 0 in the key gives 3.87" in why


@pytest.mark.slow
def test_beside_the_file_of_the_checkpoint_and_captum_there_is_only_rounding(lab: Lab) -> None:
    *lines, residue = receipts.by_hand(lab)
    misses = [float(re.findall(r"difference (\S+) nats", line)[0]) for line in lines]
    assert len(misses) == 4 and misses[0] < 1e-6 and max(misses) < 2e-5
    assert float(re.findall(r"residue (\S+)%", residue)[0]) <= 0.5
