"""Which tokens mattered: the result of `lab.attribution`, three answers side by side, a row for each token."""

from typing import Any

from torch import Tensor

from bloomlab.errors import NearNames
from bloomlab.guards.frames import data_frame
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.lens.attribution import RESIDUE, Attribution
from bloomlab.lens.attributions import Attributions
from bloomlab.lens.refute import number
from bloomlab.tasks.results import readable
from bloomlab.views.live_result import LiveResult
from bloomlab.views.shared.pictures import tint
from bloomlab.views.shared.tables import change_cell, table, text_cell, token_names

SHOWN = 200  # rows: the last tokens
ANSWERS = ("left_out", "gradient", "integrated")
HEAD = ("token", "left out", "gradient × input", "integrated")


@saying_that_memory_is_full
class TokenAttribution(LiveResult, NearNames):
    """What each token gives to a difference of two logits, in nats, in three ways.

    Attributes:
        found: the numbers with all that is known of them (see `bloomlab.lens.attribution.Attribution`).
        left_out, gradient, integrated: (pos) the three answers.
        texts: of many texts, all of theirs (see `bloomlab.lens.attributions.Attributions`), whose means those are.
        stamp: model, weights, dtype.
    """

    def __init__(self, found: Attribution | Attributions, stamp: str) -> None:
        self.texts = found if isinstance(found, Attributions) else None
        self.found = found.mean if isinstance(found, Attributions) else found
        self.stamp = stamp
        self._tokens = [f"{place} {name}" for place, name in enumerate(token_names(self.found.tokens))]

    @property
    def left_out(self) -> Tensor:
        """(pos) by how much the difference falls with something else in the place of this token."""
        return self.found.left_out

    @property
    def gradient(self) -> Tensor:
        """(pos) embedding · gradient."""
        return self.found.gradient

    @property
    def integrated(self) -> Tensor:
        """(pos) integrated gradients."""
        return self.found.integrated

    def spread(self, name: str) -> Tensor | None:
        """(pos) the standard deviation over the texts of one answer; None of one text."""
        return None if self.texts is None else self.texts.spread(name)

    @property
    def sentence(self) -> str:
        """What was found, in words with its numbers."""
        found = self.found
        first, second = int(self.left_out.argmax()), int(self.integrated.argmax())
        pair = f"{found.answer!r} over {found.rival!r}" if found.answer else "answer over rival"
        pair = f"the lead of {pair} ({number(found.difference)} nats)"
        said = f"{found.instead} in the place of token {self._tokens[first]} takes most of {pair}: "
        said += f"{number(self.left_out[first].item())}"
        if self.left_out[first] <= 0:
            said = f"{found.instead} in the place of one token takes nothing from {pair}, wherever it stands"
        same = "the same token" if first == second else f"token {self._tokens[second]}"
        said += f"; integrated gradients give most to {same}: {number(self.integrated[second].item())}"
        said += f". The two agree at r = {found.agreement:.2f}"
        far = found.furthest
        said += f" and part most at token {self._tokens[far]}"
        said += f" ({number(self.left_out[far].item())}, {number(self.integrated[far].item())})."
        return readable(said if self.texts is None else f"mean of {len(self.texts.found)} texts: {said}")

    @property
    def closes(self) -> str:
        """How well the integrated gradients sum to what they should, in words."""
        found = self.found
        said = f"integrated gradients, {found.steps} steps: they sum to {number(found.difference - found.baseline)}, "
        said += f"the change from {found.instead} everywhere, but for {found.residue_share:.2%}"
        if found.residue_share > RESIDUE:
            said += "; more steps would not close that: the way to what stands there is too rough"
        return readable(said)

    def _rows(self) -> list[tuple[int, list[tuple[float, str]]]]:
        """The last tokens and their numbers, each as it is written: over texts with its spread."""
        columns = []
        for name in ANSWERS:
            values, spread = getattr(self, name).tolist(), self.spread(name)
            more = [""] * len(values) if spread is None else [f" ± {one:.2f}" for one in spread.tolist()]
            columns.append([(value, f"{change_cell(value, 2)}{one}") for value, one in zip(values, more, strict=True)])
        rows = [(place, list(cells)) for place, cells in enumerate(zip(*columns, strict=True))]
        return rows[-SHOWN:]

    def _left_out_note(self) -> list[str]:
        first = len(self._tokens) - SHOWN
        return [f"the first {first} tokens are left out here; .found has all"] if first > 0 else []

    def __repr__(self) -> str:
        rows = [list(HEAD)]
        rows += [[self._tokens[place], *(cell for _, cell in cells)] for place, cells in self._rows()]
        first, *widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{name:<{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
            for name, *cells in rows
        ]
        return "\n".join([self.sentence, self.closes, *lines, *self._left_out_note()])

    def _repr_html_(self) -> str:
        limits = [values.abs().max().item() or 1.0 for values in (self.left_out, self.gradient, self.integrated)]
        rows = ([text_cell(self._tokens[place]), *map(_cell, cells, limits)] for place, cells in self._rows())
        legend = "Nats of the lead; orange speaks for the answer, blue for the rival, each column in its own scale."
        notes = [self.closes, legend, *self._left_out_note(), readable(self.stamp)]
        small = "".join(f"<p><small>{escaped(note)}</small></p>" for note in notes)
        return f"<div><p>{escaped(self.sentence)}</p>{table(HEAD, rows)}{small}</div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def to_pandas(self) -> Any:
        """Every token as a row of a pandas.DataFrame.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        rows = self.found.records()
        if self.texts is not None:
            for name in ANSWERS:
                for row, spread in zip(rows, self.texts.spread(name).tolist(), strict=True):
                    row[f"{name} spread"] = spread
        return data_frame(rows)


def _cell(cell: tuple[float, str], limit: float) -> str:
    value, shown = cell
    style = ";".join([*filter(None, [tint(value / limit)]), "display:block;padding:2px 4px;white-space:nowrap"])
    return f'<span style="{style}" title="{number(value)} nats">{shown}</span>'
