"""The writing panel: a text written on step by step, all the ways it could have gone, and the cache at work.

What is written belongs to the trace that is shown: the panel keeps a writing for each, and the page moves it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import traitlets

from bloomlab.errors import GenerationError, InputError, shorten
from bloomlab.generation.settings import Settings
from bloomlab.guards.memory import said_of
from bloomlab.views.shared.panel import Panel, Piece, Shown, text_picture
from bloomlab.views.writing.payload import (
    KEPT,
    bars_payload,
    cache_payload,
    labels_payload,
    other_payload,
    tree_payload,
    written_payload,
)
from bloomlab.views.writing.still import still_html, still_text
from bloomlab.views.writing.writing import CHANGEABLE, LABELLING, Writing

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace
    from bloomlab.views.view import View

SET = ("sample", "temperature", "top_k", "top_p", "penalty", "seed", "beams")  # as the page names them
HOTTEST = 100.0
MOST_BEAMS = 16


class WritingPanel(Panel):
    """A text written on step by step: the tree, the next token's bars before and after the settings, and the cache.

    `begin(trace, settings)` gives the Writing that starts where a trace ends. `settings` are those it starts with.

        view = lab.write("Leo lives in").view
        view.sample, view.temperature = True, 0.8     # the bars move; the model does not run
        view.asked = {"do": "step", "number": 1}      # as the page asks; writing.step() does the same
        view.at = 0                                   # back to the prompt
        view.keep = "window"                          # what the next token would be with part of the cache only
        view.beside = 3                               # compare with the branch that ends at node 3
        view.labels = True                            # what the task heads say as the text grows

    As the difference of two runs, both write, with the same settings and the same random numbers.
    """

    name, title, compares = "writing", "Writing", True
    pieces: ClassVar = {name: Piece(empty={}) for name in ("tree", "bars", "cache", "other", "said")}

    def __init__(self, begin: "Callable[[Trace, Settings], Writing]", settings: Settings | None = None) -> None:
        self._begin, self._settings = begin, settings or Settings()
        self._writings: WeakKeyDictionary[Trace, Writing] = WeakKeyDictionary()

    def settings(self) -> dict[str, traitlets.TraitType[Any, Any]]:
        """`at`: the node of the tree; `beside`: another, to compare with, or -1. `top_k` 0 is all tokens.

        `asked`: {"do": …, "number": …}, a new number each time.

        What can be asked for: "step", "back", "search", "branch" with a "token", its id.
        """
        first = self._settings
        return {
            "at": traitlets.Int(0, min=0),
            "sample": traitlets.Bool(first.do_sample),
            "temperature": traitlets.Float(first.temperature, min=0.0, max=HOTTEST),
            "top_k": traitlets.Int(first.top_k or 0, min=0),
            "top_p": traitlets.Float(first.top_p or 1.0, min=1e-6, max=1.0),
            "penalty": traitlets.Float(first.repetition_penalty, min=0.01, max=HOTTEST),
            "seed": traitlets.Int(first.seed or 0, min=0),
            "beams": traitlets.Int(first.num_beams, min=1, max=max(MOST_BEAMS, first.num_beams)),
            "asked": traitlets.Dict({"number": 0}),
            "keep": traitlets.Enum(KEPT, "all"),
            "window": traitlets.Int(8, min=1),
            "beside": traitlets.Int(-1, min=-1),
            "labels": traitlets.Bool(False),
        }

    def linked(self, trace: "Trace", writing: Writing, make: "Callable[[], View]") -> "View":
        """A view of this panel alone, which shows a writing that is there, and follows it."""
        self._writings[trace] = writing
        view = make()

        def follow() -> None:
            if view.trace is trace:  # else it shows another text
                view._set(self, self._pieces(writing, view._shown(self)))

        writing.heard.append(follow)
        follow()
        return view

    def numbers(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The tree of what was written from this text, the bars where it stands, and the cache."""
        writing, other = self._of(trace, shown), None if base is None else self._of(base, shown)
        if other is not None:
            other.follow(writing)
        picture = {**text_picture(trace), "heads": [task for task in LABELLING if task in writing.heads]}
        picture |= {} if base is None else {"difference": {}}
        pieces = self._pieces(writing, {**shown, "beside": -1}, other)
        return {"picture": picture, **pieces, "beside": -1, **_as_the_page_has(writing.settings, shown)}

    def begun(self, trace: "Trace", edited: bool) -> dict[str, Any] | None:
        """What was written on from a trace, if anything was.

        Raises:
            InputError: it is written with a setting, or with edits, that a page cannot make.
        """
        writing = self._writings.get(trace)
        if writing is not None and writing.edit and not edited:
            raise InputError(
                "a live page of a writing has no edits; save without live=True, or make them in a page of the text: "
                "lab.explore(text, edit=…)"
            )
        return None if writing is None else written_payload(writing)

    def _of(self, trace: "Trace", shown: Shown) -> Writing:
        """The writing that begins where a trace ends."""
        if trace not in self._writings:
            try:
                self._writings[trace] = self._begin(trace, self._chosen(shown))
            except GenerationError:  # a page may have set what nothing can be written with
                self._writings[trace] = self._begin(trace, self._settings)
        return self._writings[trace]

    def more(self, trace: "Trace", shown: Shown, changed: str, base: "Trace | None" = None) -> dict[str, Any]:
        """What moves: a wish, another node, a setting, or what is kept of the cache."""
        writing = self._writings.get(trace)
        if writing is None:
            return {}
        other = None if base is None else self._of(base, shown)
        if changed in ("keep", "window"):
            return {"cache": self._cache(writing, shown, other)}
        if changed == "beside":
            there = shown["beside"] < len(writing.tree.nodes)
            return {"cache": self._cache(writing, shown, other)} if there else {"beside": -1}
        if changed == "labels":
            return {"said": labels_payload(writing) if shown["labels"] else {}}
        if changed not in ("asked", "at", *SET):
            return {}
        heard, writing.heard = writing.heard, []  # what moves is sent once, by whoever asked
        try:
            if changed == "asked":
                self._do(writing, shown["asked"])
            elif changed == "at":
                if shown["at"] == writing.at:
                    return {}
                writing.go(shown["at"])
            else:
                chosen = self._chosen(shown, writing.settings)
                if chosen == writing.settings:
                    return {}
                writing.set(**{name: getattr(chosen, name) for name in CHANGEABLE})
            if other is not None:
                other.follow(writing)
        except Exception as error:  # nobody is there to catch it, so the page shows it
            return self._pieces(writing, shown, other, said_of(error))
        except KeyboardInterrupt:
            return self._pieces(writing, shown, other, "this was interrupted; the tree is as it stood")
        finally:
            writing.heard = heard
        return self._pieces(writing, shown, other)

    def saved(self, trace: "Trace", shown: Shown, base: "Trace | None" = None) -> dict[str, Any]:
        """The bars of every node, for there is nobody to ask for them."""
        writing = self._writings[trace]
        every = range(len(writing.tree.nodes))
        bars = {str(node): bars_payload(writing, node) for node in every}
        cache = cache_payload(writing, writing.at, "all", 1)
        other = {} if base is None else other_payload(writing, self._of(base, shown), every)
        return {"bars": bars, "cache": cache, "other": other, "keep": "all", "asked": {"number": 0}}

    def template(self, picture: Mapping[str, Any]) -> str:
        """The Python that opens the lab; `more_code` writes."""
        return "import bloomlab\n\nSETUP\n"

    def more_code(self, shown: Shown) -> str:
        """The Python that writes what stands there."""
        return str(shown["bars"][str(shown["at"])]["code"]) + str(shown["other"].get("code", ""))

    def still(self, trace: "Trace | None", shown: Shown) -> str:
        """The text with the probability of each token, the branches, the settings."""
        return still_html(shown)

    def draw(self, trace: "Trace", shown: Shown, path: Path) -> None:
        """The next token's bars, and the probability of each token on the way."""
        from bloomlab.views.shared.figure import save_figure  # matplotlib, only when it is asked for
        from bloomlab.views.writing.figure import writing_figure

        save_figure(writing_figure, path, dict(shown))

    def says(self, shown: Shown) -> str:
        """How much was written, and how likely that was."""
        return still_text(shown)

    def _pieces(
        self, writing: Writing, shown: Shown, other: Writing | None = None, message: str = ""
    ) -> dict[str, Any]:
        at = writing.at
        return {
            "tree": tree_payload(writing, message),
            "bars": {str(at): bars_payload(writing, at)},
            "cache": self._cache(writing, shown, other),
            "other": {} if other is None else other_payload(writing, other, [at]),
            "said": labels_payload(writing) if shown["labels"] else {},
            "at": at,
        }

    @staticmethod
    def _cache(writing: Writing, shown: Shown, other: Writing | None) -> dict[str, Any]:
        beside = None if shown["beside"] < 0 else (writing.tree, shown["beside"])
        beside = beside if other is None else (other.tree, other.at)
        return cache_payload(writing, writing.at, shown["keep"], shown["window"], beside)

    def _chosen(self, shown: Shown, settings: Settings | None = None) -> Settings:
        """The settings as the page has them."""
        return replace(
            settings or self._settings,
            do_sample=shown["sample"],
            temperature=shown["temperature"],
            top_k=shown["top_k"] or None,
            top_p=None if shown["top_p"] == 1 else shown["top_p"],
            repetition_penalty=shown["penalty"],
            seed=shown["seed"] if shown["sample"] else None,
            num_beams=shown["beams"],
        )

    @staticmethod
    def _do(writing: Writing, asked: Mapping[str, Any]) -> None:
        wish = asked.get("do")
        if wish == "step":
            writing.step()
        elif wish == "back":
            writing.back()
        elif wish == "search":
            writing.play()
        elif wish == "branch":
            writing.branch(asked.get("token", -1))
        else:
            raise GenerationError(f"a writing can step, go back, branch and search; it cannot {shorten(wish, 40)}")


def _as_the_page_has(settings: Settings, shown: Shown) -> dict[str, Any]:
    return {
        "sample": settings.do_sample,
        "temperature": settings.temperature,
        "top_k": settings.top_k or 0,
        "top_p": 1.0 if settings.top_p is None else settings.top_p,
        "penalty": settings.repetition_penalty,
        "seed": shown["seed"] if settings.seed is None else settings.seed,
        "beams": settings.num_beams,
    }
