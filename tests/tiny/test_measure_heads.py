"""The heads are measured by what they say, and a head that says nothing sensible scores nothing."""

from typing import Any

import pytest
import torch

from bloomlab.outputs import QuestionAnsweringModelOutput, SequenceClassifierOutputWithPast, TokenClassifierOutput
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.labelled import LABELS
from bloomlab.tiny.measure_heads import answer_exact_match, examples, language_accuracy, tag_f1, tagged


@pytest.fixture(scope="module")
def tokenizer() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


class Oracle:
    """A head that has seen the answers, except for every `miss`-th example."""

    def __init__(self, task: str, tokenizer: BloomTokenizerFast, count: int, miss: int = 0) -> None:
        self.task, self.miss, self.at = task, miss, 0
        self.batches = iter(examples(task, tokenizer, count, held=True, unseen=False))

    def __call__(self, **inputs: Any) -> Any:
        true = next(self.batches)
        wrong = torch.tensor(
            [bool(self.miss) and (self.at + i) % self.miss == 0 for i in range(len(true["input_ids"]))]
        )
        self.at += len(wrong)
        size = true["input_ids"].shape[1]
        if self.task == "answer":
            start = torch.where(wrong, 0, true["start_positions"])
            one = torch.nn.functional.one_hot
            ends = one(start, size).float(), one(true["end_positions"], size).float()
            return QuestionAnsweringModelOutput(start_logits=ends[0], end_logits=ends[1])
        labels = true["labels"].clamp(min=0)
        wrong = wrong if self.task == "language" else wrong[:, None]
        said = torch.where(wrong, (labels + 1) % len(LABELS[self.task]) if self.task == "language" else 0, labels)
        logits = torch.nn.functional.one_hot(said, len(LABELS[self.task])).float()
        kind = SequenceClassifierOutputWithPast if self.task == "language" else TokenClassifierOutput
        return kind(logits=logits)


@pytest.mark.slow
def test_a_head_that_is_always_right_scores_one(tokenizer: BloomTokenizerFast) -> None:
    language = language_accuracy(Oracle("language", tokenizer, 80), tokenizer, 80)  # type: ignore[arg-type]  # acts as one
    assert set(language.values()) == {1.0} and set(language) <= {"all", *LABELS["language"]}
    f1 = tag_f1(Oracle("tags", tokenizer, 30), tokenizer, 30)  # type: ignore[arg-type]  # acts as one
    assert set(f1.values()) == {1.0} and {"all", "PERSON"} <= set(f1)
    assert answer_exact_match(Oracle("answer", tokenizer, 30), tokenizer, 30) == 1.0  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_head_that_misses_every_fifth_scores_less(tokenizer: BloomTokenizerFast) -> None:
    language = language_accuracy(Oracle("language", tokenizer, 50, miss=5), tokenizer, 50)  # type: ignore[arg-type]
    assert language["all"] == pytest.approx(0.8)
    assert answer_exact_match(Oracle("answer", tokenizer, 50, miss=5), tokenizer, 50) == pytest.approx(0.8)  # type: ignore[arg-type]
    assert 0.8 < tag_f1(Oracle("tags", tokenizer, 50, miss=5), tokenizer, 50)["all"] < 0.95  # type: ignore[arg-type]


def test_a_word_is_tagged_as_its_last_token_is() -> None:
    starts = [True, False, True, True, False, False]
    assert tagged([1, 2, 0, 1, 2, 2], starts) == {(1, 2), (5, 2)}
    assert tagged([1, 0, 3, 3, 0, 0], starts) == {(0, 1), (2, 3), (3, 3)}
    assert tagged([0, 0], starts) == tagged([-100], starts) == tagged([], starts) == set()
