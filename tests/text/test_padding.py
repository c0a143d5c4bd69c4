"""Rows that were encoded before, padded to one width; tests/parity compares with transformers."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from bloomlab.errors import InputError
from tests.tiny_random import byte_tokenizer

TOKENIZER = byte_tokenizer()


def test_a_data_loader_pads_with_it_and_labels_come_along() -> None:
    examples = [{**TOKENIZER(text), "labels": i} for i, text in enumerate(["a", "abc", "ab", "abcd"])]
    batches = list(DataLoader(examples, batch_size=2, collate_fn=lambda rows: TOKENIZER.pad(rows, return_tensors="pt")))
    assert [batch["input_ids"].shape for batch in batches] == [(2, 3), (2, 4)]
    assert batches[0]["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]] and batches[1].labels.tolist() == [2, 3]
    assert batches[0]["input_ids"].tolist()[0][:2] == [TOKENIZER.pad_token_id] * 2


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_tensors_stay_tensors(kind: str) -> None:
    rows = [TOKENIZER([text], return_tensors=kind)["input_ids"][0] for text in ("a", "abc")]
    out = TOKENIZER.pad({"input_ids": rows})
    assert isinstance(out["input_ids"], torch.Tensor if kind == "pt" else np.ndarray)
    assert out["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]


def test_what_makes_no_batch_is_refused_in_words() -> None:
    rows = [TOKENIZER("a"), TOKENIZER("abc")]
    for given, options, why in (
        ([{"ids": [1]}], {}, "expected encodings with input_ids"),
        ("abc", {}, "expected encodings, as the tokenizer returns them"),
        ([rows[0], {"input_ids": [1]}], {}, "every example must have 'attention_mask'"),
        (rows, {"padding": False, "return_tensors": "pt"}, "input_ids makes no tensor"),
        ([{**rows[0], "labels": [1]}, {**rows[1], "labels": [1, 2, 3]}], {"return_tensors": "pt"}, "labels makes no"),
        (rows, {"padding": "max_length"}, "needs max_length"),
        (rows, {"padding": "wide"}, "padding must be"),
        (rows, {"padding_side": "top"}, "padding_side must be"),
        (rows, {"return_tensors": "tf"}, "return_tensors must be"),
    ):
        with pytest.raises(InputError, match=why):
            TOKENIZER.pad(given, **options)
