"""The task heads give the logits and losses that transformers gives."""

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import InputError
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from tests.parity.pairs import make_batch, randomise

HEADS = {
    "sequence": (BloomForSequenceClassification, transformers.BloomForSequenceClassification),
    "token": (BloomForTokenClassification, transformers.BloomForTokenClassification),
    "question": (BloomForQuestionAnswering, transformers.BloomForQuestionAnswering),
}
SIZES = {"vocab_size": 101, "hidden_size": 48, "n_layer": 2, "n_head": 6}


def make_heads(kind: str, **config: Any) -> tuple[Any, Any]:
    mine, reference = HEADS[kind]
    ours = mine(BloomConfig(**SIZES, **config)).eval()
    randomise(ours)
    theirs = reference._from_config(transformers.BloomConfig(**SIZES, **config), attn_implementation="eager").eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("num_labels", "labels", "problem_type"),
    [
        (1, torch.tensor([0.5, -1.0, 2.0]), None),
        (1, torch.tensor([[0.5], [-1.0], [2.0]]), "regression"),
        (4, torch.tensor([3, 0, 1]), None),
        (4, torch.tensor([3, 0, 1]), "single_label_classification"),
        (4, torch.eye(4)[:3], None),
        (4, torch.eye(4)[:3], "multi_label_classification"),
        (4, torch.eye(4)[:3], "regression"),
        (4, None, None),
    ],
)
def test_a_text_s_label_and_loss_equal_the_reference(
    side: str, num_labels: int, labels: Tensor | None, problem_type: str | None
) -> None:
    ours, theirs = make_heads("sequence", num_labels=num_labels, problem_type=problem_type, pad_token_id=3)
    ids, mask = make_batch()
    if side == "right":
        ids, mask = ids.flip(1), mask.flip(1)
    mine = ours(ids, attention_mask=mask, labels=labels)
    reference = theirs(ids, attention_mask=mask, labels=labels)
    close(mine.logits, reference.logits)
    if labels is not None:
        close(mine.loss, reference.loss)
    assert ours.config.problem_type == problem_type  # an inferred one is not written back


def test_without_a_padding_id_one_text_is_read_to_its_end_and_several_are_refused() -> None:
    ours, theirs = make_heads("sequence")
    ids, _ = make_batch(left=())
    close(ours(ids[:1]).logits, theirs(ids[:1]).logits)
    with pytest.raises(InputError, match=r"3 texts.*pad_token_id"):
        ours(ids)
    with pytest.raises(ValueError):
        theirs(ids)


def test_vectors_in_place_of_ids_are_read_to_their_end() -> None:
    ours, theirs = make_heads("sequence", pad_token_id=3)
    vectors = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(2))
    close(ours(inputs_embeds=vectors).logits, theirs(inputs_embeds=vectors).logits)


def test_a_token_s_tag_and_loss_equal_the_reference() -> None:
    ours, theirs = make_heads("token", num_labels=5)
    ids, mask = make_batch()
    labels = (ids % 5).masked_fill(mask == 0, -100)
    mine, reference = (model(ids, attention_mask=mask, labels=labels) for model in (ours, theirs))
    close(mine.logits[mask.bool()], reference.logits[mask.bool()])
    close(mine.loss, reference.loss)


@pytest.mark.parametrize(("classifier", "hidden", "expected"), [(0.3, 0.2, 0.3), (None, 0.2, 0.2), (None, 0.0, 0.0)])
def test_the_tagger_s_dropout_is_its_own_or_else_the_model_s(
    classifier: float | None, hidden: float, expected: float
) -> None:
    ours, theirs = make_heads("token", classifier_dropout=classifier, hidden_dropout=hidden)
    assert ours.dropout.p == theirs.dropout.p == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (torch.tensor([1, 2, 4]), torch.tensor([3, 2, 10])),
        (torch.tensor([[1], [2], [4]]), torch.tensor([[3], [2], [10]])),
        (torch.tensor([1, 99, -5]), torch.tensor([3, 99, 2])),  # beyond the text, before it
    ],
)
def test_an_answer_s_span_and_loss_equal_the_reference(start: Tensor, end: Tensor) -> None:
    ours, theirs = make_heads("question")
    ids, mask = make_batch()
    mine, reference = (model(ids, attention_mask=mask) for model in (ours, theirs))
    close(mine.start_logits[mask.bool()], reference.start_logits[mask.bool()])
    close(mine.end_logits[mask.bool()], reference.end_logits[mask.bool()])
    # the loss also asks padding columns, which differ: compare it without any
    mine, reference = (model(ids, start_positions=start, end_positions=end) for model in (ours, theirs))
    close(mine.loss, reference.loss)


def test_a_start_without_an_end_gives_no_loss() -> None:
    ours, theirs = make_heads("question")
    ids, _ = make_batch(left=())
    start = torch.tensor([1, 2, 3])
    assert ours(ids, start_positions=start).loss is None
    assert theirs(ids, start_positions=start).loss is None


@pytest.mark.parametrize("kind", HEADS)
def test_every_head_s_tuple_has_the_reference_s_length_and_names(kind: str) -> None:
    ours, theirs = make_heads(kind, pad_token_id=3)
    ids, mask = make_batch()
    everything = {"attention_mask": mask, "output_attentions": True, "output_hidden_states": True}
    mine, reference = ours(ids, **everything), theirs(ids, **everything)
    assert mine.keys() == tuple(reference.keys())
    assert len(ours(ids, return_dict=False, **everything)) == len(theirs(ids, return_dict=False, **everything))
    for a, b in zip(mine.hidden_states, reference.hidden_states, strict=True):
        close(a[mask.bool()], b[mask.bool()])
