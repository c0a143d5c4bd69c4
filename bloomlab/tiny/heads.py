"""The task heads of the embedded model: three models that began as the trained trunk and learned one task each.

language    which of ten languages a text is in, or "other"     BloomForSequenceClassification
tags        what each token names                               BloomForTokenClassification
answer      where in a text the answer to a question stands     BloomForQuestionAnswering
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from bloomlab.errors import InputError, did_you_mean
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.tasks.finetune import fit
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.interrupt import Stop
from bloomlab.tiny.labelled import LABELS, batch
from bloomlab.weights.pretrained import BloomPreTrainedModel

HEADS: dict[str, type[BloomPreTrainedModel]] = {
    "language": BloomForSequenceClassification,
    "tags": BloomForTokenClassification,
    "answer": BloomForQuestionAnswering,
}
HEAD_STEPS = {"language": 400, "tags": 1200, "answer": 2000}
HEAD_ROWS = 16
TRUNK_RATE, HEAD_RATE = 1e-3, 5e-3


def open_head(where: Path, task: str) -> BloomPreTrainedModel:
    """The trained head of a task, from the folder that holds one folder for each.

    Raises:
        InputError: there is no such task.
    """
    if task not in HEADS:
        raise InputError(f"no head for {task!r}{did_you_mean(str(task), HEADS)}; there are {', '.join(HEADS)}")
    return HEADS[task].from_pretrained(where / task).eval()


def new_head(task: str, trunk: Path) -> BloomPreTrainedModel:
    """A head of a task on the trunk in a folder; it has learned nothing yet."""
    names = dict(enumerate(LABELS[task]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*made new at random")  # that is the point
        return HEADS[task].from_pretrained(trunk, id2label=names, label2id={name: i for i, name in names.items()})


def tune(
    task: str,
    trunk: Path,
    tokenizer: BloomTokenizerFast,
    seed: int,
    steps: int | None = None,
    stop: Stop | None = None,
    device: str = "cpu",
) -> BloomPreTrainedModel:
    """Train the head of a task and the trunk under it, from the language model in a folder."""
    model = new_head(task, trunk).to(device)
    steps = HEAD_STEPS[task] if steps is None else steps

    def lessons() -> Iterator[dict[str, Tensor]]:
        for step in range(steps):
            if stop and stop.asked:
                return
            yield batch(task, f"{seed} {task} {step}", HEAD_ROWS, tokenizer)

    fit(model, lessons(), TRUNK_RATE, HEAD_RATE, steps)
    return model.eval()
