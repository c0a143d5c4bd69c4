"""The explorer: several views of one text as tabs, under one text box, one token strip and one selection.

Each tab is a view of its own that stands inside this one. It computes when its tab is first opened, and for a new
text only if it is open; all from one trace. The page knows this view only, so it carries the others' traits:
NAME_trait is the trait of the view NAME.
"""

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from bloomlab.errors import BloomlabError
from bloomlab.views.attention.payload import READ, strongest
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.text_view import SELECTION, TextView, text_picture

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

TITLES = {
    "tokens": "Tokens",
    "attention": "Attention",
    "alibi": "ALiBi",
    "hidden": "Hidden states",
    "predictions": "Predictions",
}


class Explorer(TextView):
    """Five views of one text, as tabs, with one selection.

    `read(text)` gives the Trace to show, with what all views need; `views` says by the names of TITLES how each is
    made, but for where it stands. If a trace lacks what a view needs, its tab says so.

        view = lab.explore("Leo lives in Oslo.")
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # one selection for all tabs
        view.tab = "hidden"                                          # or "tokens", "attention", "alibi", "predictions"
        view.views["attention"].mode = "content"                     # what is a view's own
        view.save("leo.html")                                        # all tabs, offline; .png and .svg: the open one
    """

    module = "explorer"
    _esm = module_text(module)
    _css = style_text(module)

    tab = traitlets.Unicode("attention").tag(sync=True)
    troubles = traitlets.Dict().tag(sync=True)  # in words, why a tab has no picture

    def __init__(
        self,
        read: Callable[[str], "Trace"],
        views: Mapping[str, Callable[..., TextView]],
        text: "str | Trace" = "",
        setup: str = "",
        **traits: Any,
    ) -> None:
        self.views = {name: make(inside=self) for name, make in views.items()}
        self._carried: set[str] = set()  # the views whose traits are those of the trace that is shown
        carried = {
            f"{name}_{trait}": traitlets.Any(getattr(view, trait)).tag(sync=True)
            for name, view in self.views.items()
            for trait in ("picture", *view.own_traits())
        }
        self.add_traits(**carried)
        super().__init__(read, "", setup, **traits)
        for name, view in self.views.items():
            view.observe(partial(self._from_view, name), ["picture", *SELECTION, *view.own_traits()])
        self.observe(self._to_view, list(carried))
        if text != "":
            self.show(text)

    def _take(self, trace: "Trace", place: dict[str, int]) -> None:
        self.picture = text_picture(trace) | {"code": []}
        self.trace, self.troubles = trace, {}
        self._carried.clear()
        for name in self.views:
            setattr(self, f"{name}_picture", {})  # that of another text
        self._show_view(self.tab, place)
        self._carry(self.tab)

    def _first_place(self, trace: "Trace", place: dict[str, int]) -> dict[str, int]:
        place = place | self._last_layer_at_first(trace)
        if all(f"h.{place['layer']}.{spot}" in trace for spot in READ):
            return place | strongest(trace, place["layer"], place["head"])
        return place | super()._first_place(trace, place)

    # ---- the views inside ----

    def _show_view(self, name: str, place: dict[str, int]) -> None:
        """Let a view show the trace and the selection. If it refuses, its tab says why; the others work."""
        view, trace = self.views[name], self.trace
        if trace is None or name in self.troubles:
            return
        try:
            if view.trace is not trace:
                view.show(trace, place)
            else:
                with view.hold_sync(), view.hold_trait_notifications():
                    for trait, value in place.items():
                        setattr(view, trait, value)
        except BloomlabError as error:
            self.troubles = {**self.troubles, name: str(error)}
        except KeyboardInterrupt:
            self.troubles = {**self.troubles, name: "this was interrupted; open the tab once more to compute it"}
        except Exception as error:  # nobody is there to catch it, so the tab shows it
            self.troubles = {**self.troubles, name: f"{type(error).__name__}: {error}"}

    def _carry(self, name: str) -> None:
        """Give the page what a view shows."""
        if name in self.troubles or name in self._carried:
            return
        self._carried.add(name)
        for trait in ("picture", *self.views[name].own_traits()):
            setattr(self, f"{name}_{trait}", getattr(self.views[name], trait))

    @property
    def _place(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in SELECTION}

    @traitlets.observe("tab", *SELECTION)
    def _follow(self, change: dict[str, Any]) -> None:
        """The open tab's view follows the selection; others do when they are opened."""
        if self.trace is not None:
            with self.hold_sync():
                if change["name"] == "tab":  # a failed view may be tried again
                    self.troubles = {name: words for name, words in self.troubles.items() if name != self.tab}
                self._show_view(self.tab, self._place)
                self._carry(self.tab)

    def _from_view(self, name: str, change: dict[str, Any]) -> None:
        """A view has changed by itself, or in Python."""
        if name not in self._carried:
            return
        if change["name"] not in SELECTION:
            setattr(self, f"{name}_{change['name']}", change["new"])
        elif name == self.tab:
            setattr(self, change["name"], change["new"])

    def _to_view(self, change: dict[str, Any]) -> None:
        """The page has changed something that is a view's own."""
        name, _, trait = change["name"].partition("_")
        if name in self._carried and trait != "picture":
            with self.hold_sync():
                setattr(self.views[name], trait, change["new"])

    @traitlets.validate("tab")
    def _one_of_the_tabs(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in self.views:
            raise traitlets.TraitError(f"no tab {proposal['value']!r}; it has {', '.join(self.views)}")
        return str(proposal["value"])

    # ---- the same elsewhere ----

    @property
    def code(self) -> str:
        """The Python that computes the numbers of what is selected in the open tab."""
        return self.views[self.tab].code

    def _saved(self) -> dict[str, Any]:
        """All tabs, including those that nobody has opened."""
        state = super()._saved()
        for name, view in self.views.items():
            self._show_view(name, self._place)
            if name not in self.troubles:
                own = view._saved().items()
                state |= {f"{name}_{trait}": value for trait, value in own if trait not in (*SELECTION, "scale")}
        return state | {"troubles": self.troubles}

    def _still(self) -> str:
        """What has been computed so far, one below the other."""
        if not self.picture:
            return "<p>bloomlab explorer: nothing read yet.</p>"
        panels = {
            name: view for name, view in self.views.items() if view.trace is self.trace and name not in self.troubles
        }
        words = "".join(f"<p>{escape(TITLES[name])}: {escape(trouble)}</p>" for name, trouble in self.troubles.items())
        return "".join(f"<h3>{escape(TITLES[name])}</h3>{view._still()}" for name, view in panels.items()) + words

    def _draw(self, path: Path) -> None:
        self.views[self.tab]._draw(path)

    def __repr__(self) -> str:
        if not self.picture:
            return "Explorer(nothing read yet; view.show('Leo lives in Oslo.') reads a text)"
        picture, text = self.picture, self.text
        where = ", ".join(f"{name} {value}" for name, value in self._place.items())
        return (
            f"Explorer({text[:57] + '…' if len(text) > 58 else text!r}: {len(picture['tokens'])} tokens, "
            f"{picture['layers']} layers × {picture['heads']} heads, shows {self.tab}: {where}; {picture['stamp']})"
        )
