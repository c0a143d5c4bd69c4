"""A linear probe reads what is there, and nothing where nothing is."""

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.lens.probe import probe

LABELS = ["a", "b", "c"] * 40
TRIED = [number % 4 == 0 for number in range(120)]


def states(signal: float) -> torch.Tensor:
    """(layer, text, pos, hidden): the label stands at the second place, `signal` strong, in the second layer only."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 120, 3, 8, generator=generator)
    for text, label in enumerate(LABELS):
        drawn[1, text, 1, "abc".index(label)] += signal
    return drawn


def test_a_probe_reads_the_label_where_it_stands_and_nowhere_else() -> None:
    shares = probe(states(8.0), LABELS, TRIED)
    assert shares.shape == (2, 3)
    assert shares[1, 1] == 1
    others = torch.cat([shares[0], shares[1, [0, 2]]])
    assert others.max() < 0.7  # chance is a third


def test_a_probe_that_is_tried_on_other_labels_fails() -> None:
    shuffled = [LABELS[(number + 1) % 3] if tried else LABELS[number] for number, tried in enumerate(TRIED)]
    assert probe(states(8.0), LABELS, TRIED)[1, 1] > 0.9 > 0.5 > probe(states(8.0), shuffled, TRIED)[1, 1]


@pytest.mark.parametrize(
    ("labels", "tried", "says"),
    [
        (LABELS[:5], TRIED, "5 labels"),
        (LABELS, TRIED[:5], "5 yes or no"),
        (LABELS, [True] * 120, "120 of 120 are tried"),
        (LABELS, [False] * 120, "0 of 120 are tried"),
    ],
)
def test_texts_without_labels_or_nothing_to_try_on_are_refused(labels: list[str], tried: list[bool], says: str) -> None:
    with pytest.raises(InputError, match=says):
        probe(states(1.0), labels, tried)
