"""Ask the task heads: texts in, results out (see results.py).

Texts that are read together are padded, which changes scores only in their last digits.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.guards.memory import check_memory
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification, last_token
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.tasks.results import OUTSIDE, Answer, Classification, Entity, Span, Tagging
from bloomlab.text.batches import check_room
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token
from bloomlab.weights.pretrained import BloomPreTrainedModel, without_gradients

BATCH = 32  # texts in one pass
TOP = 5  # spans listed for an answer
BYTES_OF_A_LOOK = 4  # in memory, of a column that may look at another; a padded text's has besides a number a head
BYTES_OF_A_SPAN = 20  # of a first and a last token of an answer


def classify(head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[Classification]:
    """A label for each text.

    Raises:
        InputError: the head is for another task, or has only one label; or the texts cannot be padded.
        MemoryLimitError: the texts are too long for the memory, since each token looks at each.
    """
    labels = label_names(head, BloomForSequenceClassification)
    results = []
    for text, (ids, logits) in zip(texts, _logits(head, tokenizer, texts), strict=True):
        probs = logits.softmax(-1)
        scores = {labels[i]: probs[i].item() for i in probs.argsort(descending=True).tolist()}
        column = int(last_token(ids[None], head.config.pad_token_id, torch.zeros(1).long())) % len(ids)
        results.append(Classification(text, next(iter(scores)), scores, column, tuple(tokenizer.tokens(text))))
    return results


def tag(head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[Tagging]:
    """A tag for each token of each text.

    Raises:
        InputError: as `classify` does.
    """
    labels = label_names(head, BloomForTokenClassification)
    results = []
    for text, (_, logits) in zip(texts, _logits(head, tokenizer, texts), strict=True):
        tokens = tuple(tokenizer.tokens(text))
        scores = tuple(dict(zip(labels, row, strict=True)) for row in logits.softmax(-1).tolist())
        tags = tuple(max(row, key=row.__getitem__) for row in scores)
        tag_scores = [row[name] for row, name in zip(scores, tags, strict=True)]
        results.append(Tagging(text, tags, scores, entities(text, tokens, tags, tag_scores), tokens))
    return results


def answer(
    head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, questions: Sequence[str], contexts: Sequence[str]
) -> list[Answer]:
    """An answer in each context. The head reads the question first, so that it knows what to look for.

    Raises:
        InputError: as `classify` does.
    """
    label_names(head, BloomForQuestionAnswering)
    results = []
    first_lines = [f"{question}\n" for question in questions]
    rows = _logits(head, tokenizer, first_lines, contexts)
    for question, context, (_, logits) in zip(questions, contexts, rows, strict=True):
        tokens = tuple(tokenizer.tokens(context))
        starts, ends = logits.softmax(0)[-len(tokens) :].T  # probabilities over all columns, the question's included
        results.append(best_answer(question, context, tokens, starts, ends))
    return results


def best_answer(question: str, context: str, tokens: Sequence[Token], starts: Tensor, ends: Tensor) -> Answer:
    """The answer, from the probabilities that it starts and that it ends at each token of the context: both (pos)."""
    spans = tuple(
        Span(*_trimmed(context, tokens, first, last), score, first, last)
        for first, last, score in best_spans(starts, ends)
    )
    outside = max(0.0, 1 - starts.sum().item())
    return Answer(question, context, spans, outside, tuple(starts.tolist()), tuple(ends.tolist()), tuple(tokens))


def best_spans(starts: Tensor, ends: Tensor, top: int = TOP) -> list[tuple[int, int, float]]:
    """The likeliest (first, last, starts[first] · ends[last]) that do not end before they start: both (pos).

    >>> best_spans(torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.25]), top=2)
    [(1, 1, 0.1875), (0, 0, 0.125)]
    """
    scores = (starts[:, None] * ends).triu()
    n = len(starts)
    best, cells = scores.flatten().topk(min(top, n * (n + 1) // 2))
    return [(cell // n, cell % n, score) for score, cell in zip(best.tolist(), cells.tolist(), strict=True)]


def entities(text: str, tokens: Sequence[Token], tags: Sequence[str], scores: Sequence[float]) -> tuple[Entity, ...]:
    """The names in a text: neighbouring words with the same tag, other than "O", without the spaces around them.

    A word gets the tag of its last token, the only one that has seen all of it: "Pa" could begin many names.
    """
    results = []
    for tag_name, group in groupby(words(text, tokens), key=lambda columns: tags[columns[-1]]):
        parts = list(group)
        columns = tuple(column for part in parts for column in part)
        name, start, end = _trimmed(text, tokens, columns[0], columns[-1])
        if tag_name != OUTSIDE and name:
            results.append(Entity(name, tag_name, start, end, min(scores[part[-1]] for part in parts), columns))
    return tuple(results)


def words(text: str, tokens: Sequence[Token]) -> list[list[int]]:
    """The positions of each word's tokens. In a script without spaces between words, each token is a word.

    >>> parts = [Token(0, part.encode(), part, (at, at + len(part))) for at, part in [(0, "Pa"), (2, "ul"), (4, ".")]]
    >>> words("Paul.", parts)
    [[0, 1], [2]]
    """
    groups: list[list[int]] = []
    for pos, token in enumerate(tokens):
        start, end = token.span[0], tokens[pos - 1].span[1] if pos else 0
        before, first = text[max(end - 1, 0) : end], text[start : start + 1]
        if start < end or (_is_part_of_word(before) and _is_part_of_word(first)):  # start < end: they share a character
            groups[-1].append(pos)
        else:
            groups.append([pos])
    return groups


def _is_part_of_word(character: str) -> bool:
    """Whether a character is a letter, an accent or a digit, in a script that writes spaces between words."""
    is_letter = bool(character) and unicodedata.category(character)[0] in "LMN"
    return is_letter and not unicodedata.name(character, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI"))


def _trimmed(text: str, tokens: Sequence[Token], first: int, last: int) -> tuple[str, int, int]:
    """The characters of the tokens `first` to `last` without the spaces around them, and where they start and end."""
    start, end = tokens[first].span[0], tokens[last].span[1]
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return part.strip(), start, start + len(part.strip())


def label_names(head: BloomPreTrainedModel, kind: type[BloomPreTrainedModel]) -> list[str]:
    """The names of a head's labels, if it is a head of this class."""
    if not isinstance(head, kind):
        raise InputError(
            f"this needs a {kind.__name__}, but the head is a {type(head).__name__}; set another in lab.heads"
        )
    labels = [head.config.id2label[i] for i in range(head.config.num_labels)]
    if len(set(labels)) < max(2, len(labels)) and kind is not BloomForQuestionAnswering:
        raise InputError(f"a choice needs at least two labels, each with a name of its own, but the head has {labels}")
    return labels


