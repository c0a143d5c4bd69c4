"""The loss of a padded batch is that of its texts by themselves, whichever side the padding is on."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from tests.tiny_random import SIZES

PAD, OTHER = 3, 9  # padding may hold any id: here not the one that says so
TEXTS = [torch.tensor([5, 6, 7, 8, 9, 4]), torch.tensor([11, 5]), torch.tensor([6, 6, 7])]


def model_of(kind: type[Any], **changes: Any) -> Any:
    torch.manual_seed(0)
    model = kind(BloomConfig(**SIZES, num_labels=4, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def padded(rows: list[Tensor], side: str, fill: int) -> tuple[Tensor, Tensor]:
    """Rows of one width, and where they have tokens."""
    width = max(map(len, rows))
    filled, mask = torch.full((len(rows), width), fill), torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        filled[number, place], mask[number, place] = row, 1
    return filled, mask


def weighted(losses: list[Tensor], counts: list[int]) -> Tensor:
    return sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)  # type: ignore[return-value]


@pytest.mark.parametrize("fill", [PAD, OTHER])
@pytest.mark.parametrize("side", ["left", "right"])
class TestPadding:
    def test_question_answering(self, side: str, fill: int) -> None:
        model = model_of(BloomForQuestionAnswering)
        ids, mask = padded(TEXTS, side, fill)
        before = ids.shape[1] - mask.sum(1) if side == "left" else torch.zeros(3, dtype=torch.long)
        starts, ends = torch.tensor([2, 0, 1]), torch.tensor([4, 1, 1])
        alone = [
            model(row[None], start_positions=starts[i : i + 1], end_positions=ends[i : i + 1]).loss
            for i, row in enumerate(TEXTS)
        ]
        loss = model(ids, attention_mask=mask, start_positions=starts + before, end_positions=ends + before).loss
        torch.testing.assert_close(loss, torch.stack(alone).mean(), atol=1e-5, rtol=1e-5)

    def test_token_classification(self, side: str, fill: int) -> None:
        model = model_of(BloomForTokenClassification)
        ids, mask = padded(TEXTS, side, fill)
        alone = [model(row[None], labels=row[None] % 4).loss for row in TEXTS]
        loss = model(ids, attention_mask=mask, labels=ids % 4).loss
        torch.testing.assert_close(loss, weighted(alone, [6, 2, 3]), atol=1e-5, rtol=1e-5)

    def test_the_language_model(self, side: str, fill: int) -> None:
        model = model_of(BloomForCausalLM)
        ids, mask = padded(TEXTS, side, fill)
        alone = [model(row[None], labels=row[None]).loss for row in TEXTS]
        loss = model(ids, attention_mask=mask, labels=ids).loss
        torch.testing.assert_close(loss, weighted(alone, [5, 1, 2]), atol=1e-5, rtol=1e-5)
        by_count = model(ids, attention_mask=mask, labels=ids, num_items_in_batch=8).loss
        torch.testing.assert_close(by_count, loss, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("pad_token_id", [None, PAD])
    def test_classification(self, side: str, fill: int, pad_token_id: int | None) -> None:
        model = model_of(BloomForSequenceClassification, pad_token_id=pad_token_id)
        ids, mask = padded(TEXTS, side, fill)
        labels = torch.tensor([0, 3, 1])
        alone = [model(row[None], labels=labels[i : i + 1]) for i, row in enumerate(TEXTS)]
        batch = model(ids, attention_mask=mask, labels=labels)
        torch.testing.assert_close(batch.logits, torch.cat([row.logits for row in alone]), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(batch.loss, torch.stack([row.loss for row in alone]).mean(), atol=1e-5, rtol=1e-5)
        embedded = model.transformer.word_embeddings(ids)
        torch.testing.assert_close(
            model(inputs_embeds=embedded, attention_mask=mask).logits, batch.logits, atol=1e-5, rtol=1e-5
        )


def test_an_answer_in_padding_is_left_out() -> None:
    model = model_of(BloomForQuestionAnswering)
    ids, mask = padded(TEXTS[:2], "left", PAD)
    whole = model(ids, attention_mask=mask, start_positions=torch.tensor([1, 0]), end_positions=torch.tensor([2, 9]))
    first = model(ids[:1], start_positions=torch.tensor([1]), end_positions=torch.tensor([2]))
    torch.testing.assert_close(whole.loss, first.loss, atol=1e-5, rtol=1e-5)
    whole.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_without_a_mask_or_an_id_nothing_says_where_a_text_ends() -> None:
    model = model_of(BloomForSequenceClassification, pad_token_id=None)
    with pytest.raises(InputError, match="must say where each ends"):
        model(torch.tensor([[5, 6], [7, 3]]))
