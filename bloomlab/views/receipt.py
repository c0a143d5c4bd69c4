"""Which part wrote this token: the result of `lab.receipt`, as a table that closes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearNames, did_you_mean, shorten
from bloomlab.guards.arguments import whole_text
from bloomlab.guards.frames import data_frame
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.hooks import NamedEdit
from bloomlab.lens import mlp_receipt
from bloomlab.lens import receipt as lens
from bloomlab.lens.cases import Case
from bloomlab.lens.lengths import Progress
from bloomlab.lens.mlp_receipt import MlpLines
from bloomlab.lens.receipt import Receipt
from bloomlab.lens.receipts import Receipts, receipts
from bloomlab.lens.trials import token_id
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import drawn, in_words
from bloomlab.tracing.edits import zero
from bloomlab.tracing.record import record
from bloomlab.tracing.trace import Trace
from bloomlab.views.evidence import Evidence
from bloomlab.views.live_result import LiveResult, kind_of, opened
from bloomlab.views.shared.like_texts import stand
from bloomlab.views.shared.panel import stamp
from bloomlab.views.shared.tables import change_cell, table, text_cell, token_names, word
from bloomlab.weights.pretrained import BloomPreTrainedModel

SHOWN = 12  # lines by size; the rest is one line
LITTLE = 0.05  # nats: where what follows changes a loss by less, nothing is said of it
SEEN = 0.01  # nats: a line that changes by less may look the same in two digits, and is the largest by rounding alone


@saying_that_memory_is_full
class ReceiptTable(LiveResult, NearNames):
    """A difference of two logits, a line for each part of the model, the largest first.

    Attributes:
        receipt: the numbers (see `bloomlab.lens.receipt.Receipt`).
        token, versus: the two, in words.
        where: the position it is read at, in words.
        instead: what stood in the place of each part for `total`, in words.
        stamp: model, weights, dtype.
        texts: the receipts of other texts, for mean and spread (see `bloomlab.lens.receipts.Receipts`); None without.
    """

    def __init__(self, receipt: Receipt, token: str, versus: str, where: str, instead: str, stamp: str) -> None:
        self.receipt, self.token, self.versus = receipt, token, versus
        self.where, self.instead, self.stamp = where, instead, stamp
        self.texts: Receipts | None = None
        self.open: Callable[[str, int], Evidence[MlpLines]] | None = None

    def neurons(self, layer: int) -> "Evidence[MlpLines]":
        """The line of one MLP as its neurons, which sum to it.

        Raises:
            InputError: there is no such layer.
        """
        return self._opened("neurons", layer)

    def without(self, layer: int) -> "Evidence[MlpLines]":
        """What the line of one MLP would lose without each head, or other part, that it reads.

        Raises:
            InputError: there is no such layer.
        """
        return self._opened("without", layer)

    def _opened(self, kind: str, layer: int) -> "Evidence[MlpLines]":
        if self.open is None:
            raise InputError("this receipt has no trace at hand to open an MLP with; make it with lab.receipt")
        return self.open(kind, layer)

    @property
    def names(self) -> tuple[str, ...]:
        """The lines, in the order of the model."""
        return self.receipt.names

    @property
    def direct(self) -> Tensor:
        """(part) the lines, which sum to the difference."""
        return self.receipt.direct

    @property
    def adapted(self) -> Tensor:
        """(part) what is lost without the part, the last norm set anew."""
        return self.receipt.adapted

    @property
    def total(self) -> Tensor | None:
        """(part) what is lost with something else in the part's place, all after it computed anew."""
        return self.receipt.total

    def order(self) -> list[int]:
        """The numbers of the lines, the largest first: by its direct or its total effect, whichever is larger."""
        found = self.receipt
        totals = torch.zeros_like(found.direct) if found.total is None else found.total.nan_to_num()
        size = found.direct.abs().maximum(totals.abs())
        order: list[int] = size.argsort(descending=True, stable=True).tolist()
        return order

    def words(self, part: int) -> str:
        """What the parts that follow make of its loss: amplified or made up for, and by which of them most.

        "" where it stays about what it is, or no line of theirs changes by 0.01 nats.
        """
        found = self.receipt
        if found.total is None or found.total[part].isnan():
            return ""
        alone, total, whom = found.adapted[part].item(), found.total[part].item(), found.by_whom(part)
        if whom is None or abs(whom[1]) < SEEN or abs(total - alone) < LITTLE:
            return ""
        other, change = whom
        does = "turned" if total * alone < 0 else "amplified" if abs(total) > abs(alone) else "made up for"
        line = found.direct[other].item()
        return f"{does}, most by {found.names[other]}: {line:.2f} → {line + change:.2f}".replace("-", "−")

    def _lines(self) -> list[list[str]]:
        found, rows = self.receipt, []
        order = self.order()
        for part in order[:SHOWN]:
            total = "" if found.total is None else change_cell(found.total[part].item(), 2)
            numbers = [change_cell(values[part].item(), 2) for values in (found.direct, found.adapted)]
            rows.append([found.names[part], *numbers, total, *self._over_texts([part]), self.words(part)])
        rest = order[SHOWN:]
        if rest:
            direct = change_cell(found.direct[rest].sum().item(), 2)
            over = [one if column == 0 else "" for column, one in enumerate(self._over_texts(rest))]
            rows.append([f"{len(rest)} smaller parts", direct, "", "", *over, ""])
        return rows

    def _over_texts(self, parts: Sequence[int]) -> list[str]:
        """Mean and spread over the texts of what these parts have together: direct, total."""
        if self.texts is None:
            return []
        sums = [values[:, parts].sum(1) for values in (self.texts.direct, self.texts.total)]
        return [f"{change_cell(one.mean().item(), 2)} ± {one.std(unbiased=False).item():.2f}" for one in sums]

    def _head(self) -> list[str]:
        """What each column is."""
        over = [] if self.texts is None else [f"{len(self.texts.difference)} texts: direct", "total"]
        return ["part", "direct", "adapted", "total", *over]

    @property
    def sentence(self) -> str:
        """What it comes to, and that it closes."""
        found = self.receipt
        return (
            f"{self.token} against {self.versus}, {self.where}: {found.difference:+.3f}; "
            f"the {len(found.names)} parts sum to it, error {found.error:.0e}"
        )

    def __repr__(self) -> str:
        rows = [[*self._head(), ""], *self._lines()]
        first, *widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
        lines = [
            f"{name:<{first}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
            + f"  {words}".rstrip()
            for name, *cells, words in rows
        ]
        return "\n".join([self.sentence, *lines, f"total: {self.instead} in the part's place"])

    def _repr_html_(self) -> str:
        rows = ([text_cell(name), *numbers, words] for name, *numbers, words in self._lines())
        caption = (
            f"{self.sentence}. direct: the last norm held; adapted: set anew; "
            f"total: {self.instead} in the part's place, and all that follows computed anew."
        )
        if self.texts is not None:
            caption += f" {len(self.texts.difference)} texts: mean ± standard deviation, each of its own answer."
        body = table([*self._head(), "and then"], rows, caption)
        return f"<div>{body}<p><small>{text_cell(self.stamp)}</small></p></div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_pandas(self) -> Any:
        """All lines as a pandas.DataFrame, in the order of the model.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        found = self.receipt
        columns: dict[str, Any] = {"part": list(found.names)}
        numbers = {"direct": found.direct, "adapted": found.adapted, "total": found.total}
        if self.texts is not None:
            for name, values in (("direct", self.texts.direct), ("total", self.texts.total)):
                numbers |= {f"{name} mean": values.mean(0), f"{name} spread": values.std(0, unbiased=False)}
        return data_frame(columns | {name: values.tolist() for name, values in numbers.items() if values is not None})


def receipt_table(
    lab: Any,
    text: str,
    token: str | int | None,
    versus: str | int | Sequence[str | int] | None,
    position: int,
    texts: Sequence[Case] | None,
    head: str | None,
    instead: NamedEdit | None = None,
) -> ReceiptTable:
    """The receipt of a token in a text that a Lab, of a floor above, can read; see `Lab.receipt`."""
    find = _of_token if head is None else partial(_of_head, head=head)
    table: ReceiptTable = find(lab, text, token, versus, position, texts, instead=instead)
    if head != "answer":  # whose question a page asks apart from the text
        settings = partial(_settings, lab.tokenizer, token, versus, texts, head, instead)
        place = {"query": position % len(lab.tokenizer.encode(text))}
        table.make_view = partial(opened, lab, text, texts, "predictions", settings, place)
    return table


def _settings(
    tokenizer: BloomTokenizerFast,
    token: str | int | None,
    versus: str | int | Sequence[str | int] | None,
    texts: Sequence[Case] | None,
    head: str | None,
    instead: NamedEdit | None,
) -> dict[str, Any]:
    """What a page sets to measure the same.

    Raises:
        InputError: it cannot: of several rivals, of a token that no text names, or of what only Python puts in a place.
    """
    by = "mean" if versus == lens.MEAN else "nothing" if versus is None else "token"
    named = [token, None if by != "token" or versus == "runner-up" else versus]
    words = ["" if one is None else one for one in named]
    if head is None:
        words = [tokenizer.decode([one]) if isinstance(one, int) else one for one in words]
    if not all(isinstance(one, str) for one in words):
        raise InputError("a page compares two that are named by their texts; name two, or read the numbers here")
    return {
        "receipt_head": head or "next",
        "receipt_token": words[0],
        "receipt_versus": words[1],
        "receipt_by": by,
        "receipt_instead": kind_of(instead, {None: "drawn", zero: "zero"}),
        "receipt_over": "texts" if texts and head is None else "this text",
        "explaining": "total",
    }


def _of_token(
    lab: Any,
    text: str,
    token: str | int | None,
    versus: str | int | Sequence[str | int] | None,
    position: int,
    texts: Sequence[Case] | None,
    instead: NamedEdit | None,
) -> ReceiptTable:
    model = lab.model
    trace = lab.trace(text, mlp_receipt.READ)
    _check_position(trace, position)
    best: list[int] = lens.said(model, trace, position).topk(2).indices.tolist()
    size = model.config.vocab_size
    first = best[0] if token is None else token_number(lab.tokenizer, size, token)
    second, rival = rival_of(lab.tokenizer, size, versus, next(one for one in best if one != first))
    stands, other = _stand(lab, text, texts, instead)
    found = _measured(lab._last, lab.trace, model, trace, first, second, position, stands)
    words, where = word(lab.tokenizer, first), where_in(trace, position)
    table = ReceiptTable(found, words, rival, where, other, stamp(trace.provenance))
    table.open = partial(_opened, model, trace, first, second, position)
    if texts is not None:
        alike = [case for case in texts if len(lab.tokenizer.encode(case.text)) == trace.ids.shape[1]]
        kind = versus if versus in (lens.MEAN, None) else "runner-up"
        if len(alike) > 1:
            table.texts = lab._last(receipts(model, lab.tokenizer, alike, stands, kind, position), whole=True)
    return table


def _of_head(
    lab: Any,
    text: str,
    label: str | int | None,
    versus: str | int | Sequence[str | int] | None,
    position: int,
    texts: Sequence[Case] | None,
    instead: NamedEdit | None,
    head: str,
) -> ReceiptTable:
    """The receipt of a task head's label, whose own copy of the model is read."""
    model = lab.heads[head]
    labels = labels_of(model)
    read = partial(record, lens.body(model), lab.tokenizer)
    trace = read(text, mlp_receipt.READ)
    trace.provenance["model"] = f"{lab.name}, head {head!r}"
    _check_position(trace, position)
    first, second, rival = labels_to_compare(model, lens.said(model, trace, position), label, versus)
    stands, other = _stand(lab, text, texts, instead)
    found = _measured(lab._last, read, model, trace, first, second, position, stands)
    table = ReceiptTable(found, labels[first], rival, where_in(trace, position), other, stamp(trace.provenance))
    table.open = partial(_opened, model, trace, first, second, position)
    return table


