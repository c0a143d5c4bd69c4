"""A panel of a view, as Python sees it: `view.attention.mode = "content"`, `view.tokens.compare()`."""

import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any

from bloomlab.errors import did_you_mean, shorten
from bloomlab.views.shared.panel import Panel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace


class ShownPanel:
    """A panel of a view, as Python sees it: its settings can be set, and what it shows can be read."""

    def __init__(self, view: Any, panel: Panel) -> None:
        self.__dict__.update(_view=view, _panel=panel)

    @property
    def trace(self) -> "Trace | None":
        """The trace it shows; None if its tab has not been opened for this text."""
        return self._view.trace if self._panel.name in self._view._computed else None

    @property
    def code(self) -> str:
        """The Python that computes the numbers of what is selected."""
        return str(self._view._code(self._panel))

    def __getattr__(self, name: str) -> Any:
        view, panel = self._view, self._panel
        for job in panel.jobs:
            if name == job.verb:
                return partial(view.run_job, panel, job)
            if name == job.found:
                return view.found(panel, job)
        shown = view._shown(panel)
        if name not in shown:
            words = [*(word for job in panel.jobs for word in (job.verb, job.found)), "trace", "code"]
            near = did_you_mean(name, [*shown, *words, *(dir(type(view)) if view._alone else ())])
            has = textwrap.shorten(", ".join(sorted(shown)), 160, placeholder=" …")
            raise AttributeError(f"the panel {panel.name!r} has no {shorten(name)}; it has {has}{near}")
        return shown[name]

    def __setattr__(self, name: str, value: Any) -> None:
        view, panel = self._view, self._panel
        if name not in panel.settings():
            near, has = did_you_mean(name, panel.settings()), ", ".join(panel.settings()) or "none"
            has = textwrap.shorten(has, 160, placeholder=" …")
            raise AttributeError(f"the panel {panel.name!r} has no setting {shorten(name)}; it has {has}{near}")
        setattr(view, view._trait(panel, name), value)

    def __repr__(self) -> str:
        names = ", ".join(f"{name}={self._view._shown(self._panel)[name]!r}" for name in self._panel.settings())
        return f"the panel {self._panel.name!r} of a view: {names or 'no settings'}"
