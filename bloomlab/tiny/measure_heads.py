"""What the embedded model's task heads can do, in numbers, on examples that training never drew.

Each function takes a head, looks, and gives back one number. `held` takes only (person, city) pairs that training
never shows; `unseen` spells everybody's name, and every fourth city's, as training never spells one.
"""

import torch
from torch import Tensor

from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.labelled import LABELS, batch
from bloomlab.tiny.world import TAGS

ROWS = 25  # read at a time


def examples(task: str, tokenizer: BloomTokenizerFast, count: int, held: bool, unseen: bool) -> list[dict[str, Tensor]]:
    """So many examples of a task, in batches."""
    name = f"measure {held} {unseen}"
    starts = range(0, count, ROWS)
    return [batch(task, f"{name} {i}", min(ROWS, count - i), tokenizer, held, unseen) for i in starts]


@torch.no_grad()
def language_accuracy(
    head: BloomForSequenceClassification,
    tokenizer: BloomTokenizerFast,
    count: int = 400,
    held: bool = True,
    unseen: bool = False,
) -> dict[str, float]:
    """The share of texts whose language is named right: for each label, and for "all" of them."""
    labels, predicted = [], []
    for inputs in examples("language", tokenizer, count, held, unseen):
        labels.append(inputs.pop("labels"))
        predicted.append(head(**inputs).logits.argmax(-1))
    label, right = torch.cat(labels), torch.cat(predicted) == torch.cat(labels)
    names = LABELS["language"]
    by_name = {name: float(right[label == i].float().mean()) for i, name in enumerate(names) if (label == i).any()}
    return {"all": float(right.float().mean()), **by_name}


def tagged(row: list[int], starts: list[bool]) -> set[tuple[int, int]]:
    """The words that a row tags: (last token, its tag). "O" is no tag, and -100 is not looked at.

    A word is what its last token says: a model that reads from left to right cannot know whom "Pa" begins. `starts`
    says which tokens begin a new word.

    >>> sorted(tagged([0, 1, 1, 2, 0, 3, -100], [True, True, False, True, True, True, True]))
    [(2, 1), (3, 2), (5, 3)]
    """
    ends = [i + 1 == len(row) or row[i + 1] <= 0 or starts[i + 1] for i in range(len(row))]
    return {(i, tag) for i, tag in enumerate(row) if tag > 0 and ends[i]}


@torch.no_grad()
def tag_f1(
    head: BloomForTokenClassification,
    tokenizer: BloomTokenizerFast,
    count: int = 200,
    held: bool = True,
    unseen: bool = False,
) -> dict[str, float]:
    """F1 of the words that are tagged, each by its last token: for each tag, and for "all".

    F1 = 2 · right / (found + to be found).
    """
    right, predicted_count = dict.fromkeys(TAGS[1:], 0), dict.fromkeys(TAGS[1:], 0)
    for inputs in examples("tags", tokenizer, count, held, unseen):
        labels = inputs.pop("labels")
        predicted = head(**inputs).logits.argmax(-1).masked_fill(labels == -100, -100)
        for ids, label, row in zip(inputs["input_ids"].tolist(), labels.tolist(), predicted.tolist(), strict=True):
            starts = [tokenizer.decode([index]).startswith((" ", "\n")) for index in ids]
            true, guess = tagged(label, starts), tagged(row, starts)
            for number, tag in enumerate(TAGS[1:], start=1):
                right[tag] += sum(word[1] == number for word in true & guess)
                predicted_count[tag] += sum(word[1] == number for word in [*true, *guess])
    f1 = {tag: 2 * right[tag] / predicted_count[tag] for tag in TAGS[1:] if predicted_count[tag]}
    return {"all": 2 * sum(right.values()) / max(1, sum(predicted_count.values())), **f1}


@torch.no_grad()
def answer_exact_match(
    head: BloomForQuestionAnswering,
    tokenizer: BloomTokenizerFast,
    count: int = 300,
    held: bool = True,
    unseen: bool = False,
) -> float:
    """The share of questions whose answer is found exactly: the likeliest first and last token are both right."""
    right = 0
    for inputs in examples("answer", tokenizer, count, held, unseen):
        start, end = inputs.pop("start_positions"), inputs.pop("end_positions")
        output, padding = head(**inputs), inputs["attention_mask"] == 0
        first = output.start_logits.masked_fill(padding, -torch.inf).argmax(-1)
        last = output.end_logits.masked_fill(padding, -torch.inf).argmax(-1)
        right += int(((first == start) & (last == end)).sum())
    return right / count