def _stand(
    lab: Any, text: str, texts: Sequence[Case] | None, instead: NamedEdit | None
) -> tuple[Callable[..., NamedEdit], str]:
    """What stands in a part's place, given the axes of the part; and that in words.

    Raises:
        InputError: it is no edit that could stand at any part.
    """
    words = ""
    if instead is None and texts is None:
        _, instead, words, *_ = stand(lab._texts_like(), text, "drawn")
    elif instead is None:
        instead = drawn([case.text for case in texts or ()])
    if not isinstance(instead, NamedEdit) or instead.again is None or instead.where:
        raise InputError(
            f"instead is an edit that names no axis, such as zero() or drawn(texts), but got {shorten(instead)}"
        )
    return instead.again, words or in_words(instead)


def labels_of(model: BloomPreTrainedModel) -> list[str]:
    """The labels of a task head, in the order of its outputs."""
    return [model.config.id2label[index] for index in range(model.config.num_labels)]


def labels_to_compare(
    model: BloomPreTrainedModel, said: Tensor, label: str | int | None, versus: Any
) -> tuple[int, lens.Versus, str]:
    """The label that is asked about, what it is measured by, and that in words; `said` are the head's logits (label).

    Raises:
        InputError: there is no such label.
    """
    labels, best = labels_of(model), said.argsort(descending=True).tolist()
    first = best[0] if label is None else _label(labels, label)
    others = [one for one in best if one != first]
    if versus is None or versus == lens.MEAN:
        return first, versus, "nothing" if versus is None else "the mean of all labels"
    if versus == "runner-up" and (isinstance(model, BloomForQuestionAnswering) or not others):
        return first, None, "nothing"  # where an answer starts is asked of the positions: no label is a rival
    numbers = [others[0] if one == "runner-up" else _label(labels, one) for one in _several(versus)]
    return first, (numbers[0] if len(numbers) == 1 else numbers), ", ".join(labels[one] for one in numbers)


