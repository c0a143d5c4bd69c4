"""The logit lens as a table that shows itself: what BLOOM would say at each step, if it stopped there. No script."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any, overload

from bloomlab.errors import NearNames
from bloomlab.guards.frames import InPandas
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.lens.logit_lens import LensRow
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token
from bloomlab.views.hidden.still import step_name
from bloomlab.views.shared.pictures import cell_colours, cell_style
from bloomlab.views.shared.tables import table, text_cell, token_names, word

WIDTH, COLUMN = 112, 11  # characters of a line in a terminal, and of one token's column there
SHOWN_TOKENS = 64  # columns of the table in a page; the rows themselves hold all


@saying_that_memory_is_full
class LogitLens(Sequence[LensRow], NearNames, InPandas):
    """The rows of the lens, from the embedding to the last layer; each is a LensRow with its numbers.

    Attributes:
        tokens: of the text that was read.
        vocab: how many tokens the model chooses from; its entropy is log(vocab) at most.
    """

    def __init__(self, rows: Sequence[LensRow], tokens: Sequence[Token], tokenizer: BloomTokenizerFast, vocab: int):
        self._rows, self.tokens, self._tokenizer, self.vocab = tuple(rows), tuple(tokens), tokenizer, vocab

    def words(self, row: int, pos: int) -> list[str]:
        """The likeliest next tokens of a cell as they show, the likeliest first."""
        return [word(self._tokenizer, token_id) for token_id in self._rows[row].ids[pos].tolist()]

    def records(self) -> list[dict[str, Any]]:
        """Each state of each token: where it is, the likeliest next token with its probability, entropy and surprise in
        nats, and the rank of the token that follows (0 where none does)."""
        return [
            {
                "step": row.label,
                "pos": pos,
                "token": name,
                "next": self.words(number, pos)[0],
                "p": row.probs[pos, 0].item(),
                "entropy": row.entropy[pos].item(),
                "rank": int(row.rank[pos]),
                "surprise": row.surprise[pos].item(),
            }
            for number, row in enumerate(self._rows)
            for pos, name in enumerate(token_names(self.tokens))
        ]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> LensRow: ...
    @overload
    def __getitem__(self, index: slice) -> "LogitLens": ...
    def __getitem__(self, index: int | slice) -> "LensRow | LogitLens":
        if isinstance(index, int):
            return self._rows[index]
        return LogitLens(self._rows[index], self.tokens, self._tokenizer, self.vocab)

    def __repr__(self) -> str:
        """A line for each state; of a long text the last tokens, as many as a line holds."""
        first = max(0, len(self.tokens) - (WIDTH - 26) // COLUMN)
        shown = token_names(self.tokens)[first:]
        lines = [f"{'after each token:':26}" + "".join(_column(name) for name in shown)]
        for number, row in enumerate(self._rows):
            cells = [_column(self.words(number, pos)[0]) for pos in range(first, len(self.tokens))]
            lines.append(f"{step_name(row.label):26}" + "".join(cells))
        left_out = f"; the first {first} tokens are left out here" if first else ""
        return "\n".join([f"logit lens: the likeliest next token at each step{left_out}", *lines]).rstrip()

    def _repr_html_(self) -> str:
        """The grid: the likeliest next token with its probability, in its colour; more of it for a pointer."""
        first = max(0, len(self.tokens) - SHOWN_TOKENS)
        head = [f"{place} {text_cell(name)}" for place, name in enumerate(token_names(self.tokens))][first:]
        rows = (
            [step_name(row.label), *(self._cell(number, pos) for pos in range(first, len(self.tokens)))]
            for number, row in enumerate(self._rows)
        )
        left_out = f" The first {first} tokens are left out here." if first else ""
        caption = (
            "Logit lens: what BLOOM would say next if it stopped there, and its probability (dark is 0, yellow is 1). "
            f"The last row is what it says.{left_out}"
        )
        return table(["stopped at", *head], rows, caption)

    def _cell(self, number: int, pos: int) -> str:
        row, words = self._rows[number], self.words(number, pos)
        p = row.probs[pos, 0].item()
        paper, ink = cell_colours(p)
        others = ", ".join(f"{name} {q:.3f}" for name, q in zip(words, row.probs[pos].tolist(), strict=True))
        following = f"; the token that follows has rank {row.rank[pos]}" if row.rank[pos] else ""
        title = f"{others}; entropy {row.entropy[pos]:.2f} of {math.log(self.vocab):.2f} nats{following}"
        style = f"{cell_style(paper, ink)};display:block;padding:2px 4px;white-space:nowrap"
        return f'<span style="{style}" title="{escaped(title)}">{text_cell(words[0])} {p:.2f}</span>'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _column(text: str) -> str:
    """A text cut or filled to a column's width; a Chinese character is two wide.

    >>> _column("Leo"), _column("\\u732b"), _column("a" * 20)
    ('Leo        ', '\u732b         ', 'aaaaaaaaa\u2026 ')
    """
    wide = [2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text]
    kept = 0
    while kept < len(text) and sum(wide[: kept + 1]) < COLUMN - 1:
        kept += 1
    shown = text if sum(wide) < COLUMN else f"{text[:kept]}…"
    return shown + " " * (COLUMN - sum(wide[:kept] if shown is not text else wide) - (shown is not text))
