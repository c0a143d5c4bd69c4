"""What a page sends, checked in one place: only what a page may set, each value of the kind that it is meant to have.

A page is not the only one that can write to a kernel, and an older page may write what a newer view does not know. What
does not fit is left out; the page is told what is true instead, and the view works on.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import anywidget
import traitlets

from bloomlab.errors import NearMatches

LARGEST = 1 << 53  # what a whole number in a page may be


class FromPage(NearMatches, anywidget.AnyWidget):
    """A widget that takes from its page what fits, and nothing else."""

    def page_sets(self) -> Iterable[str]:
        """The traits that the page may set."""
        raise NotImplementedError

    def trouble(self, error: Exception) -> None:
        """What went wrong after values that fit: nobody is there to catch it."""

    def set_state(self, sync_data: Any) -> None:
        """Take a state from the page."""
        sent = sync_data if isinstance(sync_data, dict) else {}
        may = set(self.page_sets())
        fits = {name: value for name, value in sent.items() if name in may and self._fits(name, value)}
        try:
            if fits:
                super().set_state(fits)
        except Exception as error:
            self.trouble(error)
        wrong = [name for name in sent if name not in fits and isinstance(name, str) and name in self.keys]
        if wrong:
            self.send_state(wrong)

    def _fits(self, name: str, value: Any) -> bool:
        trait = self.traits()[name]
        if not _is_like(trait.default(self), value):
            return False
        try:
            trait._validate(self, value)  # as an assignment would
        except (traitlets.TraitError, TypeError, ValueError):
            return False
        return True

    def _handle_msg(self, msg: Any) -> None:
        """A message from the page; one that is no message is left alone."""
        try:
            data, buffers = msg["content"]["data"], msg.get("buffers")
            understood = isinstance(data, dict) and data.get("method") in ("update", "request_state", "custom")
            state, paths = data.get("state", {}), data.get("buffer_paths", [])
        except (KeyError, TypeError, AttributeError):
            return
        if understood and isinstance(state, dict) and not paths:  # no page of ours sends bytes
            super()._handle_msg({**msg, "content": {"data": {**data, "buffer_paths": []}}, "buffers": buffers or []})


def _is_like(example: Any, value: Any) -> bool:
    """Whether a value is of the kind of another: a truth, a number, whole words, a table with the same names."""
    if isinstance(example, bool) or isinstance(value, bool):
        return type(example) is type(value)
    if isinstance(example, int):
        return type(value) is int and -LARGEST < value < LARGEST
    if isinstance(example, str):
        return isinstance(value, str) and value == value.encode("utf-8", "ignore").decode()
    if isinstance(example, Mapping) and len(example) > 1:  # else it is a wish, which says itself what it has
        same = isinstance(value, dict) and value.keys() == example.keys()
        return same and all(_is_like(example[name], value[name]) for name in example)
    return True