def _logits(
    head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each text's ids (pos), and the logits that the head gives it, without those of padding."""
    for start in range(0, len(texts), BATCH):
        rows = slice(start, start + BATCH)
        some, partners = list(texts[rows]), pairs and list(pairs[rows])
        given = [[text] for text in some] if partners is None else [*map(list, zip(some, partners, strict=True))]
        if all(isinstance(text, str) for row in given for text in row):  # else the tokenizer says what is wrong
            check_room([text for row in given for text in row])
            least = max(sum(map(tokenizer.least_tokens, row)) for row in given)
            _check_room(head, 1, least, padded=False)  # before a text without end is cut into tokens
        batch = tokenizer(some, partners, padding=len(some) > 1, return_tensors="pt").to(head.device)
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        _check_room(head, len(ids), ids.shape[1], padded=not mask.all())
        output = without_gradients(head, input_ids=ids, attention_mask=batch["attention_mask"])
        logits = output["logits"] if "logits" in output else torch.stack([output.start_logits, output.end_logits], -1)
        for i, row in enumerate(logits.float().cpu()):
            if not row.isfinite().all():
                raise InputError("the head gives numbers that are not finite; check its weights")
            is_token = mask[i].cpu()
            yield ids[i].cpu()[is_token], row if row.dim() == 1 else row[is_token]


def _check_room(head: BloomPreTrainedModel, rows: int, columns: int, padded: bool) -> None:
    """Refuse, before anything runs, texts of so many columns that what looks at what does not fit into the memory."""
    config = head.config
    look = BYTES_OF_A_LOOK + (config.n_head * head.dtype.itemsize - 2 if padded else 0)
    span = BYTES_OF_A_SPAN if isinstance(head, BloomForQuestionAnswering) else 0
    check_memory(
        max(rows * look, span) * columns**2,
        f"reading {rows} texts of {columns} tokens at once" if rows > 1 else f"reading a text of {columns} tokens",
        "shorten the longest, or ask about each by itself" if rows > 1 else "shorten it, or read it in parts",
    )
