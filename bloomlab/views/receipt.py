"""Which part wrote this token: the result of `lab.receipt`, as a table that closes."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from bloomlab.errors import InputError
from bloomlab.guards.arguments import whole_text
from bloomlab.lens import receipt as lens
from bloomlab.lens.logit_lens import read_out
from bloomlab.lens.receipt import Receipt
from bloomlab.lens.trials import token_id
from bloomlab.tracing.donors import drawn
from bloomlab.tracing.edits import zero
from bloomlab.views.shared.panel import stamp
from bloomlab.views.shared.tables import change_cell, data_frame, table, text_cell, token_names, word

SHOWN = 12  # lines by size; the rest is one line
LITTLE = 0.05  # nats: where what follows changes a loss by less, nothing is said of it


class ReceiptTable:
    """A difference of two logits, a line for each part of the model, the largest first.

    Attributes:
        receipt: the numbers (see `bloomlab.lens.receipt.Receipt`).
        token, versus: the two, in words.
        where: the position it is read at, in words.
        instead: what stood in the place of each part for `total`, in words.
        stamp: model, weights, dtype.
    """

    def __init__(self, receipt: Receipt, token: str, versus: str, where: str, instead: str, stamp: str) -> None:
        self.receipt, self.token, self.versus = receipt, token, versus
        self.where, self.instead, self.stamp = where, instead, stamp

    @property
    def names(self) -> tuple[str, ...]:
        """The lines, in the order of the model."""
        return self.receipt.names

    def _order(self) -> list[int]:
        found = self.receipt
        size = found.direct.abs() if found.total is None else found.direct.abs().maximum(found.total.abs())
        order: list[int] = size.argsort(descending=True, stable=True).tolist()
        return order

    def words(self, part: int) -> str:
        """What the parts that follow make of its loss: amplified or made up for, and by which of them most."""
        found = self.receipt
        if found.total is None:
            return ""
        alone, total, whom = found.adapted[part].item(), found.total[part].item(), found.by_whom(part)
        if whom is None or abs(total - alone) < LITTLE:
            return ""
        other, change = whom
        does = "turned" if total * alone < 0 else "amplified" if abs(total) > abs(alone) else "made up for"
        line = found.direct[other].item()
        return f"{does}, most by {found.names[other]}: {line:.2f} → {line + change:.2f}"

    def _lines(self) -> list[list[str]]:
        found, rows = self.receipt, []
        order = self._order()
        for part in order[:SHOWN]:
            total = "" if found.total is None else change_cell(found.total[part].item(), 2)
            numbers = [change_cell(values[part].item(), 2) for values in (found.direct, found.adapted)]
            rows.append([found.names[part], *numbers, total, self.words(part)])
        rest = order[SHOWN:]
        if rest:
            rows.append([f"{len(rest)} smaller parts", change_cell(found.direct[rest].sum().item(), 2), "", "", ""])
        return rows

    @property
    def sentence(self) -> str:
        """What it comes to, and that it closes."""
        found = self.receipt
        return (
            f"{self.token} against {self.versus}, {self.where}: {found.difference:+.3f}; "
            f"the {len(found.names)} parts sum to it, error {found.error:.0e}"
        )

    def __repr__(self) -> str:
        head = ["part", "direct", "adapted", "total", ""]
        rows = [head, *self._lines()]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{row[0]:<{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:4], widths[1:], strict=True))
            + f"  {row[4]}".rstrip()
            for row in rows
        ]
        return "\n".join([self.sentence, *lines, f"total: {self.instead} in the part's place"])

    def _repr_html_(self) -> str:
        rows = ([text_cell(name), *numbers, words] for name, *numbers, words in self._lines())
        caption = (
            f"{self.sentence}. direct: the last norm held; adapted: set anew; "
            f"total: {self.instead} in the part's place, and all that follows computed anew."
        )
        body = table(["part", "direct", "adapted", "total", "and then"], rows, caption)
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
        return data_frame(columns | {name: values.tolist() for name, values in numbers.items() if values is not None})


def receipt_table(
    lab: Any,
    text: str,
    token: str | int | None,
    versus: str | int | Sequence[str | int] | None,
    position: int,
    texts: Sequence[str] | None,
) -> ReceiptTable:
    """The receipt of a token in a text that a Lab, of a floor above, can read; see `Lab.receipt`."""
    trace = lab.trace(text, lens.READ)
    columns = trace.ids.shape[1]
    if not -columns <= position < columns:
        raise InputError(f"the text has {columns} tokens, so a position is from 0 to {columns - 1}; got {position}")
    said = read_out(lab.model, trace[f"h.{lab.model.config.n_layer - 1}.resid_post"][0, position])
    best: list[int] = said.topk(2).indices.tolist()
    first = best[0] if token is None else _token_id(lab, token)
    second, rival = _rival(lab, versus, next(one for one in best if one != first))
    found = lens.receipt(lab.model, trace, first, second, position)
    instead = zero if texts is None else partial(drawn, list(texts))
    steps = lens.total_effects(
        lab.model, lambda ids, edit: lab.trace(ids, lens.READ, edit), trace, found, first, second, position, instead
    )
    *_, (_, found) = steps
    where = f"after token {position % columns} {token_names(trace.tokens)[position]}"
    other = "zeros" if texts is None else f"what one of {len(texts)} texts has"
    return ReceiptTable(found, word(lab.tokenizer, first), rival, where, other, stamp(trace.provenance))


def _rival(lab: Any, versus: str | int | Sequence[str | int] | None, runner_up: int) -> tuple[lens.Versus, str]:
    """What a token is measured by, and that in words."""
    if versus is None:
        return None, "nothing"
    if versus == lens.MEAN:
        return lens.MEAN, "the mean of all tokens"
    several = [versus] if isinstance(versus, str | int) else list(versus)
    ids = [runner_up if one == "runner-up" else _token_id(lab, one) for one in several]
    return (ids[0] if len(ids) == 1 else ids), ", ".join(word(lab.tokenizer, one) for one in ids)


def _token_id(lab: Any, token: str | int) -> int:
    """The id of what is one token."""
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token < lab.model.config.vocab_size:
            raise InputError(f"the ids go from 0 to {lab.model.config.vocab_size - 1}, but got {token}")
        return token
    return token_id(lab.tokenizer, whole_text(token, "token"), "token")
