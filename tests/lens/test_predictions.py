"""Every head at every layer: the last layer is the head itself, and a column knows nothing of what follows."""

from typing import Any

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.predictions import READ, answer_probs, label_probs, layer_logits, next_tokens
from bloomlab.tiny.heads import HEADS
from tests.tasks.task_heads import random_head, random_lab
from tests.tiny_random import random_model

TEXT = "Leo 😀 في."


@pytest.fixture(scope="module")
def lab() -> Lab:
    return random_lab()


def ids_of(lab: Lab, text: str = TEXT) -> torch.Tensor:
    return torch.tensor(lab.tokenizer.encode(text))


@pytest.mark.parametrize("changes", [{}, {"apply_residual_connection_post_layernorm": True}], ids=str)
@pytest.mark.parametrize("task", HEADS)
def test_the_last_layer_is_the_head_itself(lab: Lab, task: str, changes: dict[str, Any]) -> None:
    head = random_head(task, **changes)
    logits = layer_logits(head, ids_of(lab))
    output = head(ids_of(lab)[None])
    if task == "language":
        assert logits[-1, -1].equal(output.logits[0])
    elif task == "tags":
        assert logits[-1].equal(output.logits[0])
    else:
        assert logits[-1].equal(torch.stack([output.start_logits[0], output.end_logits[0]], -1))
    assert logits.shape[:2] == (3, len(ids_of(lab)))
    assert not logits[0].allclose(logits[-1], atol=0.1)


def test_an_earlier_layer_is_the_head_of_a_model_that_ends_there(lab: Lab) -> None:
    """The definition, with the later blocks taken away."""
    head = random_head("tags")
    logits = layer_logits(head, ids_of(lab))
    head.transformer.h = head.transformer.h[:2]
    assert head(ids_of(lab)[None]).logits[0].allclose(logits[1], atol=1e-5)


def test_a_column_says_what_the_head_would_if_the_text_ended_there(lab: Lab) -> None:
    probs = label_probs(lab.heads["language"], ids_of(lab))
    assert probs.sum(-1).allclose(torch.ones(()))
    for column in (0, 3):
        alone = lab.heads["language"](ids_of(lab)[None, : column + 1]).logits[0].softmax(-1)
        assert probs[-1, column].allclose(alone, atol=1e-6)


def test_the_next_tokens_of_the_last_layer_are_the_model_s(lab: Lab) -> None:
    trace = lab.trace(TEXT, read=READ)
    ids, probs = next_tokens(lab.model, trace, top=4)
    best, words = lab.model(trace.ids).logits[0].softmax(-1).topk(4)
    assert ids[-1].equal(words) and probs[-1].allclose(best, atol=1e-6)
    some, _ = next_tokens(lab.model, trace, slice(2, 5), top=4)
    assert some.equal(ids[:, 2:5])


def test_an_answer_is_asked_for_with_the_question_before_it(lab: Lab) -> None:
    question, context = ids_of(lab, "Who?\n"), ids_of(lab)
    probs = answer_probs(lab.heads["answer"], question, context)
    output = lab.heads["answer"](torch.cat([question, context])[None])
    assert probs.shape == (3, 2, len(context))
    assert probs[-1, 0].allclose(output.start_logits[0].softmax(0)[len(question) :])
    assert probs[-1, 1].allclose(output.end_logits[0].softmax(0)[len(question) :])


def test_a_trace_that_lacks_the_states_or_is_of_another_model_is_refused(lab: Lab) -> None:
    with pytest.raises(HookError, match=r"has no h\.0\.resid_post"):
        next_tokens(lab.model, lab.trace(TEXT))
    with pytest.raises(InputError, match="24 wide, but this one is 12 wide"):
        next_tokens(random_model(hidden_size=12), lab.trace(TEXT, read=READ))
