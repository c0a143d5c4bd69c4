"""Is a longer text harder? The loss by length for several models side by side: a table, and curves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import NearNames
from bloomlab.guards.frames import InPandas
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.lengths import LengthLoss, Progress, length_lab
from bloomlab.model.positions import reached
from bloomlab.views.shared.tables import table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))  # colour is not the only carrier


@dataclass(frozen=True)
class LengthCurve:
    """The losses of one model, of each length that it has positions for."""

    name: str
    losses: tuple[LengthLoss, ...]


@saying_that_memory_is_full
class Lengths(tuple[LengthCurve, ...], NearNames, InPandas):
    """A curve for each model, all of the same texts; `figure()` draws them.

    Attributes:
        says: what was read.
        trained: the length that the first model was trained on; 0 if that is not known.
    """

    says: str
    trained: int

    def __new__(cls, curves: Sequence[LengthCurve], says: str, trained: int) -> "Lengths":
        made = super().__new__(cls, curves)
        made.says, made.trained = says, trained
        return made

    def records(self) -> list[dict[str, Any]]:
        """Each model and length: the mean loss in nats per token, and how many texts of that length were read."""
        return [
            {"model": curve.name, "length": loss.length, "loss": loss.mean, "texts": loss.rows}
            for curve in self
            for loss in curve.losses
        ]

    def _columns(self) -> list[int]:
        return sorted({loss.length for curve in self for loss in curve.losses})

    def _cells(self) -> list[list[str]]:
        """A line for each model; a length that it has no positions for is a dash."""
        return [
            [curve.name, *(f"{means[n]:.3f}" if n in means else "–" for n in self._columns())]
            for curve in self
            for means in [{loss.length: loss.mean for loss in curve.losses}]
        ]

    def __repr__(self) -> str:
        cells = self._cells()
        wide = max(len(row[0]) for row in cells)
        lines = [f"loss in nats per token, by the length of the text ({self.says})"]
        lines.append(" " * wide + "".join(f"{n:>9}" for n in self._columns()))
        return "\n".join([*lines, *(f"{row[0]:<{wide}}" + "".join(f"{cell:>9}" for cell in row[1:]) for row in cells)])

    def _repr_html_(self) -> str:
        head = [f"{n} · trained" if n == self.trained else str(n) for n in self._columns()]
        rows = ([escaped(row[0]), *row[1:]] for row in self._cells())
        caption = f"Loss in nats per token, by length of text: {escaped(self.says)}. –: it has no such positions."
        return table(["model", *head], rows, caption)

    def figure(self) -> "Figure":
        """The curves, by matplotlib: loss by length, both as measured; dashed upright, the trained length."""
        from bloomlab.views.shared.figure import ShownFigure, figure_style

        with figure_style(**{"axes.spines.top": False, "axes.spines.right": False}):
            figure = ShownFigure(figsize=(7, 4), layout="constrained", dpi=150)
            axes = figure.subplots()
            for number, curve in enumerate(self):
                lengths, means = [loss.length for loss in curve.losses], [loss.mean for loss in curve.losses]
                axes.plot(lengths, means, marker="o", ms=3, ls=DASHES[number % len(DASHES)], label=curve.name)
            if self.trained:
                axes.axvline(self.trained, color="0.3", lw=1, ls="--")
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set(xlabel="tokens in the text", ylabel="loss, nats per token")
            axes.set_title("is a longer text harder?", loc="left")
            axes.legend(frameon=False)
        return figure

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def lengths_of(
    models: Sequence[tuple[str, BloomForCausalLM]], ids: Tensor, lengths: Sequence[int], says: str, trained: int
) -> Iterator[Progress[Lengths]]:
    """Measure models, each with its name, on the same rows of tokens; each step has all that is known by then."""
    reads = [[n for n in lengths if n <= reached(model.config, n)] for _, model in models]
    whole = sum(ids.shape[0] * (ids.shape[1] // n * n) for each in reads for n in each)
    curves: list[LengthCurve] = []
    before = 0
    for (name, model), each in zip(models, reads, strict=True):
        step: Progress[LengthLoss] = Progress(0, 0, ())
        for step in length_lab(model, ids, each):
            now = [*curves, LengthCurve(name, step.results)]
            yield Progress(before + step.done, whole, (Lengths(now, says, trained),))
        before += step.done
        curves.append(LengthCurve(name, step.results))
