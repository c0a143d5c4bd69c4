"""Which part wrote this token: the result of `lab.receipt`, as a table that closes."""

from collections.abc import Sequence
from typing import Any

from bloomlab.errors import InputError
from bloomlab.lens.receipt import Receipt
from bloomlab.views.shared.tables import change_cell, table, text_cell

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
        """All lines as a pandas DataFrame, in the order of the model.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ImportError:
            raise InputError("to_pandas needs pandas; install it: pip install pandas") from None
        found = self.receipt
        columns: dict[str, Sequence[Any]] = {
            "part": found.names,
            "direct": found.direct.tolist(),
            "adapted": found.adapted.tolist(),
        }
        return pandas.DataFrame(columns | ({} if found.total is None else {"total": found.total.tolist()}))
