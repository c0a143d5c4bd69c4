"""Where transformers 5 surprises and bloomlab does not; docs/departures.md lists all such places."""

from pathlib import Path

import pytest
import torch
import transformers

import bloomlab
from tests.parity.pairs import make_batch, make_pair
from tests.text.small_tokenizer import hub_folder


def test_a_head_mask_has_an_effect_here_and_is_swallowed_there() -> None:
    ours, theirs = make_pair()
    ids, _ = make_batch(left=())
    off = {"head_mask": torch.zeros(8)}
    assert theirs(ids, **off).logits.equal(theirs(ids).logits)
    assert not ours(ids, **off).logits.allclose(ours(ids).logits, atol=0.1)


def test_a_prefix_space_is_put_before_every_piece_here_and_nowhere_there(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path)
    (folder / "config.json").write_text('{"model_type": "bloom"}')
    asked = {"add_prefix_space": True}
    assert transformers.AutoTokenizer.from_pretrained(folder, **asked).tokenize("a.b") == ["a", ".", "b"]
    assert bloomlab.AutoTokenizer.from_pretrained(folder, **asked).tokenize("a.b") == list("ĠaĠ.Ġb")


@pytest.mark.slow
def test_sampling_draws_among_all_tokens_unless_told_otherwise() -> None:
    ours, theirs = make_pair()
    ids, _ = make_batch(left=())
    draws = {"do_sample": True, "temperature": 50.0, "max_new_tokens": 1, "eos_token_id": None}
    many = ids[:1].expand(3000, -1)
    assert len(set(ours.generate(many, seed=0, **draws)[:, -1].tolist())) > 90  # of 101
    torch.manual_seed(0)
    assert len(set(theirs.generate(many, pad_token_id=3, **draws)[:, -1].tolist())) == 50
