"""The task heads that ship are ready to use, and plain BLOOM checkpoints."""

from pathlib import Path

import pytest
import torch

from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.heads import HEADS, new_head, open_head, tune
from bloomlab.tiny.interrupt import Stop
from bloomlab.tiny.labelled import LABELS


@pytest.fixture(scope="module")
def tokenizer() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


@pytest.mark.parametrize("task", HEADS)
def test_a_head_opens_with_the_names_of_its_labels(task: str) -> None:
    head = tiny.head(task)
    assert type(head) is HEADS[task] and not head.training and head.dtype == torch.float32
    assert tuple(head.config.id2label[i] for i in range(head.config.num_labels)) == LABELS[task]


def test_a_task_that_nobody_learned_is_an_error() -> None:
    with pytest.raises(InputError, match="did you mean 'tags'"):
        tiny.head("tag")


@pytest.mark.slow
@pytest.mark.parametrize("task", HEADS)
def test_transformers_opens_a_head_strictly_and_says_the_same(task: str, tokenizer: BloomTokenizerFast) -> None:
    transformers = pytest.importorskip("transformers")
    where = folder() / "heads" / task
    theirs, info = getattr(transformers, HEADS[task].__name__).from_pretrained(
        where, output_loading_info=True, torch_dtype=torch.float32
    )
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    ids = torch.tensor([tokenizer.encode("Where does Leo live?\nLeo lives in Oslo. Rosa lives in Lima.")])
    with torch.no_grad():
        ours, other = tiny.head(task)(ids), theirs.eval()(ids)
    for name in ("start_logits", "end_logits") if task == "answer" else ("logits",):
        assert torch.allclose(getattr(ours, name), getattr(other, name), atol=2e-4)
    assert {int(i): name for i, name in theirs.config.id2label.items()} == dict(enumerate(LABELS[task]))


def test_a_new_head_stands_on_the_trunk_it_was_given() -> None:
    head, trunk = new_head("tags", folder()), open_head(folder() / "heads", "tags")
    assert head.classifier.weight.shape == (len(LABELS["tags"]), 128)
    assert not head.classifier.weight.equal(trunk.classifier.weight)


@pytest.mark.slow
def test_tuning_moves_trunk_and_head_and_stops_when_asked(tokenizer: BloomTokenizerFast) -> None:
    before = new_head("language", folder())
    after = tune("language", folder(), tokenizer, seed=0, steps=1)
    assert not before.get_input_embeddings().weight.equal(after.get_input_embeddings().weight)
    stop = Stop()
    stop.asked = True
    same = tune("language", folder(), tokenizer, seed=0, steps=3, stop=stop)
    assert before.get_input_embeddings().weight.equal(same.get_input_embeddings().weight)


def test_the_heads_are_in_the_folder_of_the_model() -> None:
    assert {path.name for path in Path(folder() / "heads").iterdir()} == set(HEADS)
