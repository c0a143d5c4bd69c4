"""Fine-tuning: a new head on the embedded model learns its task, and an interrupt or a bad batch loses nothing."""

import signal
import time
from typing import Any

import pytest
import torch
from torch import Tensor

import bloomlab
from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.tasks.finetune import fit
from bloomlab.tiny.heads import HEADS
from bloomlab.tiny.labelled import PEOPLE, TASKS, batch
from bloomlab.weights.pretrained import BloomPreTrainedModel
from tests.budget import slowness
from tests.tiny_random import random_ids, random_model


def new_head(task: str) -> BloomPreTrainedModel:
    with pytest.warns(UserWarning, match="made new at random"):
        model: BloomPreTrainedModel = HEADS[task].from_pretrained(tiny.folder(), num_labels=TASKS[task], pad_token_id=3)
    return model


@torch.no_grad()
def accuracy(model: Any, examples: dict[str, Tensor]) -> float:
    """The share of right labels; of an answer both ends must be right."""
    out = model(**examples)
    if "start_positions" in examples:
        padding = examples["attention_mask"] == 0
        start = out.start_logits.masked_fill(padding, -torch.inf).argmax(1) == examples["start_positions"]
        end = out.end_logits.masked_fill(padding, -torch.inf).argmax(1) == examples["end_positions"]
        return (start & end).float().mean().item()
    counted = examples["labels"] != -100
    return (out.logits.argmax(-1) == examples["labels"])[counted].float().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "steps"),
    [
        pytest.param("language", 60, marks=pytest.mark.long),
        pytest.param("tags", 150, marks=pytest.mark.long),
        pytest.param("answer", 700, marks=pytest.mark.long),
    ],
)
def test_a_new_head_learns_its_task_in_under_two_minutes_of_computing(task: str, steps: int) -> None:
    """Questions are about stories of one person: telling whom a question means took the shipped head 2,000 steps."""
    people: tuple[int, ...] = (1,) if task == "answer" else PEOPLE
    tokenizer = bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder())
    model = new_head(task)
    held_out = batch(task, "held out", 300, tokenizer, held=True, people=people)
    before = accuracy(model, held_out)
    start = time.process_time()
    batches = (batch(task, f"lesson {i}", 16, tokenizer, people=people) for i in range(steps))
    losses = fit(model, batches, 1e-3, head_learning_rate=5e-3, steps=steps)
    assert time.process_time() - start < 120 * slowness()
    assert len(losses) == steps and sum(losses[-10:]) < sum(losses[:10]) / 4
    assert not model.training
    assert before < 0.5
    assert accuracy(model, held_out) >= 0.9


def random_batches(n: int) -> list[dict[str, Tensor]]:
    return [{"input_ids": random_ids(2, 5, seed=i), "labels": random_ids(2, 5, seed=i)} for i in range(n)]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_in_the_mode_it_was_in(training: bool) -> None:
    model = random_model().train(training)
    losses = fit(model, random_batches(3), progress=False)
    assert len(losses) == 3 and model.training is training


def test_a_head_and_its_base_learn_at_their_own_rates() -> None:
    model = bloomlab.BloomForTokenClassification(random_model().config)
    table, head = model.get_input_embeddings().weight.clone(), model.classifier.weight.clone()
    examples = [{"input_ids": random_ids(2, 5), "labels": random_ids(2, 5) % 2}]
    fit(model, examples, learning_rate=0.0, head_learning_rate=0.1, progress=False)
    assert table.equal(model.get_input_embeddings().weight)
    assert not head.equal(model.classifier.weight)


def test_a_batch_without_a_loss_is_refused_and_changes_nothing() -> None:
    model = random_model()
    weights = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(InputError, match="step 0 has the loss None; check the labels"):
        fit(model, [{"input_ids": random_ids(2, 5)}], progress=False)
    with pytest.raises(InputError, match="step 0 has the loss nan"):
        fit(model, [{"input_ids": random_ids(2, 5), "labels": torch.full((2, 5), -100)}], progress=False)
    assert not model.training
    assert all(a.equal(b) for a, b in zip(weights, model.parameters(), strict=True))


def test_an_interrupt_keeps_what_was_learned() -> None:
    model = random_model()

    def interrupted() -> Any:
        yield from random_batches(2)
        signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted after 2 of 9 steps"):
        losses = fit(model, interrupted(), steps=9, progress=False)
    assert len(losses) == 2 and not model.training
