"""Asking the task heads: texts in, what a head makes of them out (see `verdicts`).

Texts that are read together are padded, which changes no score but in its last digits.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

from bloomlab.chips import Token
from bloomlab.errors import InputError
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification, last_token
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.pretrained import BloomPreTrainedModel, without_gradients
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.verdicts import OUTSIDE, Answer, Classification, Entity, Span, Tagging

AT_ONCE = 32  # texts in one pass
TOP = 5  # answers listed


def classify(head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[Classification]:
    """A label for each text; texts read together get the scores they get alone.

    Raises:
        InputError: the head is of another kind, or has one label only; or texts cannot be padded.
    """
    labels = label_names(head, BloomForSequenceClassification)
    found = []
    for text, (ids, logits) in zip(texts, _read(head, tokenizer, texts), strict=True):
        probs = logits.softmax(-1)
        scores = {labels[i]: probs[i].item() for i in probs.argsort(descending=True).tolist()}
        column = int(last_token(ids[None], head.config.pad_token_id, torch.zeros(1).long())) % len(ids)
        found.append(Classification(text, next(iter(scores)), scores, column, tuple(tokenizer.tokens(text))))
    return found


def tag(head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str]) -> list[Tagging]:
    """A tag for each token of each text.

    Raises:
        InputError: as `classify` does.
    """
    labels = label_names(head, BloomForTokenClassification)
    found = []
    for text, (_, logits) in zip(texts, _read(head, tokenizer, texts), strict=True):
        tokens = tuple(tokenizer.tokens(text))
        scores = tuple(dict(zip(labels, row, strict=True)) for row in logits.softmax(-1).tolist())
        tags = tuple(max(row, key=row.__getitem__) for row in scores)
        chosen = [row[name] for row, name in zip(scores, tags, strict=True)]
        found.append(Tagging(text, tags, scores, entities(text, tokens, tags, chosen), tokens))
    return found


def answer(
    head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, questions: Sequence[str], contexts: Sequence[str]
) -> list[Answer]:
    """A stretch of each context. The head reads the question first: it must know what to look for in the context.

    Raises:
        InputError: as `classify` does.
    """
    label_names(head, BloomForQuestionAnswering)
    found = []
    asked = [f"{question}\n" for question in questions]
    for question, context, (_, logits) in zip(
        questions, contexts, _read(head, tokenizer, asked, contexts), strict=True
    ):
        tokens = tuple(tokenizer.tokens(context))
        starts, ends = logits.softmax(0)[-len(tokens) :].T  # shares of all columns, those of the question too
        found.append(best_answer(question, context, tokens, starts, ends))
    return found


def best_answer(question: str, context: str, tokens: Sequence[Token], starts: Tensor, ends: Tensor) -> Answer:
    """The answer that some probabilities of starting, and ending, at each token of the context make: both (pos)."""
    spans = tuple(
        Span(*_piece(context, tokens, first, last), score, first, last)
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
    best, places = scores.flatten().topk(min(top, n * (n + 1) // 2))
    return [(place // n, place % n, score) for score, place in zip(best.tolist(), places.tolist(), strict=True)]


def entities(text: str, tokens: Sequence[Token], tags: Sequence[str], scores: Sequence[float]) -> tuple[Entity, ...]:
    """What is named: neighbouring words with the same tag, other than "O"; the spaces around are not part of it.

    A word is what its last token says, for no other has seen all of it: at "Pa" nobody knows whom it begins.
    """
    found = []
    for name, group in groupby(words(text, tokens), key=lambda columns: tags[columns[-1]]):
        parts = list(group)
        columns = tuple(column for part in parts for column in part)
        named, start, end = _piece(text, tokens, columns[0], columns[-1])
        if name != OUTSIDE and named:
            found.append(Entity(named, name, start, end, min(scores[part[-1]] for part in parts), columns))
    return tuple(found)


def words(text: str, tokens: Sequence[Token]) -> list[list[int]]:
    """The tokens of each word. Where a script writes no spaces, each token is a word.

    >>> parts = [Token(0, part.encode(), part, (at, at + len(part))) for at, part in [(0, "Pa"), (2, "ul"), (4, ".")]]
    >>> words("Paul.", parts)
    [[0, 1], [2]]
    """
    found: list[list[int]] = []
    for place, token in enumerate(tokens):
        before = text[tokens[place - 1].span[1] - 1 : tokens[place - 1].span[1]] if place else ""
        first = text[token.span[0] : token.span[0] + 1]
        same_character = place > 0 and token.span[0] < tokens[place - 1].span[1]
        if same_character or (_joins(before) and _joins(first)):
            found[-1].append(place)
        else:
            found.append([place])
    return found


def _joins(character: str) -> bool:
    """Whether a character is a letter, or a part of one, in a script that writes spaces between words."""
    is_letter = bool(character) and unicodedata.category(character)[0] in "LMN"
    return is_letter and not unicodedata.name(character, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI"))


def _piece(text: str, tokens: Sequence[Token], first: int, last: int) -> tuple[str, int, int]:
    """The characters of some tokens, without the spaces around them, and where they stand."""
    start, end = tokens[first].span[0], tokens[last].span[1]
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return part.strip(), start, start + len(part.strip())


def label_names(head: BloomPreTrainedModel, kind: type[BloomPreTrainedModel]) -> list[str]:
    """The names of the labels of a head, if it is of this kind."""
    if not isinstance(head, kind):
        raise InputError(
            f"this needs a {kind.__name__}, but the head is a {type(head).__name__}; set another in lab.heads"
        )
    labels = [head.config.id2label[i] for i in range(head.config.num_labels)]
    if len(set(labels)) < max(2, len(labels)) and kind is not BloomForQuestionAnswering:
        raise InputError(f"a choice needs at least two labels, each with a name of its own, but the head has {labels}")
    return labels


def _read(
    head: BloomPreTrainedModel, tokenizer: BloomTokenizerFast, texts: Sequence[str], pairs: Sequence[str] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each text's ids (pos), and the logits that the head gives it, without those of padding."""
    for at in range(0, len(texts), AT_ONCE):
        here = slice(at, at + AT_ONCE)
        some = texts[here]
        batch = tokenizer(list(some), pairs and list(pairs[here]), padding=len(some) > 1, return_tensors="pt").to(
            head.device
        )
        ids, mask = batch["input_ids"], batch["attention_mask"].bool()
        output = without_gradients(head, input_ids=ids, attention_mask=batch["attention_mask"])
        logits = output["logits"] if "logits" in output else torch.stack([output.start_logits, output.end_logits], -1)
        for i, row in enumerate(logits.float().cpu()):
            if not row.isfinite().all():
                raise InputError("the head gives numbers that are not finite; check its weights")
            real = mask[i].cpu()
            yield ids[i].cpu()[real], row if row.dim() == 1 else row[real]