def _measured(
    last: Callable[..., lens.Receipt],
    run: Callable[..., Trace],
    model: BloomPreTrainedModel,
    trace: Trace,
    first: int,
    second: lens.Versus,
    position: int,
    instead: Callable[..., NamedEdit],
) -> lens.Receipt:
    found = lens.receipt(model, trace, first, second, position)
    steps = lens.total_effects(
        model, lambda ids, edit: run(ids, lens.READ, edit), trace, found, first, second, position, instead
    )
    total = len(lens.places_of_parts(trace.config.n_layer, trace.config.n_head))
    return last((Progress(done, total, (so_far,)) for done, so_far in steps), unit="part")


def _opened(
    model: BloomPreTrainedModel,
    trace: Trace,
    first: int,
    second: lens.Versus,
    position: int,
    kind: str,
    layer: int,
) -> Evidence[MlpLines]:
    find = mlp_receipt.neurons if kind == "neurons" else mlp_receipt.without
    return Evidence(find(model, trace, layer, first, second, position), stamp(trace.provenance))


def _check_position(trace: Trace, position: int) -> None:
    columns = trace.ids.shape[1]
    if not -columns <= position < columns:
        raise InputError(f"the text has {columns} tokens, so a position is from 0 to {columns - 1}; got {position}")


