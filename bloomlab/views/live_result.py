"""A result that a live view can show, too: the explorer at the place where a page measures the same."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bloomlab.errors import InputError
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.lens.cases import Case

if TYPE_CHECKING:
    from bloomlab.views.view import View


@saying_that_memory_is_full
class LiveResult:
    """What a lab has measured of a text; `view` shows it live."""

    make_view: "Callable[[], View] | None" = None

    @cached_property
    def view(self) -> "View":
        """The explorer with the same opened and measured: other tokens, cells and texts a click away.

        Raises:
            InputError: no lab made this, or a page cannot ask for it.
        """
        if self.make_view is None:
            raise InputError("no lab made this result, so there is no view of it; a verb of a lab gives one with it")
        return self.make_view()


def opened(
    lab: Any,
    text: str,
    texts: Sequence[Case] | None,
    tab: str,
    settings: Callable[[], Mapping[str, Any]],
    place: Mapping[str, int],
) -> "View":
    """The explorer of a Lab, of a floor above, at a tab, with these settings of its panel; the last one opens it.

    Raises:
        InputError: from `settings`, a page cannot ask for it.
    """
    chosen = settings()
    view: View = lab.explore(text, texts=texts)
    view.tab = tab
    for name, value in place.items():
        setattr(view, name, value)
    for name, value in chosen.items():
        setattr(getattr(view, tab), name, value)
    return view


def kind_of(instead: Any, kinds: Mapping[Any, str]) -> str:
    """How a page asks for what stands in a place.

    Raises:
        InputError: it cannot.
    """
    made = None if instead is None else getattr(instead.again, "func", instead)
    if made not in kinds:
        raise InputError(f"a page cannot put {instead!r} there; the numbers are here, and .to_pandas() has them")
    return kinds[made]
