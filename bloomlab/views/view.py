"""The view: one widget that shows a text through one panel or several, with one selection.

It reads a text, from Python or typed into the page, keeps what the page shows, and asks its panels for what they draw
from. With several panels each is a tab: it computes when its tab is first opened, and for a new text only if it is
open; all from one trace. With edits, or another text or model to compare with, there are two runs, and a switch that
governs every panel: as it is, what if, and the difference. A panel's settings and pieces are traits of the view; where
there are several panels, NAME_x is x of the panel NAME.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import traitlets

from bloomlab.errors import BloomlabError, HookError, InputError, check_attribute, no_attribute, shorten
from bloomlab.guards.arguments import whole_within
from bloomlab.guards.files import replacing, temporary_folder
from bloomlab.guards.markup import escaped
from bloomlab.guards.memory import give_back, said_of, saying_that_memory_is_full
from bloomlab.guards.uninterrupted import interrupts_wait
from bloomlab.hooks import Edit, Edits, Spot
from bloomlab.tasks.results import readable
from bloomlab.tracing.trace import Trace
from bloomlab.views.live import live_given
from bloomlab.views.measured import ASKS, SAVED, SETS, Measured, in_words
from bloomlab.views.shared.assets import module_text, style_text
from bloomlab.views.shared.beside import show_beside
from bloomlab.views.shared.code import code_parts
from bloomlab.views.shared.edits import EditList
from bloomlab.views.shared.embedded import Embedded
from bloomlab.views.shared.page import live_page, page
from bloomlab.views.shared.panel import SELECTION, Job, Panel, Place, last_layer_first, text_picture
from bloomlab.views.shared.steps import Steps
from bloomlab.views.shown_panel import ShownPanel
from bloomlab.views.worth import Worth

RUNS = ("as it is", "what if", "difference")
PAUSE = 0.06  # seconds without a new text from the page before the model runs
DONOR = ("text", "tokens", "chips")
FILES = ("png", "svg", "html")  # that the page may ask for
LONG = 512  # tokens of a text whose patterns are worth giving back
ROW_SHOWN = 60  # characters of a text in the list of texts
EDIT_PAUSE = 0.005  # of edits, which nobody types letter by letter


@saying_that_memory_is_full
class View(Measured):
    """A text, seen through one panel or several.

    `read(text)` gives the Trace to show, with what all panels need; it is called again for each text typed into the
    page. With `edit`, `read(text, edit)` gives two: the edited one, and the one without; if that is at hand, it comes
    as a third argument. `against` is the trace of another text or model to compare with, or a function that gives it
    for a text. The page may ask for edits where it gets the `spots` of the model, and `read_donor` reads a text that
    they copy from; `worth` measures what they do. `setup` is the Python that made `lab`, for `.code`. What a trace
    lacks, a lone panel refuses; of several, its tab says so.

        view = lab.explore("Leo lives in Oslo.")                     # or lab.attention, lab.hidden_states, …: one panel
        view.layer, view.head, view.query, view.key = 2, 5, 4, 0     # point at a cell, here or in the page
        view.tab = "hidden"                                          # of several panels, the open one
        view.attention.mode = "content"                              # a panel's setting; of a lone one: view.mode
        view.show("Another text.")
        view.trace                                                   # the numbers themselves
        view.run = "difference"                                      # of two runs; or "as it is", "what if"
        view.save("leo.html")                                        # works offline; also .png and .svg
    """

    _css = style_text()

    # what the page sets
    typed: Any = traitlets.Dict({"text": "", "number": 0}).tag(
        sync=True
    )  # the number distinguishes one wish from the next
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    key = traitlets.Int(0).tag(sync=True)

    # what the page draws
    live = traitlets.Bool(True).tag(sync=True)  # False in a saved page
    name = traitlets.Unicode().tag(sync=True)  # of its still, which is hidden while a live view is in the page
    scale = traitlets.Float(1.0, min=0.5, max=3.0).tag(sync=True)  # larger for a projector
    compact: Any = traitlets.Bool(None, allow_none=True).tag(sync=True)  # one screen of 1280 × 720; None: on a slide
    png = traitlets.Bool(False)  # True: the notebook gets the main picture too, for hosts that print no HTML (LaTeX)
    state = traitlets.Enum(("ready", "working", "empty", "error"), "empty").tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    answered = traitlets.Int(0).tag(sync=True)  # the number of the typed text that `state` is about
    picture = traitlets.Dict().tag(sync=True)

    # a trace of several texts
    trace_rows: Any = traitlets.List().tag(sync=True)  # their texts, to choose from; none where there is one
    trace_row = traitlets.Int(0).tag(sync=True)  # the one that is shown

    # two runs
    run = traitlets.Enum(RUNS, "what if").tag(sync=True)
    runs: Any = traitlets.List().tag(sync=True)  # those that there are to choose from; none where there is one run
    changes: Any = traitlets.List().tag(sync=True)  # the edits in words, in their order
    compared = traitlets.Unicode("").tag(sync=True)  # another text that this one is compared with
    off: Any = traitlets.Any([]).tag(sync=True)  # the numbers of those that are switched off
    editable = traitlets.Bool(False).tag(sync=True)  # whether the page may ask for edits
    wished: Any = traitlets.Any({"number": 0}).tag(sync=True)  # {"do": "add", "edit": …}, as EditList.after takes it
    heard: Any = traitlets.Any(0).tag(sync=True)  # the number of the last wish that was granted or refused
    donor: Any = traitlets.Dict().tag(sync=True)  # another text to copy from, once {"do": "read", "text": …} has asked

    def __init__(
        self,
        read: Callable[..., Any],
        panels: Iterable[Panel],
        text: "str | Trace" = "",
        setup: str = "",
        edit: Edits | None = None,
        against: "Trace | Callable[[str], Trace] | None" = None,
        spots: Callable[[], Mapping[str, Spot]] | None = None,
        read_donor: "Callable[[str], Trace] | None" = None,
        worth: Worth | None = None,
        **traits: Any,
    ) -> None:
        self.panels = {panel.name: panel for panel in panels}
        self.trace: Trace | None = None  # of the run that is chosen; of the difference, the second
        self._batch: Trace | None = None  # of several texts, one of which is shown
        self._shown_row = 0
        self._two: tuple[Trace, Trace | None] | None = None  # the run, and the one it is measured by
        self._edits = self._wanted = EditList.of(edit)  # of what is shown, and of what is on its way
        self._against, self._spots = against, spots
        self._read_donor = read_donor
        self._donor: Trace | None = None  # of another text, to copy from
        self.troubles: dict[str, str]  # a trait where there are several panels
        self.tab: str
        self._read, self._setup = read, setup
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._computed: set[str] = set()  # the panels whose pieces are those of the trace that is shown
        self._jobs: dict[str, Steps] = {}
        self._found: dict[str, Any] = {}
        self._chosen = "what if"  # the run that is shown
        self._first_tab = "attention" if "attention" in self.panels else next(iter(self.panels))
        self._esm = module_text(self.module)
        self.add_traits(**self._panel_traits())
        traits["changes"] = self._edits.words
        traits["editable"] = spots is not None and against is None
        traits.setdefault("layout", {"width": "100%"})  # in a box that gives it no width, it would have none
        super().__init__(worth, **traits)  # its traits are observed from here on
        self.name = self.model_id
        self.on_msg(self._answer)
        self._complete = True
        for panel in self.panels.values():
            for name in panel.settings():
                self.observe(partial(self._setting_changed, panel, name), self._trait(panel, name))
        if text != "":
            self.show(text)

    @property
    def module(self) -> str:
        """The view is drawn by widgets/MODULE.js or widgets/MODULE/MODULE.js."""
        return next(iter(self.panels)) if self._alone else "explorer"

    @property
    def _alone(self) -> bool:
        return len(self.panels) == 1

    def _panel_traits(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        found: dict[str, traitlets.TraitType[Any, Any]] = {}
        for panel in self.panels.values():
            pieces = {name: _trait_of(piece.empty) for name, piece in panel.pieces.items()}
            own = {**({} if self._alone else {"picture": traitlets.Dict()}), **pieces, **panel.settings()}
            found |= {self._trait(panel, name): trait.tag(sync=True) for name, trait in own.items()}
        if not self._alone:
            found["tab"] = traitlets.Unicode(self._first_tab).tag(sync=True)
            found["troubles"] = traitlets.Dict().tag(sync=True)  # in words, why a tab has no picture
        return found

    def _trait(self, panel: Panel, name: str) -> str:
        """The trait that is a panel's setting or piece of this name."""
        return name if self._alone else f"{panel.name}_{name}"

    def __getattr__(self, name: str) -> Any:
        """`view.attention` is the panel of this name; a lone panel's own words are the view's, too: `view.costs`."""
        panels = self.__dict__.get("panels", {})
        if name in panels:
            return ShownPanel(self, panels[name])
        if len(panels) == 1 and not name.startswith("_"):
            return getattr(ShownPanel(self, *panels.values()), name)
        raise AttributeError(no_attribute(self, name, panels))

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("_complete"):
            check_attribute(self, name, self.traits())
        super().__setattr__(name, value)

    # ---- showing a text ----

    def show(self, text: "str | Trace") -> None:
        """Read a text, or take a trace, and show it. If it raises, nothing changes.

        Of a trace of several texts the first is shown; `view.trace_row` chooses another.
        """
        if not isinstance(text, str | Trace):
            raise InputError(f"a view shows a text or a trace of one, but got {shorten(text)}")
        several = None if isinstance(text, str) or len(text.ids) == 1 else text
        self._show_row(text if several is None else several.row(0), several, 0)

    def _show_row(self, text: "str | Trace", several: "Trace | None", row: int) -> None:
        two = self._read_both(text, self._edits)
        runs = _runs_of(two, self.panels.values())
        run = self.run if self.run in runs else "what if"
        self._show(two, run, self._first_place(two[0]), runs, self._edits, (several, row))

    def _read_both(self, text: "str | Trace", edits: EditList) -> "tuple[Trace, Trace | None]":
        """The run to show, and the one it is measured by, if there is one."""
        if edits.on and not isinstance(text, str):
            raise InputError("a trace is of one run; to compare it with an edited one, pass its text and edit=…")
        if edits.on:
            shown = [trace for trace in self._two or () if trace and trace.text == text and not trace.edit]
            after, before = self._read(text, edits.on, *shown[:1])  # the run without edits need not be made again
            return after, before
        trace = self._read(text) if isinstance(text, str) else text
        if edits.entries:  # all are switched off
            return trace, trace
        return trace, self._against(str(trace.text)) if callable(self._against) else self._against

    @property
    def edits(self) -> "dict[str, list[Edit]]":
        """The edits that are on, as `lab.trace(text, edit=view.edits)` takes them."""
        return self._edits.on

    def _show(
        self,
        two: "tuple[Trace, Trace | None]",
        run: str,
        place: Place,
        runs: list[str],
        edits: EditList,
        row_of: "tuple[Trace | None, int] | None" = None,
    ) -> None:
        """Show one of two runs, or their difference, at a place. If it raises, nothing changes.

        `row_of` is the trace of several texts that this one is a row of, and which; None: as before.
        """
        trace, base = _traces_of(two, run)
        place, panel = _inside(place, trace), self._open
        pieces, troubles = {}, {}
        try:
            pieces = self._numbers(panel, trace, place, base)
        except Exception as error:
            if self._alone:
                raise
            troubles = {panel.name: _in_words(error)}
        # the trace, its edits and its picture, or none of them; in one message, for the page never to see half of it
        with interrupts_wait(), self.hold_sync():
            self.trace, self._two = trace, two
            self._chosen, self.run, self.runs = run, run, runs
            if row_of is not None:
                self._batch, self._shown_row = row_of
                self.trace_rows = (
                    [] if self._batch is None else [readable(text[:ROW_SHOWN]) for text in self._batch.text]
                )
                self.trace_row = self._shown_row
            self.compared = _text_of_base(two)
            self.editable = self._spots is not None and (bool(edits.entries) or two[1] is None)
            if edits is not self._edits:  # else the page may just have sent others that are off
                self._edits, self.changes, self.off = edits, edits.words, list(edits.off)
            self._computed.clear()
            if not self._alone:
                self.picture, self.troubles = text_picture(trace) | {"code": []}, troubles
                for other in self.panels.values():
                    setattr(self, self._trait(other, "picture"), {})  # that of another text
            for other in self.panels.values():
                for job in other.jobs:
                    if job.of_text:
                        self._forget(other, job)
            if pieces:
                self._take(panel, pieces)
            with self.hold_trait_notifications():  # a place, not one coordinate after the other
                for name, value in place.items():
                    setattr(self, name, value)
            self.state, self.message = "ready", ""
        self._begin_if_asked(panel)
        self._weigh()

    def _first_place(self, trace: "Trace") -> Place:
        """Where the eye goes first in a new text."""
        place = _inside(self._place, trace)
        first = not self.picture
        if self._alone:
            panel = next(iter(self.panels.values()))
            return place | panel.place(trace, place, first)
        place |= last_layer_first(trace, first)
        try:
            return place | self.panels[self._first_tab].place(trace, place, first)
        except HookError:  # the trace lacks what this panel needs
            return place | Panel().place(trace, place, first)

    @property
    def _base(self) -> "Trace | None":
        """The run that the one shown is measured by, while the difference is shown."""
        return self._two[1] if self._two and self._chosen == "difference" else None

    def _numbers(self, panel: Panel, trace: "Trace", place: Place, base: "Trace | None") -> dict[str, Any]:
        """A panel's pieces of a trace, or of its difference to another, with its code."""
        shown = {**self._shown(panel), **place}
        if base is not None and not panel.compares:
            raise InputError(f"{panel.title} draws no difference; choose “as it is” and “what if” in turn")
        pieces = panel.numbers(trace, shown) if base is None else panel.numbers(trace, shown, base)
        setup = trace.lab.code if trace.lab else self._setup
        pieces["picture"]["code"] = code_parts(panel.template(pieces["picture"]), trace, setup)
        return pieces

    def _take(self, panel: Panel, pieces: Mapping[str, Any]) -> None:
        """Give the page a panel's pieces of a new picture."""
        self._computed.add(panel.name)
        self._set(panel, pieces)

    def _set(self, panel: Panel, pieces: Mapping[str, Any]) -> None:
        with self.hold_sync():
            for name, value in pieces.items():
                setattr(self, self._trait(panel, name), value)
        if self.trace is not None and len(self.trace.tokens) >= LONG:  # patterns were made, and are gone again
            give_back()

    def _shown(self, panel: Panel) -> dict[str, Any]:
        """The place, and a panel's settings and pieces."""
        names = ("picture", *panel.pieces, *panel.settings())
        own = {name: getattr(self, self._trait(panel, name)) for name in names}
        shown = {**self._place, "scale": self.scale, **own}
        return {**shown, **(panel.derived(shown) if own["picture"] else {})}

    @property
    def _place(self) -> Place:
        return {name: getattr(self, name) for name in SELECTION}

    # ---- the tabs ----

    def _compute(self, name: str, place: Place, changed: str = "") -> None:
        """Let a panel show the trace and the place. If it refuses, its tab says why; the others work."""
        panel, trace = self.panels[name], self.trace
        if trace is None or name in self.troubles:
            return
        try:
            if name in self._computed:
                self._set(panel, panel.more(trace, {**self._shown(panel), **place}, changed, self._base))
            else:
                self._take(panel, self._numbers(panel, trace, place, self._base))
                self._begin_if_asked(panel)
        except (Exception, KeyboardInterrupt) as error:  # nobody is there to catch it, so the tab shows it
            self.troubles = {**self.troubles, name: _in_words(error)}

    def _all_shown(
        self, run: str, names: Iterable[str] | None = None
    ) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """What every panel, or each of these, shows of a run, or would if its tab were opened, and why some do not.

        The page hears of nothing.
        """
        chosen = run == self._chosen
        shown, troubles = {}, {} if self._alone or not chosen else dict(self.troubles)
        for name, panel in self.panels.items():
            if name in troubles or self._two is None or (names is not None and name not in names):
                continue
            shown[name] = self._shown(panel)
            if name not in self._computed or not chosen:
                try:
                    trace, base = _traces_of(self._two, run)
                    pieces = self._numbers(panel, trace, _inside(self._place, trace), base)
                    shown[name] |= pieces
                    shown[name] |= panel.derived(shown[name])
                except (Exception, KeyboardInterrupt) as error:
                    del shown[name]
                    troubles[name] = _in_words(error)
        return shown, troubles

    # ---- the text and the code ----

    @property
    def text(self) -> str:
        """The text that is shown."""
        return str(self.picture.get("text", ""))

    @property
    def code(self) -> str:
        """The Python that computes the numbers of what is selected, in the open tab."""
        return self._code(self._open)

    @property
    def _open(self) -> Panel:
        return next(iter(self.panels.values())) if self._alone else self.panels[self.tab]

    def _code(self, panel: Panel) -> str:
        shown = self._shown(panel)
        parts = shown["picture"].get("code", [])
        return "".join(str(shown[part]) if i % 2 else part for i, part in enumerate(parts)) + panel.more_code(shown)

    # ---- the same elsewhere: in a file, in a page without a kernel, in a terminal ----

    def save(self, path: str | Path, live: bool = False) -> Path:
        """Write the view to a file: .html (interactive, needs no network), .png or .svg (its main picture).

        A `live` page has the model inside and computes by itself: any text, edits by hand, no Python (docs/page.md).

        Raises:
            InputError: nothing is shown yet, the name ends otherwise, or the file cannot be written; or the page cannot
                be live, as its model is too large, or an edit is one that it cannot make.
        """
        path = Path(path)
        if self.trace is None:
            raise InputError("there is nothing to save yet; show a text first: view.show('Leo lives in Oslo.')")
        if live and path.suffix != ".html":
            raise InputError(f"a live page is saved as .html; got {str(path)!r}")
        if path.suffix == ".html":
            text = self._live_page() if live else self._page()
            with replacing(path) as draft:
                draft.write_text(text, encoding="utf-8")
        elif path.suffix in (".png", ".svg"):
            shown, troubles = self._all_shown(self._chosen, {self._open.name})
            if self._open.name in troubles:
                raise InputError(troubles[self._open.name])
            with replacing(path) as draft:
                self._open.draw(self.trace, shown[self._open.name], draft)
        else:
            raise InputError(f"a view is saved as .html, .png or .svg; got {str(path)!r}")
        return path

    def embed(self, height: int = 620, *, live: bool = False) -> Embedded:
        """The view as a page inside the page, so that it can still be clicked where there is no kernel: in an export.

        It is as interactive as `save("x.html")`, and as large; `height` is in pixels. A `live` one has the model inside
        and computes by itself, in an export and in a notebook that is opened again; it is a few megabytes.

        Raises:
            InputError: nothing is shown yet, or the height is not a whole number from 100 to 4000; or the page cannot
                hold the model, or the edits, of a live one.
        """
        if self.trace is None:
            raise InputError("there is nothing to embed yet; show a text first: view.show('Leo lives in Oslo.')")
        page = self._live_page() if live else self._page()
        return Embedded(page, self._still(), whole_within("height", height, 100, 4000), repr(self))

    def saved_state(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """The traits of a page without a kernel, and those that differ in each run."""
        self._finish_measuring()
        shown, troubles = self._all_shown(self._chosen)
        runs = {run: self._saved(*self._all_shown(run), run) for run in self.runs}
        saved = self._saved(shown, troubles, self._chosen) | {"runs": self.runs, "changes": self.changes}
        return saved | {"run": self._chosen, "off": self.off}, runs

    def _page(self) -> str:
        saved, runs = self.saved_state()
        still = self._still_of(*self._all_shown(self._chosen, set(self.panels)))
        return page(self.module, saved, still, self.text, runs)

    def _live_page(self) -> str:
        still = self._still_of(*self._all_shown(self._chosen))
        return live_page(self.module, live_given(self), still, self.text)

    def _saved(self, all_shown: Mapping[str, dict[str, Any]], troubles: dict[str, str], run: str) -> dict[str, Any]:
        """The traits of a page that has no kernel to ask: of all panels, also those that nobody has opened."""
        if self._two is None:
            return {}
        trace, base = _traces_of(self._two, run)
        state: dict[str, Any] = {**_inside(self._place, trace), "scale": self.scale, "compact": self.compact}
        state["picture"] = text_picture(trace) | {"code": []}
        state |= {name: getattr(self, name) for name in SAVED}
        for name, shown in all_shown.items():
            panel = self.panels[name]
            own = {name: shown[name] for name in ("picture", *panel.pieces, *panel.settings())}
            own |= panel.saved(trace, shown, base)
            state |= {self._trait(panel, name): value for name, value in own.items()}
        return state if self._alone else state | {"tab": self.tab, "troubles": troubles}

    def _still(self) -> str:
        """The picture as HTML without script, of text and images only; of several panels what has been computed."""
        if self._two is None:
            empty = "<p>bloomlab explorer: nothing read yet.</p>"
            return self._open.still(None, self._shown(self._open)) if self._alone else empty
        return self._still_of(
            *self._all_shown(self._chosen, self._computed | (set() if self._alone else self.troubles.keys()))
        )

    def _still_of(self, all_shown: Mapping[str, dict[str, Any]], troubles: Mapping[str, str]) -> str:
        """The stills of these panels."""
        edits = ", ".join(self.changes)
        which = f"<p>{escaped(self._chosen)}{escaped(f': {edits}' if edits else '')}</p>" if self.runs else ""
        which += "".join(f"<p>{escaped(sentence)}</p>" for sentence in in_words(self.worth))
        if self._alone:
            return which + "".join(self._open.still(self.trace, shown) for shown in all_shown.values())
        parts = [
            f"<h3>{escaped(self.panels[name].title)}</h3>{self.panels[name].still(self.trace, shown)}"
            for name, shown in all_shown.items()
        ]
        words = [f"<p>{escaped(self.panels[name].title)}: {escaped(why)}</p>" for name, why in troubles.items()]
        return "".join([which, *parts, *words])

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget; and for a page without a kernel, or a terminal, the same in still form."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        data["text/html"] = self._still()
        if self.png and self._open.name in self._computed:
            data["image/png"] = self._picture()
        return data, metadata

    def _picture(self) -> str:
        """The open panel's main picture, as notebooks keep a PNG."""
        with temporary_folder() as folder:
            return b64encode(self.save(folder / "view.png").read_bytes()).decode()

    def _ipython_display_(self) -> None:
        """In a notebook, the still is an output of its own: it stays when the widget is gone."""
        show_beside(self, *self._repr_mimebundle_(), {"text": self.text})

    def __repr__(self) -> str:
        whose = f"{self._open.title} view" if self._alone else "Explorer"
        if not self.picture:
            return f"{whose}(nothing read yet; view.show('Leo lives in Oslo.') reads a text)"
        text = f"{self.text[:57] + '…' if len(self.text) > 58 else self.text!r}"
        if self._alone:
            says = self._open.says(self._shown(self._open))
        else:
            where = ", ".join(f"{name} {value}" for name, value in self._place.items())
            says = f"{self.picture['layers']} layers × {self.picture['heads']} heads, shows {self.tab}: {where}"
        count = len(self.picture["tokens"])
        tokens = f"{count} token{'' if count == 1 else 's'}"
        return f"{whose}({text}: {tokens}, {says}; {self.picture['stamp']})"

    # ---- long jobs ----

    def run_job(self, panel: Panel, job: Job) -> Any:
        """Do a panel's long job here and now, and return what it has found; Ctrl-C keeps what is finished.

        Raises:
            InputError: nothing is shown yet, or the panel has nothing to do it with.
        """
        self._begin(panel, job).run()
        return self.found(panel, job)

    def found(self, panel: Panel, job: Job) -> Any:
        """What a job has found so far."""
        return self._found.get(self._trait(panel, job.piece), job.nothing)

    def _begin(self, panel: Panel, job: Job) -> Steps:
        """A new run of a job, in place of one that may still be going on."""
        if self.trace is None:
            raise InputError(
                f"there is nothing for {job.verb} to read yet; show a text first: view.show('Leo lives in Oslo.')"
            )
        steps = panel.steps(job.piece, self.trace, self._shown(panel), self._base)
        begun, _ = next(steps)  # what cannot be done is refused here, and what was done before stays
        with self.hold_sync():
            self._forget(panel, job)
            run = Steps(self._do(panel, job, steps), partial(self._end, panel, job))
            self._jobs[self._trait(panel, job.piece)] = run
            self._set(panel, begun)
        return run

    def _do(self, panel: Panel, job: Job, steps: Iterator[tuple[dict[str, Any], Any]]) -> Iterator[None]:
        for pieces, found in steps:
            self._found[self._trait(panel, job.piece)] = found
            self._set(panel, pieces)
            yield

    def _end(self, panel: Panel, job: Job, state: str, message: str) -> None:
        trait = self._trait(panel, job.piece)
        piece = getattr(self, trait)
        setattr(self, trait, {**piece, "state": state, "message": message or piece["message"]})

    def _forget(self, panel: Panel, job: Job) -> None:
        """Drop a job's run, and what it found."""
        trait = self._trait(panel, job.piece)
        if trait in self._jobs:
            self._jobs.pop(trait).open = False
        self._found.pop(trait, None)
        setattr(self, trait, panel.pieces[job.piece].empty)

    def _begin_if_asked(self, panel: Panel) -> None:
        """Begin those jobs of a panel that a new picture is enough to ask for."""
        for job in panel.jobs:
            if panel.name in self._computed and panel.asked(job.piece, "picture", self._shown(panel)) == "run":
                self._begin_soon(panel, job)

    def _begin_soon(self, panel: Panel, job: Job) -> None:
        try:
            self._begin(panel, job).start()
        except BloomlabError as error:  # nobody is there to catch it, so the page shows it
            self._end(panel, job, "error", str(error))

    # ---- listening to the page ----

    def _answer(self, _: Any, content: Any, __: Any) -> None:
        """The page asks whether a kernel is still there, or for a file; where nobody answers it says so."""
        if not isinstance(content, dict):
            return
        if content.get("do") == "knock":
            self.send({"heard": content.get("number")})
        elif content.get("do") == "save" and content.get("kind") in FILES:
            self.send({"saved": content["kind"], "number": content.get("number"), **self._file(content["kind"])})

    def _file(self, kind: str) -> dict[str, str]:
        """What `save` writes, in base64, for the page to hand on; or why it could not be written, in words."""
        try:
            with temporary_folder() as folder:
                path = self.save(folder / f"view.{kind}")
                return {"data": b64encode(path.read_bytes()).decode(), "trouble": ""}
        except (Exception, KeyboardInterrupt) as error:  # nobody is there to catch it, so the page says it
            return {"data": "", "trouble": _in_words(error, "choose it once more to save it")}

    def page_sets(self) -> list[str]:
        """What a person can choose there."""
        settings = [self._trait(panel, name) for panel in self.panels.values() for name in panel.settings()]
        return [
            "typed",
            "trace_row",
            "run",
            "off",
            "wished",
            *SETS,
            *SELECTION,
            *([] if self._alone else ["tab"]),
            *settings,
        ]

    def trouble(self, error: Exception) -> None:
        """The page says it; the picture stays as it was."""
        self._say("error", _in_words(error), self.answered)

    def _setting_changed(self, panel: Panel, name: str, _: Any) -> None:
        """A panel's setting was changed, by the page or in Python."""
        if panel.name not in self._computed:
            return
        self._follow_with_jobs(panel, name)
        if name in panel.typed:  # typing comes in bursts: only the last of one counts
            self._after_a_pause(self._trait(panel, name), partial(self._send_more, panel, name))
        else:
            self._send_more(panel, name)

    def _follow_with_jobs(self, panel: Panel, changed: str) -> None:
        """Begin a panel's jobs, or stop them, if a change asks for that."""
        for job in panel.jobs if panel.name in self._computed else ():
            asked, running = panel.asked(job.piece, changed, self._shown(panel)), self._trait(panel, job.piece)
            if asked == "run":
                self._begin_soon(panel, job)
            elif asked == "stop" and running in self._jobs:
                self._jobs[running].stop()

    def _send_more(self, panel: Panel, changed: str) -> None:
        if self.trace is not None and panel.name in self._computed:
            self._set(panel, panel.more(self.trace, self._shown(panel), changed, self._base))

    @traitlets.validate("tab")
    def _one_of_the_tabs(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in self.panels:
            raise traitlets.TraitError(f"no tab {proposal['value']!r}; it has {', '.join(self.panels)}")
        return str(proposal["value"])

    @traitlets.validate(*SELECTION)
    def _inside_the_picture(self, proposal: dict[str, Any]) -> int:
        """A place that a shorter text or a smaller model no longer has becomes the last one it has."""
        value = max(0, int(proposal["value"]))
        if not self.picture:
            return value
        name, tokens = proposal["trait"].name, len(self.picture["tokens"])
        ends = {"layer": self.picture["layers"], "head": self.picture["heads"], "query": tokens}
        return min(value, self.query if name == "key" else ends[name] - 1)

    @traitlets.observe("query")
    def _no_key_after_the_query(self, _: dict[str, Any]) -> None:
        self.key = min(self.key, self.query)

    @traitlets.observe("tab", *SELECTION)
    def _follow(self, change: dict[str, Any]) -> None:
        """The open panel follows the selection; others do when their tabs are opened."""
        if self.trace is None:
            return
        if self._alone:
            self._send_more(self._open, change["name"])
            self._follow_with_jobs(self._open, change["name"])
            return
        with self.hold_sync():
            if change["name"] == "tab":  # a failed panel may be tried again
                self.troubles = {name: words for name, words in self.troubles.items() if name != self.tab}
            self._compute(self.tab, self._place, change["name"])
        self._follow_with_jobs(self._open, change["name"])

    @traitlets.validate("trace_row")
    def _one_of_the_rows(self, proposal: dict[str, Any]) -> int:
        return max(0, min(int(proposal["value"]), len(self.trace_rows) - 1))

    @traitlets.observe("trace_row")
    def _another_row(self, _: dict[str, Any]) -> None:
        """Another text of the same trace."""
        if self._batch is None or self.trace_row == self._shown_row:
            return
        several, row = self._batch, self.trace_row
        self._try(lambda: self._show_row(several.row(row), several, row))
        self.trace_row = self._shown_row  # if it could not be shown

    @traitlets.observe("run")
    def _another_run(self, _: dict[str, Any]) -> None:
        """The switch: the same place in the other run, or in the difference."""
        if self._two is None or self.run == self._chosen:
            return
        if self.run not in self.runs:
            self.run = self._chosen
            return
        self._try(partial(self._show, self._two, self.run, self._place, list(self.runs), self._edits))
        self.run = self._chosen  # if it could not be shown

    @traitlets.observe("off")
    def _other_edits(self, _: dict[str, Any]) -> None:
        """An edit is switched on or off: the run is made anew, at the same place."""
        if self._two is not None and self.off != list(self._edits.off):
            self._want(self._wanted.switched(self.off))

    @traitlets.observe("wished")
    def _change_edits(self, _: dict[str, Any]) -> None:
        """The page asks for an edit, to take one back, or for another text to copy from."""
        trace, spots, wish = self.trace, self._spots, self.wished
        if trace is None or spots is None:
            return
        do = wish.get("do") if isinstance(wish, dict) else None
        if do == "against":
            self._try(lambda: self._compare_with(wish.get("text")))
            self._hear()
        elif not self.editable:
            return
        elif do == "read":
            self._after_a_pause("donor", lambda: self._try(lambda: self._show_donor(wish.get("text"))))
        elif isinstance(do, str) and do in ASKS:
            self._try(lambda: self._ask(wish))
        else:
            self._try(lambda: self._want(self._list_after(wish, spots(), len(trace.tokens))))
            if self._wanted is self._edits:  # it is made already, or was refused
                self._hear()

    def _compare_with(self, text: Any) -> None:
        """Compare with another text from here on; with "", with none.

        Raises:
            InputError: there are edits, which have the run without them; or it is no text that can be read.
        """
        if self._two is None:
            return
        if self._edits.entries or self._wanted.entries:
            raise InputError("the changes are compared with the run without them; clear them before another text")
        if not isinstance(text, str):
            raise InputError(f"a text is compared with another text, but the page gave {shorten(text)}")
        other = self._read(text) if text else None
        two = (self._two[0], other)
        runs = _runs_of(two, self.panels.values())
        self._show(two, self._chosen if self._chosen in runs else "what if", self._place, runs, self._edits)
        self._against = other

    def _list_after(self, wish: Any, spots: Mapping[str, Spot], tokens: int) -> EditList:
        if isinstance(wish, dict) and "donor" in wish:  # it says itself what is copied from
            self._show_donor(wish["donor"])
        texts = None if self._worth is None else partial(self._worth.like.set_of, self.text)
        edits = self._wanted.after(wish, spots, tokens, self._donor, texts)
        self._hear_hope(wish)
        return edits

    def _restore(self, text: str, edits: EditList) -> None:
        edits = replace(edits, past=(EditList(self._edits.entries, self._edits.off), *self._edits.past), gesture=None)
        if text == self.text:
            self._want(edits)
        else:
            two = self._read_both(text, edits)
            self._show(two, self._chosen, self._first_place(two[0]), _runs_of(two, self.panels.values()), edits)

    def _want(self, edits: EditList) -> None:
        """Of many wishes that come at once the list has all, and the model runs when the last has come."""
        try:
            self._wanted = edits
            self._after_a_pause("edits", self._make_wanted, EDIT_PAUSE)
        except KeyboardInterrupt:
            self._wanted = self._edits
            raise

    def _make_wanted(self) -> None:
        try:
            self._try(lambda: self._make(self._wanted))
        finally:
            self._wanted = self._edits
            self._hear()

    def _hear(self) -> None:
        self.heard = self.wished.get("number", 0) if isinstance(self.wished, dict) else 0

    def _show_donor(self, text: Any) -> None:
        """Read a text that is to be copied from, once, and show its tokens."""
        if self._read_donor is None:
            raise InputError("this view was made without a model to read another text with")
        if self._donor is None or self._donor.text != text:
            self._donor = self._read_donor(text)
        self.donor = {name: value for name, value in text_picture(self._donor).items() if name in DONOR}

    def _make(self, edits: EditList) -> None:
        """Show the text with these edits. If it raises, nothing changes."""
        if edits == self._edits:
            self.off = list(edits.off)  # whatever a page has sent
            self._say("ready", "", self.answered)
            return
        after, before = self._read_both(self.text, edits)
        two = (after, before) if edits.entries else (after, None)
        runs = _runs_of(two, self.panels.values())
        self._show(two, self._chosen if self._chosen in runs else "what if", self._place, runs, edits)

    def _try(self, step: Callable[[], None]) -> None:
        """Do what nobody is there to catch the errors of; the last good picture stays."""
        before = self._two, self._chosen
        try:
            step()
        except (Exception, KeyboardInterrupt) as error:
            if (self._two, self._chosen) == before:  # else an interrupt came too late
                self.off = list(self._edits.off)  # whatever the page has sent
                self._say("error", _in_words(error, "the view is as it was before"), self.answered)

    @traitlets.observe("typed")
    def _wait_for_the_last_text(self, _: dict[str, Any]) -> None:
        self._after_a_pause("typed", self._read_typed)

    def _after_a_pause(self, name: str, step: Callable[[], None], pause: float = PAUSE) -> None:
        """Wishes come in bursts: only the last of one is heard."""
        if name in self._timers:
            self._timers.pop(name).cancel()
        try:
            self._timers[name] = asyncio.get_running_loop().call_later(pause, step)
        except RuntimeError:  # without an event loop, nothing more can come while this runs
            step()

    def _read_typed(self) -> None:
        text, number = str(self.typed["text"]), int(self.typed["number"])
        if not text.strip():
            self._say("empty", "", number)
        elif text == self.text:
            self._say("ready", "", number)
        else:
            self._say("working", "", self.answered)
            try:
                self.show(text)
                self._say("ready", "", number)
            except KeyboardInterrupt:
                self._say("error", "the reading was interrupted; type again to read the text", number)
            except Exception as error:  # nobody is there to catch it, so the page shows it
                self._say("error", _in_words(error), number)

    def _say(self, state: str, message: str, answered: int) -> None:
        with self.hold_sync():
            self.state, self.message, self.answered = state, message, answered


def _traces_of(two: "tuple[Trace, Trace | None]", run: str) -> "tuple[Trace, Trace | None]":
    """The trace that a run shows; and of the difference, the one it is measured by."""
    after, before = two
    if before is None or run == "what if":
        return after, None
    return (before, None) if run == "as it is" else (after, before)


def _text_of_base(two: "tuple[Trace, Trace | None]") -> str:
    """The other text that a run is measured by; "" where it is another model, or the same text without its edits."""
    trace, base = two
    plain = base is not None and base.lab is trace.lab is not None and not trace.edit and not base.edit
    return str(base.text) if base is not None and plain and base is not trace else ""


def _inside(place: Place, trace: "Trace") -> Place:
    """The place, or the last one that this trace has."""
    ends = (trace.config.n_layer, trace.config.n_head, len(trace.tokens), len(trace.tokens))
    return {name: min(place[name], end - 1) for name, end in zip(SELECTION, ends, strict=True)}


def _runs_of(two: "tuple[Trace, Trace | None]", panels: Iterable[Panel]) -> list[str]:
    """What there is to choose from: nothing where there is one run; the difference where both have the same cells."""
    after, before = two
    if before is None:
        return []
    sizes = [(len(run.tokens), run.config.n_layer, run.config.n_head) for run in (after, before)]
    return list(RUNS) if sizes[0] == sizes[1] and any(panel.compares for panel in panels) else list(RUNS[:2])


def _in_words(error: BaseException, interrupted: str = "open the tab once more to compute it") -> str:
    """What the page says of an error that nobody is there to catch."""
    if isinstance(error, KeyboardInterrupt):
        return f"this was interrupted; {interrupted}"
    return said_of(error)


def _trait_of(empty: Any) -> "traitlets.TraitType[Any, Any]":
    """A trait that holds what a piece can be, as its empty form shows."""
    kinds: dict[Any, Any] = {bytes: traitlets.Bytes, dict: traitlets.Dict, list: traitlets.List, str: traitlets.Unicode}
    trait: traitlets.TraitType[Any, Any] = kinds[type(empty)](empty)
    return trait
