"""The tokens of a text, as a list that shows itself: chips with ids and bytes; with a lab behind it, a live view."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from bloomlab.errors import InputError, NearNames
from bloomlab.guards.frames import InPandas
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.text.tokens import Token, display_tokens, find
from bloomlab.views.tokens.still import strip_html

if TYPE_CHECKING:
    from bloomlab.views.view import View


@saying_that_memory_is_full
class Tokens(Sequence[Token], NearNames, InPandas):
    """A sequence of Token, in the order of the text.

    `view` makes the live view, for tokens that a lab has read. It is made when it is first shown or asked for, so
    that counting the tokens of a thousand texts does not create a thousand views.

    >>> tokens = Tokens([Token(44, b"Leo", "Leo", (0, 3)), Token(17, b".", ".", (3, 4))])
    >>> tokens
    2 tokens
       0      44  4c 65 6f  Leo
       1      17  2e        .
    >>> tokens.ids, tokens[1].text, len(tokens[:1])
    ([44, 17], '.', 1)
    """

    def __init__(self, tokens: Iterable[Token], view: "Callable[[], View] | None" = None) -> None:
        self._tokens = tuple(tokens)
        self._make_view = view

    @property
    def ids(self) -> list[int]:
        """The ids the model is fed."""
        return [token.id for token in self._tokens]

    @cached_property
    def view(self) -> "View":
        """The live view of these tokens: merges step by step, other languages beside it, another text typed in.

        Raises:
            InputError: no lab has read these tokens.
        """
        if self._make_view is None:
            raise InputError("no lab has read these tokens, so there is no view of them; lab.tokens(text) has one")
        return self._make_view()

    def records(self) -> list[dict[str, Any]]:
        """Each token: its id, bytes, text, and the span of its characters."""
        return [
            {"id": token.id, "bytes": token.bytes, "text": token.text, "start": token.span[0], "end": token.span[1]}
            for token in self
        ]

    @property
    def code(self) -> str:
        """The Python that computes what the view shows."""
        return self.view.code

    def save(self, path: str | Path) -> Path:
        """Write the view to a file: .html (interactive, needs no network), .png or .svg."""
        return self.view.save(path)

    def find(self, text: str) -> list[int]:
        """The places of all tokens that have part of this text: `lab.tokens("Leo saw Leo").find("Leo")` is [0, 2].

        Raises:
            InputError: it stands nowhere.
        """
        return find(self, text)

    def index(self, value: Any, *span: Any) -> int:
        """The place of a token; of a text, that of the first token that has part of it."""
        return find(self, value)[0] if isinstance(value, str) else super().index(value, *span)

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, index: int) -> Token: ...
    @overload
    def __getitem__(self, index: slice) -> "Tokens": ...
    def __getitem__(self, index: int | slice) -> "Token | Tokens":
        return Tokens(self._tokens[index]) if isinstance(index, slice) else self._tokens[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(self._tokens)

    def __repr__(self) -> str:
        """A line for each token: place, id, bytes, and the text it shows as."""
        lines = []
        widest = max((len(token.bytes.hex(" ")) for token in self), default=0)
        for chip in display_tokens(self):
            for part, place in enumerate(chip.tokens):
                token = self[place]
                shown = chip.shown if part == 0 else "┘"  # a further token of the same character
                lines.append(f"{place:4}{token.id:8}  {token.bytes.hex(' '):{widest}}  {shown}")
        return "\n".join([f"{len(self)} token{'' if len(self) == 1 else 's'}", *lines])

    def _repr_html_(self) -> str:
        """Chips: one for each piece of text, however many tokens it is made of."""
        return strip_html(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view where there is one, with the list of tokens as its text."""
        if self._make_view is None:
            return {"text/plain": repr(self), "text/html": self._repr_html_()}
        data, metadata = self.view._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)}, metadata

    def _display_(self) -> "View | str":
        """What marimo shows: it takes a widget where there is one."""
        return self.view if self._make_view else repr(self)

    def _ipython_display_(self) -> None:
        """In a notebook, the live view and its still; elsewhere as any other object."""
        if self._make_view is None:
            raise NotImplementedError
        from bloomlab.views.shared.beside import show_beside

        data, metadata = self._repr_mimebundle_()
        show_beside(self.view, data, metadata, {"text": self.view.text})
