"""A whole folder, model and tokenizer, goes from bloomlab to transformers' Auto classes and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import bloomlab
from bloomlab.config import BloomConfig
from tests.parity.pairs import randomise
from tests.text.small_tokenizer import TEXTS, hub_folder

transformers.utils.logging.disable_progress_bar()

HEADS = {
    "BloomModel": "AutoModel",
    "BloomForCausalLM": "AutoModelForCausalLM",
    "BloomForSequenceClassification": "AutoModelForSequenceClassification",
    "BloomForTokenClassification": "AutoModelForTokenClassification",
    "BloomForQuestionAnswering": "AutoModelForQuestionAnswering",
}
SIZES: dict[str, Any] = {"vocab_size": 424, "hidden_size": 48, "n_layer": 2, "n_head": 6, "pad_token_id": 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_the_auto_classes_open_what_we_save_and_we_open_what_they_save(name: str, tmp_path: Path) -> None:
    ours = getattr(bloomlab, name)(BloomConfig(**SIZES, num_labels=3)).eval()
    randomise(ours)
    ours.save_pretrained(tmp_path / "ours")
    bloomlab.BloomTokenizerFast.from_pretrained(hub_folder(tmp_path)).save_pretrained(tmp_path / "ours")

    theirs = getattr(transformers, HEADS[name]).from_pretrained(tmp_path / "ours").eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert type(theirs).__name__ == name
    theirs.save_pretrained(tmp_path / "theirs")
    their_tokenizer.save_pretrained(tmp_path / "theirs")
    again = getattr(bloomlab, name).from_pretrained(tmp_path / "theirs")
    tokenizer = bloomlab.AutoTokenizer.from_pretrained(tmp_path / "theirs")

    mine, reference = (t(TEXTS[2:], padding=True, return_tensors="pt") for t in (tokenizer, their_tokenizer))
    real = mine["attention_mask"].bool()
    assert mine["input_ids"].equal(reference["input_ids"]) and real.equal(reference["attention_mask"].bool())
    with torch.no_grad():
        outputs = [model(**mine)[0] for model in (ours, theirs, again)]
    first, second, third = (out if name.endswith("SequenceClassification") else out[real] for out in outputs)
    torch.testing.assert_close(first, second, atol=2e-5, rtol=0)
    torch.testing.assert_close(first, third, atol=0, rtol=0)
    assert again.config.id2label == theirs.config.id2label == ours.config.id2label
