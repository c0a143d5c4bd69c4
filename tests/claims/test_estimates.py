"""The table of how far estimates can be trusted says what the maps say."""

import pytest

from bloomlab import load
from tests.claims.estimates import agreements, pairs


@pytest.mark.slow
def test_where_the_story_is_told_again_the_plain_estimate_misses_and_the_integrated_one_less() -> None:
    lab = load()
    kinds = pairs(lab, 2)
    assert all(text != other and text.count(answer) == 1 for some in kinds.values() for text, other, answer in some)
    plain, integrated = (
        agreements(lab, kinds["told or not"], "stream", "enough", form) for form in ("plain", "integrated")
    )
    assert len(plain) == len(integrated) == 2
    assert min(one.miss for one in plain) > 0.8 > 0.5 > max(one.miss for one in integrated)
    assert max(one.pearson for one in plain) < 0.8 < 0.9 < min(one.pearson for one in integrated)
