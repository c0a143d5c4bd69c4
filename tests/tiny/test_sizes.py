"""The three sizes: what ships is what was measured, and a training is held to it."""

import json

import pytest
import torch

from bloomlab.config import BloomConfig
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder, sizes
from bloomlab.tiny.from_nothing import LENGTH, ids_of
from bloomlab.tiny.measure import loss, validation_rows

KEPT = sizes.kept()


def test_every_width_was_trained_from_every_start_and_is_as_large_as_it_says() -> None:
    many = [(run["width"], run["seed"]) for run in KEPT if run["read"] == "many"]
    assert sorted(many) == [(width, seed) for width in sizes.WIDTHS for seed in sizes.SEEDS]
    assert [run["width"] for run in KEPT if run["read"] == "few"] == list(sizes.WIDTHS)
    for run in KEPT:
        config = BloomConfig(vocab_size=3072, hidden_size=run["width"], n_layer=2, n_head=4)
        assert run["parameters"] == config.parameter_count()
        assert len(run["held"]) == len(run["learned"]) == len(run["step"])


def test_what_was_kept_reaches_its_floors_and_what_learned_nothing_does_not() -> None:
    floors = sizes.floors(KEPT, KEPT)
    assert all(floors) and len(floors) == 2 * len(sizes.WIDTHS)
    worse = json.loads(json.dumps(KEPT))
    for run in worse:
        run["held"][-1] = 8.0 if run["read"] == "many" else run["learned"][-1]
    assert not any(sizes.floors(worse, KEPT))


@pytest.mark.slow
def test_the_model_that_ships_is_the_one_that_was_measured() -> None:
    """And the twenty texts, the held-out ones and the losses are those of its training."""
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    model = sizes.by_heart()
    (run,) = [run for run in KEPT if run["read"] == "few" and run["width"] == sizes.WIDTHS[1]]
    assert model.config.hidden_size == run["width"]
    read = ids_of(sizes.texts(sizes.FEW), tokenizer).unfold(0, LENGTH, LENGTH)
    assert loss(model, read) == pytest.approx(run["learned"][-1], abs=0.02)
    held_out = validation_rows(tokenizer, LENGTH, sizes.ROWS)
    assert loss(model, held_out) == pytest.approx(run["held"][-1], abs=0.1)


def test_a_model_that_has_read_nothing_depends_on_its_start_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (sizes.new_model(8, seed, 300).state_dict() for seed in (0, 0, 1))
    assert torch.rand(1).equal(expected)
    name = "transformer.word_embeddings.weight"
    assert first[name].equal(again[name]) and not first[name].equal(other[name])


@pytest.mark.slow
def test_a_training_of_few_texts_learns_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "STEPS", {"many": 10, "few": 10})
    monkeypatch.setattr(sizes, "MEASURED", {"few": (1, 10)})
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    stream = ids_of(sizes.texts(20), tokenizer)
    run = sizes.train(sizes.new_model(8, 0), stream, stream[:512].reshape(-1, LENGTH), 0, "few")
    assert run["step"] == [1, 10] and run["learned"][1] < run["learned"][0] and run["parameters"] == 26_352