def where_in(trace: Trace, position: int) -> str:
    """A position in words."""
    return f"after token {position % trace.ids.shape[1]} {token_names(trace.tokens)[position]}"


def _label(labels: Sequence[str], label: str | int) -> int:
    """The number of a label that is named by its text or number."""
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(labels):
        return label
    if label in labels:
        return labels.index(str(label))
    raise InputError(
        f"the head's labels are {', '.join(labels)}, but got {shorten(label)}{did_you_mean(str(label), labels)}"
    )


def _several(versus: Any) -> list[str | int]:
    """What is compared with, as a list."""
    if isinstance(versus, str | int):
        return [versus]
    if not isinstance(versus, Sequence):
        raise InputError(f"versus is a name, several, 'runner-up', 'mean' or None, but got {shorten(versus)}")
    return list(versus)


def rival_of(
    tokenizer: BloomTokenizerFast, size: int, versus: str | int | Sequence[str | int] | None, runner_up: int
) -> tuple[lens.Versus, str]:
    """What a token is measured by, and that in words; the vocabulary has `size` tokens.

    Raises:
        InputError: there is no such token.
    """
    if versus is None:
        return None, "nothing"
    if versus == lens.MEAN:
        return lens.MEAN, "the mean of all tokens"
    several = _several(versus)
    ids = [runner_up if one == "runner-up" else token_number(tokenizer, size, one) for one in several]
    return (ids[0] if len(ids) == 1 else ids), ", ".join(word(tokenizer, one) for one in ids)


def token_number(tokenizer: BloomTokenizerFast, size: int, token: str | int) -> int:
    """The id of what is one token of a vocabulary of so many.

    Raises:
        InputError: there is no such token.
    """
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token < size:
            raise InputError(f"the ids go from 0 to {size - 1}, but got {token}")
        return token
    return token_id(tokenizer, whole_text(token, "token"), "token")
