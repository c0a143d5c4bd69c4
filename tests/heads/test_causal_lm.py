"""The causal head: tied to the table, one loss a label, logits where they are wanted."""

import math

import pytest
import torch

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import next_token_loss
from bloomlab.hooks import Hooks
from tests.tiny_random import BATCH, POS, padded_mask, random_ids, random_model

MODEL = random_model()


def test_logits_are_the_final_states_products_with_the_embedding_table() -> None:
    hooks = Hooks(read=["final"])
    logits = MODEL(random_ids(), hooks=hooks).logits
    torch.testing.assert_close(logits, hooks["final"] @ MODEL.transformer.word_embeddings.weight.T)


def test_the_head_is_the_embedding_table_itself() -> None:
    assert MODEL.lm_head.weight is MODEL.transformer.word_embeddings.weight
    names = [name for name, _ in MODEL.named_parameters()]
    assert "lm_head.weight" not in names and names[0] == "transformer.word_embeddings.weight"
    loose = random_model(tie_word_embeddings=False)
    assert loose.lm_head.weight is not loose.transformer.word_embeddings.weight
    assert "lm_head.weight" in dict(loose.named_parameters())
    assert loose(random_ids()).logits.shape == (BATCH, POS, 300)


def test_the_parameters_are_counted_and_named_as_the_checkpoint_has_them() -> None:
    assert sum(p.numel() for p in MODEL.parameters()) == MODEL.config.parameter_count()
    layer = [
        "input_layernorm", "self_attention.query_key_value", "self_attention.dense",
        "post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h",
    ]  # fmt: skip
    modules = [f"h.{i}.{name}" for i in range(3) for name in layer]
    expected = ["word_embeddings.weight"]
    for name in ("word_embeddings_layernorm", *modules, "ln_f"):
        expected += [f"{name}.weight", f"{name}.bias"]
    assert [name for name, _ in MODEL.named_parameters()] == [f"transformer.{name}" for name in expected]


def test_the_loss_compares_each_position_with_the_next_label() -> None:
    ids = random_ids()
    out = MODEL(ids, labels=ids)
    log_probs = out.logits.double().log_softmax(-1)
    surprises = [-log_probs[row, i, ids[row, i + 1]] for row in range(BATCH) for i in range(POS - 1)]
    torch.testing.assert_close(out.loss.double(), torch.stack(surprises).mean())


def test_labels_of_minus_100_are_left_out() -> None:
    ids = random_ids()
    labels = ids.clone()
    labels[0] = -100
    labels[1, :3] = -100
    loss = MODEL(ids, labels=labels).loss
    torch.testing.assert_close(loss, next_token_loss(MODEL(ids).logits[1:, 2:], ids[1:, 2:]))
    masked = torch.where(padded_mask().bool(), ids, -100)
    assert MODEL(ids, attention_mask=padded_mask(), labels=masked).loss.isfinite()


def test_a_known_number_of_items_divides_the_sum() -> None:
    ids = random_ids()
    mean = MODEL(ids, labels=ids).loss
    for n in (10, torch.tensor(10)):
        torch.testing.assert_close(MODEL(ids, labels=ids, num_items_in_batch=n).loss, mean * BATCH * (POS - 1) / 10)


def test_the_loss_is_computed_in_float32() -> None:
    model, ids = random_model().bfloat16(), random_ids()
    assert model(ids).logits.dtype == torch.bfloat16
    assert model(ids, labels=ids).loss.dtype == torch.float32


def test_a_model_that_knows_nothing_is_surprised_by_the_size_of_the_vocabulary() -> None:
    assert next_token_loss(torch.zeros(2, 4, 300), random_ids(2, 4)).item() == pytest.approx(math.log(300))


def test_only_the_logits_that_are_wanted_are_computed() -> None:
    ids = random_ids()
    whole = MODEL(ids).logits
    for keep, columns in ((0, slice(None)), (1, slice(4, None)), (3, slice(2, None)), (9, slice(None))):
        torch.testing.assert_close(MODEL(ids, logits_to_keep=keep).logits, whole[:, columns])
    torch.testing.assert_close(MODEL(ids, logits_to_keep=torch.tensor([0, 3])).logits, whole[:, [0, 3]])


@pytest.mark.parametrize("keep", [-1, 1.5, "1", True, None])
def test_a_number_of_logits_that_makes_no_sense_is_refused(keep: object) -> None:
    with pytest.raises(InputError, match="logits_to_keep must be a whole number of at least 0"):
        MODEL(random_ids(), logits_to_keep=keep)


def test_labels_need_all_logits() -> None:
    with pytest.raises(InputError, match="labels need the logits of every position; leave logits_to_keep out"):
        MODEL(random_ids(), labels=random_ids(), logits_to_keep=1)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (random_ids(2, 4), r"labels must have shape \(2, 5\) like the inputs, but have \(2, 4\)"),
        (random_ids() + 300, "labels must be ids from 0 to 299, or -100"),
        (-random_ids(), "labels must be ids from 0 to 299, or -100"),
    ],
    ids=["shape", "too high", "negative"],
)
def test_labels_that_do_not_fit_are_refused(labels: torch.Tensor, words: str) -> None:
    with pytest.raises(InputError, match=words):
        MODEL(random_ids(), labels=labels)


def test_training_reaches_every_parameter() -> None:
    model, ids = random_model(), random_ids()
    model.train()(ids, labels=ids).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
