"""Where the answer is carried: the result of `lab.effects`, a map of effects as a table with coloured cells."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import NearNames
from bloomlab.guards.frames import data_frame
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.lens.effect_map import TURNED, Effects
from bloomlab.lens.refute import number
from bloomlab.tasks.results import readable
from bloomlab.views.live_result import LiveResult
from bloomlab.views.shared.pictures import tint
from bloomlab.views.shared.tables import change_cell, table, text_cell, token_names

WIDTH = 112  # characters of a line in a terminal
SHOWN_LINES, SHOWN = 40, 64  # rows in a terminal; rows and columns in a page: those with the largest effects
HARDLY = 0.005  # a smaller share would be written as 0.00
HATCHED = "background-image:repeating-linear-gradient(45deg,transparent 0 5px,currentColor 5px 6px)"


@saying_that_memory_is_full
class EffectMap(LiveResult, NearNames):
    """A map of effects that shows itself; shares of the logit difference, 0 nothing and 1 all of it.

    Attributes:
        found: the map with all it knows (see `bloomlab.lens.effect_map.Effects`).
        exact, estimate, values, spread: its tensors, (row, column).
        stamp: model, weights, dtype.
    """

    def __init__(self, found: Effects, stamp: str) -> None:
        self.found, self.stamp = found, stamp
        self._tokens = [f"{place} {name}" for place, name in enumerate(token_names(found.tokens))]

    @property
    def exact(self) -> Tensor:
        """(row, column) what was measured; NaN elsewhere."""
        return self.found.exact

    @property
    def estimate(self) -> Tensor | None:
        """(row, column) the estimate by gradients; None if there is none."""
        return self.found.estimate

    @property
    def values(self) -> Tensor:
        """(row, column) what was measured, and elsewhere the estimate."""
        return self.found.values

    @property
    def spread(self) -> Tensor | None:
        """(row, column) the standard deviation over the texts; None of one text."""
        return self.found.spread

    @property
    def rows(self) -> list[str]:
        """What each row is."""
        if self.found.axes[0] == "head":
            return [f"head {head}" for head in range(len(self.found.exact))]
        return self._tokens

    @property
    def columns(self) -> list[str]:
        """What each column is."""
        kind, names = self.found.axes[1], self.found.columns
        if kind == "key":
            return self._tokens
        if kind == "head":
            return list(names)
        return [name if name == "embed" else f"layer {name}" for name in names]

    def name(self, row: int, column: int) -> str:
        """What a cell is, in words."""
        what, at = self.found.what, self.found.columns[column]
        if what == "stream":
            return f"token {self._tokens[row]}, {'embedding' if at == 'embed' else f'after layer {at}'}"
        if what == "mlps":
            return f"MLP {at} at token {self._tokens[row]}"
        if what == "heads":
            return f"head {at}.{row}"
        if what == "positions":
            return f"head {at} at token {self._tokens[row]}"
        return f"head {self.found.of}'s look from token {self._tokens[row]} at token {self._tokens[column]}"

    def largest(self, count: int = 1) -> list[tuple[int, int]]:
        """The cells with the largest effects, the largest first."""
        sizes = self.values.abs().nan_to_num(nan=-1.0)
        order = sizes.flatten().argsort(descending=True, stable=True)[: min(count, int(self.found.is_cell.sum()))]
        return [divmod(int(place), sizes.shape[1]) for place in order]

    @property
    def sentence(self) -> str:
        """What was found, in words with its numbers, and how far they can be trusted."""
        found = self.found
        (place,) = self.largest()
        value = self.values[place].item()
        pair = (
            f"{readable(repr(found.answer))} over {readable(repr(found.rival))}"
            if found.answer
            else "answer over rival"
        )
        measured = "" if found.exact[place].isfinite() else "about "
        if found.mode == "needed":
            said = (
                f"{measured}{number(value)} of the lead of {pair} ({number(found.unit)} nats) goes with {found.instead}"
            )
            said += f" in the place of {self.name(*place)}, the cell that matters most"
        else:
            said = f"{measured}{number(value)} of the lead of {pair} ({number(found.unit)} nats) comes with"
            said += f" {self.name(*place)} alone, put into {found.instead}: the cell that matters most"
        if found.texts > 1 and found.spread is not None:
            others = f" ({found.left_out} others have no lead to share)" if found.left_out else ""
            said = f"mean of {found.texts} texts{others}: {said}; spread {number(found.spread[place].item())}"
        return f"{readable(said)}."

    @property
    def trust(self) -> str:
        """How far the numbers can be trusted, in words; "" where all were measured and nothing is known of noise."""
        found, parts = self.found, []
        open_cells = int((found.is_cell & found.exact.isnan()).sum())
        if (known := found.agreement) is not None:
            parts.append(
                f"the {found.estimated} estimate beside {known.cells} measured cells: r = {known.pearson:.2f}, "
                f"{known.found} of the largest {known.top} found, largest miss {number(known.miss)} at "
                f"{self.name(*known.cell)}"
            )
            if open_cells and known.random_miss is not None:
                parts.append(f"of {int(found.picked.sum())} cells picked at random {number(known.random_miss)}")
        if open_cells:
            parts.append(f"{open_cells} of {int(found.is_cell.sum())} cells are estimated only (~)")
        unstable = int((found.unstable & ~self._quiet()).sum())
        if unstable:
            cells = f"{unstable} cell{'' if unstable == 1 else 's'}"
            parts.append(f"in {cells} (?, hatched) more than {TURNED:.0%} of the texts have another sign")
        if found.floor is not None:
            parts.append(f"texts with the same answer differ by {number(found.floor)} of it: less than that is noise")
        return readable("; ".join(parts))

    def _quiet(self) -> Tensor:
        """(row, column) whether a cell's effect is below the noise."""
        return self.values.abs() < (0.0 if self.found.floor is None else self.found.floor)

    def _text(self, row: int, column: int) -> str:
        """A cell's number: blank where there is no cell, ~ before what is only estimated."""
        value = self.values[row, column].item()
        if value != value:
            return ""
        shown = "≈ 0" if 0 < abs(value) < HARDLY else change_cell(value, 2)
        unsure = "?" if self.found.unstable[row, column] and not self._quiet()[row, column] else ""
        return f"{'' if self.exact[row, column].isfinite() else '~'}{shown}{unsure}"

    def _shown(self, axis: int, count: int, least: float = 0.0) -> list[int]:
        """The rows or columns with the largest effects, in their order; those that reach `least`, if any does."""
        size = self.values.abs().nan_to_num(nan=0.0).amax(1 - axis)
        count = min(count, int((size >= least).sum()) or len(size))
        return sorted(size.argsort(descending=True, stable=True)[:count].tolist())

    def __repr__(self) -> str:
        width = max(7, *(len(name) + 1 for name in self.columns))
        first = max(map(len, self.rows))
        columns = self._shown(1, max(1, (WIDTH - first) // width), HARDLY)
        rows = self._shown(0, SHOWN_LINES, HARDLY)
        lines = [" " * first + "".join(f"{self.columns[column]:>{width}}" for column in columns)]
        lines += [
            f"{self.rows[row]:<{first}}" + "".join(f"{self._text(row, column):>{width}}" for column in columns)
            for row in rows
        ]
        return "\n".join([self.sentence, *filter(None, [self.trust]), *lines, *self._left_out(rows, columns)]).rstrip()

    def _left_out(self, rows: Sequence[int], columns: Sequence[int]) -> list[str]:
        counts = [(len(self.rows) - len(rows), "rows"), (len(self.columns) - len(columns), "columns")]
        left = " and ".join(f"{count} {name}" for count, name in counts if count)
        return [f"{left} with smaller effects are left out here; .values has all"] if left else []

    def _repr_html_(self) -> str:
        rows, columns = self._shown(0, SHOWN), self._shown(1, SHOWN)
        limit = self.values.abs().nan_to_num(nan=0.0).max().item() or 1.0
        head = [f"{' × '.join(self.found.axes)}", *(text_cell(self.columns[column]) for column in columns)]
        quiet, does = self._quiet(), "takes" if self.found.mode == "needed" else "brings"
        body = ([text_cell(self.rows[row]), *(self._cell(row, column, limit) for column in columns)] for row in rows)
        legend = [
            f"A cell is a share of {number(self.found.unit)} nats: orange {does} that much of the lead, blue does the "
            "opposite",
            "grey is below the noise" if quiet.any() else "",
        ]
        notes = [self.trust, "; ".join(filter(None, legend)), *self._left_out(rows, columns), readable(self.stamp)]
        small = "".join(f"<p><small>{escaped(note)}</small></p>" for note in notes if note)
        return f"<div><p>{escaped(self.sentence)}</p>{table(head, body)}{small}</div>"

    def _cell(self, row: int, column: int, limit: float) -> str:
        value, quiet = self.values[row, column].item(), bool(self._quiet()[row, column])
        if value != value:
            return ""
        styles = ["color:GrayText" if quiet else tint(value / limit)]
        styles += [HATCHED] * bool(self.found.unstable[row, column] and not quiet)
        title = f"{self.name(row, column)}: {number(value)}, {number(self.found.nats[row, column].item())} nats"
        if self.found.estimate is not None and self.exact[row, column].isfinite():
            title += f"; estimated {number(self.found.estimate[row, column].item())}"
        if self.found.spread is not None:
            title += f"; spread {number(self.found.spread[row, column].item())} over {self.found.texts} texts"
        if self.found.turned is not None:
            title += f", {self.found.turned[row, column].item():.0%} of them with another sign"
        style = ";".join([*filter(None, styles), "display:block;padding:2px 4px;white-space:nowrap"])
        return f'<span style="{style}" title="{escaped(readable(title))}">{self._text(row, column)}</span>'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_pandas(self) -> Any:
        """Every cell as a row of a pandas.DataFrame.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(self.records())

    def records(self) -> list[dict[str, Any]]:
        """Every cell as a row of a table: where it is, measured, estimated, in nats; over several texts the spread, and
        the share of those with another sign than the mean."""
        found = self.found
        optional = {"estimate": found.estimate, "spread": found.spread, "turned": found.turned}
        return [
            {"row": self.rows[row], "column": self.columns[column], "exact": found.exact[row, column].item()}
            | {name: values[row, column].item() for name, values in optional.items() if values is not None}
            | {"nats": found.nats[row, column].item()}
            for row, column in torch.nonzero(found.is_cell).tolist()
        ]
