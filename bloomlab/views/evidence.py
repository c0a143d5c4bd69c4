"""What was measured of an effect: the result of lab.refute, lab.keep, lab.direction as a table without script."""

from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from bloomlab.errors import NearMatches
from bloomlab.guards.frames import data_frame
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.tasks.results import readable
from bloomlab.views.shared.tables import table

SHOWN = 60  # characters of a cell in a terminal


class Found(Protocol):
    """What a lens found: a sentence, and a table of texts."""

    @property
    def sentence(self) -> str: ...
    @property
    def head(self) -> Sequence[str]: ...
    def rows(self) -> list[list[str]]: ...
    def records(self) -> list[dict[str, Any]]: ...


AnyFound = TypeVar("AnyFound", bound=Found)


@saying_that_memory_is_full
class Evidence(NearMatches, Generic[AnyFound]):
    """A measured sentence with its table.

    Attributes:
        found: the numbers, as the lens gives them.
        stamp: model, weights, dtype.
    """

    def __init__(self, found: AnyFound, stamp: str) -> None:
        self.found, self.stamp = found, stamp

    @property
    def sentence(self) -> str:
        """What was found, in words with their numbers."""
        return readable(self.found.sentence)

    def to_pandas(self) -> Any:
        """Every run as a row of a pandas.DataFrame.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(self.found.records())

    def __repr__(self) -> str:
        rows = [[_short(cell) for cell in row] for row in ([*self.found.head], *self.found.rows())]
        first, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
            for name, *cells in rows
        ]
        return "\n".join([self.sentence, *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        head = [escaped(readable(cell)) for cell in self.found.head]
        rows = [[f"<bdi>{escaped(readable(cell))}</bdi>" if cell else "" for cell in row] for row in self.found.rows()]
        return f"<div>{table(head, rows, self.sentence)}<p><small>{escaped(readable(self.stamp))}</small></p></div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _short(text: str) -> str:
    return readable(text) if len(text) <= SHOWN else f"{readable(text[: SHOWN - 1])}…"
