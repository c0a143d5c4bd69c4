"""Writing a text with the model, a step at a time: what `lab.write(text)` drives, in Python and on the page alike."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.errors import GenerationError, InputError, NearMatches, NearNames, shorten
from bloomlab.generation.predict import adjust, choose, narrow
from bloomlab.generation.sampling import race
from bloomlab.generation.settings import Settings
from bloomlab.generation.stopping import stop_finder
from bloomlab.generation.tree import BY_HAND, Tree, grown, parting, planted, searched
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.guards.uninterrupted import interrupts_wait
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.hooks import Edits, in_order
from bloomlab.lens.predictions import label_probs
from bloomlab.lens.writing import Choice, choice, loop_period
from bloomlab.model.cache import KVCache
from bloomlab.tasks.ask import label_names
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import visible
from bloomlab.views.shared.code import NAMED_EDITS
from bloomlab.views.shared.tables import token_names
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.views.view import View

SEEDS = 4  # whose random numbers are kept, for every place that was drawn at
MOST_BYTES = 1 << 30  # that a tree may take up
CHANGEABLE = ("temperature", "top_k", "top_p", "repetition_penalty", "do_sample", "seed", "num_beams")
"""The settings that may be others at each step."""
ENDS = ("eos_token_id", "pad_token_id", "stop_strings", "stopping_criteria")
LABELLING = {"language": BloomForSequenceClassification, "tags": BloomForTokenClassification}
"""The task heads that say something of every token."""


@dataclass(frozen=True)
class WrittenStep(NearMatches):
    """One step on the way to where a writing stands.

    Attributes:
        shown: the token as it is drawn; a byte of a character that is not whole yet is shown as that byte.
        how: "greedy", "drawn", "beam" or "by hand".
        choice: what there was to choose from, and why this one.
        logits: (vocab) the model's scores, before any setting.
    """

    shown: str
    how: str
    choice: Choice
    logits: Tensor

    def __repr__(self) -> str:
        found = self.choice
        return (
            f"{self.shown}  {self.how}, p {found.probability:.3f} (rank {found.rank}), after the settings "
            f"{found.probability_after:.3f} of {found.open}; entropy {found.entropy:.2f} nats"
        )


@saying_that_memory_is_full
class Writing(NearNames):
    """A text that is written on, and all the ways it could have gone.

    It stands at a place of a tree. A step adds the token that the settings choose; going back and taking another token
    branches off. What was computed stays: a place where it was before needs no run of the model. An interrupt leaves
    it where it was.

        writing = lab.write("Leo lives in", do_sample=True, seed=3)
        writing.play(8)                       # as lab.generate(…, seed=3, max_new_tokens=8) writes
        writing.back(2).branch(" Rome")       # what if it had been this one
        writing.set(temperature=0.5).step()
        writing.steps                         # why each token was chosen
        writing                               # the tree; in a notebook, the view

    Attributes:
        tree: all that was written, as `generation.tree.Tree`.
        at: the number of the node where it stands; 0 is the prompt.
        settings: how the next token is chosen.
        heads: the task heads that `labels` asks.
        header, opening: the Python that opened the lab, and that began this.
    """

    def __init__(
        self,
        model: BloomForCausalLM,
        tokenizer: BloomTokenizerFast,
        text: str,
        ids: Tensor,
        settings: Settings,
        edit: Edits | None = None,
        max_tokens: int = 2048,
    ) -> None:
        settings.check(model.config)
        if settings.num_return_sequences > 1:
            raise GenerationError("a tree grows one branch at a time; leave num_return_sequences out")
        if settings.max_time is not None or settings.stopping_criteria:
            raise GenerationError("a tree grows for as long as you let it; leave max_time and stopping_criteria out")
        if settings.do_sample and settings.seed is None:  # one of its own, so that what it draws can be drawn again
            settings = replace(settings, seed=torch.Generator().seed() % 2**31)
        self.model, self.tokenizer, self.edit, self.max_tokens = model, tokenizer, edit, max_tokens
        self.heads: Mapping[str, BloomPreTrainedModel] = {}
        self.prompt_text, self.header, self.opening = text, "", f"writing = lab.write({text!r})"
        self._first = self.settings = settings
        self._stops = stop_finder(settings, tokenizer)
        self.stop_ids = settings.stop_ids(model.config)
        self._place = planted(model, ids.to(model.device), settings, edit), 0
        self._past: tuple[int, KVCache] | None = None  # of the node it came to last
        self._random: dict[int, list[Tensor]] = {}  # of each seed, the generator's state after so many draws
        self.heard: list[Callable[[], None]] = []  # who is told when it has moved
        self.make_view: Callable[[], View] | None = None

    # ---- where it stands ----

    @property
    def tree(self) -> Tree:
        return self._place[0]

    @property
    def at(self) -> int:
        return self._place[1]

    @property
    def ids(self) -> Tensor:
        """The text so far: (pos)."""
        return self.tree.ids(self.at)

    @property
    def text(self) -> str:
        """The text so far; a character whose bytes have not all come yet is �."""
        return self.tokenizer.decode(self.ids, skip_special_tokens=True)

    @property
    def probability(self) -> float:
        """Of all that was written, in the model: the product of its steps."""
        return math.exp(self.tree.log_prob(self.at))

    @property
    def surprise(self) -> float:
        """The mean of what was written, nats a token; NaN if nothing was."""
        new = len(self.tree.path(self.at)) - 1
        return -self.tree.log_prob(self.at) / new if new else float("nan")

    @property
    def ended(self) -> bool:
        """Whether the last token ends a text."""
        return self.ends(self.at)

    def ends(self, node: int) -> bool:
        """Whether the token of a node ends a text: it is a stop token, or it completes a stop string."""
        if not node:
            return False
        stops = self._stops
        stopped = stops is not None and stops(self.tree.ids(node).tolist())
        return stopped or self.tree.nodes[node].token_id in self.stop_ids

    @property
    def loop(self) -> int:
        """The length of the passage that it repeats over and over, in tokens; 0 if it does not."""
        return loop_period(self.ids.tolist())

    @property
    def steps(self) -> list[WrittenStep]:
        """The steps on the way here, each with its choice."""
        path = self.tree.path(self.at)
        names = self.names(path)
        return [self.written(node, name) for node, name in zip(path[1:], names, strict=True)]

    def names(self, path: Sequence[int]) -> list[str]:
        """What each token on the way shows as: whole characters where they are whole, and else bytes."""
        new = [self.tree.nodes[node].token_id for node in path[1:]]
        return token_names(self.tokenizer.tokens_of_ids(new))

    def written(self, node: int, shown: str = "", top: int = 10) -> WrittenStep:
        """How a node came about."""
        own, parent = self.tree.nodes[node], self.tree.nodes[node].parent
        numbers = self.numbers_at(parent, own.settings) if own.how == "drawn" else None
        found = self.choice_at(parent, own.settings, own.token_id, numbers, top)
        return WrittenStep(shown, own.how, found, self.tree.nodes[parent].logits)

    def choice_at(
        self,
        node: int,
        settings: Settings | None = None,
        chosen: int | None = None,
        numbers: Tensor | None = None,
        top: int = 10,
    ) -> Choice:
        """What there is to choose from after a node, under the settings; the model does not run."""
        depth = len(self.tree.path(node)) - 1
        ids, logits = self.tree.ids(node), self.tree.nodes[node].logits
        return choice(logits, ids, settings or self.settings, chosen, numbers, top, depth, self.stop_ids)

    def next_at(self, node: int) -> int:
        """The token that the settings choose after a node; the model does not run."""
        depth = len(self.tree.path(node)) - 1
        row, stop = self.tree.ids(node)[None], torch.tensor(self.stop_ids, dtype=torch.long, device=self.model.device)
        scores = adjust(self.tree.nodes[node].logits[None], row, torch.ones_like(row), depth, stop, self.settings)
        generator = self._generator(self.settings, 0 if self.settings.greedy else depth)
        return int(choose(narrow(scores, self.settings), self.settings, generator))

    def numbers_at(self, node: int, settings: Settings | None = None) -> Tensor | None:
        """The numbers (vocab) that are drawn after a node, whatever is chosen there; None where nothing is drawn."""
        settings = settings or self.settings
        if settings.greedy:
            return None
        generator = self._generator(settings, len(self.tree.path(node)) - 1)
        return race(self.tree.nodes[node].logits[None], generator)[0]

    # ---- moving ----

    def set(self, **settings: Any) -> "Writing":
        """Other settings from here on: temperature, top_k, top_p, repetition_penalty, do_sample, seed, num_beams.

        Raises:
            GenerationError: a value makes no sense, or is fixed from the start.
        """
        for name in settings:
            if name not in CHANGEABLE:
                raise GenerationError(f"{name} is set when a writing begins; here, {', '.join(CHANGEABLE)} can change")
        changed = replace(self.settings, **settings)
        if changed.do_sample and changed.seed is None:
            changed = replace(changed, seed=torch.Generator().seed() % 2**31)
        changed.check(self.model.config)
        self.settings = changed
        self._tell()
        return self

    def step(self) -> "Writing":
        """Write one token, the one that the settings choose.

        Raises:
            GenerationError: the text has ended, is as long as it may be, or is to be searched with beams.
        """
        if self.settings.num_beams > 1:
            raise GenerationError("beams have no single next step; play() searches, or pass num_beams=1")
        self._check_room()
        self._grow(self.next_at(self.at), "greedy" if self.settings.greedy else "drawn")
        return self

    def branch(self, token: int | str) -> "Writing":
        """Write this token, whatever the settings say: its id, or its text.

        Raises:
            InputError: there is no such token, or a text is several.
            GenerationError: the text has ended, or is as long as it may be.
        """
        token_id = self._token_id(token)
        self._check_room()
        self._grow(token_id, BY_HAND)
        return self

    def play(self, n: int | None = None) -> "Writing":
        """Write up to n tokens, or as many as `max_new_tokens` says; Ctrl-C keeps what is written.

        With `num_beams`, search so far and go to the best end; all beams on the way are branches of the tree.

        Raises:
            GenerationError: n is not a number of tokens.
        """
        n = self.settings.max_new_tokens if n is None else n
        replace(self.settings, max_new_tokens=n, min_new_tokens=0)  # which checks it
        written = 0
        try:
            if self.settings.num_beams > 1:
                self._check_room(n)
                few = replace(self.settings, max_new_tokens=n, min_new_tokens=min(n, self.settings.min_new_tokens))
                tree, ends = searched(self.model, self.tree, self.at, few, self.edit, self.tokenizer)
                self._move(tree, ends[0])
                return self
            while written < n and not self.ended and len(self.ids) < self.max_tokens:
                self.step()
                written += 1
        except KeyboardInterrupt:
            warnings.warn(f"interrupted after {written} new tokens; the tree is as it stood", stacklevel=2)
        return self

    def follow(self, other: "Writing") -> "Writing":
        """Write as many tokens as another writing has, each with the settings that the one there was chosen with.

        What the same settings and the same random numbers write in two models, or with an edit and without, then stands
        side by side. Where the text ends, it ends.
        """
        wanted = [other.tree.nodes[node] for node in other.tree.path(other.at)[1:]]
        way = self.tree.path(self.at)
        alike = 0
        for node, its in zip(way[1:], wanted, strict=False):
            if self._alike(self.tree.nodes[node].settings, its.settings) != self.tree.nodes[node].settings:
                break
            alike += 1
        self.go(way[alike])
        for settings, same in groupby(wanted[alike:], key=lambda node: self._alike(self._first, node.settings)):
            self.settings = settings
            many = len(list(same))
            if settings.num_beams > 1:
                self.play(many)
            for _ in range(0 if settings.num_beams > 1 else many):
                if not self.ended and len(self.ids) < self.max_tokens:
                    self.step()
        self.settings = self._alike(self.settings, other.settings)
        self._tell()
        return self

    @staticmethod
    def _alike(settings: Settings, others: Settings) -> Settings:
        """The other's settings; but where a text ends is its own."""
        return replace(others, **{name: getattr(settings, name) for name in ENDS})

    def labels(self) -> dict[str, list[tuple[str, float]]]:
        """What the task heads say while it is written: for each token of the text, a label and its probability.

        "language" is the label that the text would have if it ended there, "tags" is the tag of the token. A head that
        there is not, or that an edit does not fit, is left out.
        """
        found = {}
        for task in (task for task in LABELLING if task in self.heads):
            head = self.heads[task]
            names = label_names(head, LABELLING[task])
            spots = head.base_model.hook_names()
            edit = {spot: edits for spot, edits in (self.edit or {}).items() if spot in spots}
            best, which = label_probs(head, self.ids.to(head.device), edit)[-1].max(-1)
            found[task] = [(names[label], p) for label, p in zip(which.tolist(), best.tolist(), strict=True)]
        return found

    def back(self, n: int = 1) -> "Writing":
        """Go n tokens back; what was written stays in the tree.

        Raises:
            InputError: not so many tokens were written.
        """
        path = self.tree.path(self.at)
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < len(path):
            raise InputError(f"{len(path) - 1} tokens were written here, so {n!r} cannot be taken back")
        return self.go(path[-1 - n])

    def go(self, node: int) -> "Writing":
        """Go to a node of the tree, by its number.

        Raises:
            InputError: there is no such node.
        """
        if not isinstance(node, int) or isinstance(node, bool) or not 0 <= node < len(self.tree.nodes):
            raise InputError(f"the tree has the nodes 0 to {len(self.tree.nodes) - 1}, but no {shorten(node)}")
        self._move(self.tree, node)
        return self

    def parting(self, one: int, other: int) -> int:
        """How many new tokens two nodes have in common before they part."""
        return parting(self.tree.new_ids(one), self.tree.new_ids(other))

    def cache(self) -> KVCache:
        """Keys and values of every column of the text so far."""
        past = self._past
        if past is None or past[0] != self.at:
            past = self._past = self.at, self.tree.cache(self.at)
        return past[1]

    def _grow(self, token_id: int, how: str) -> None:
        there = self.tree.child(self.at, token_id)
        past = None if there >= 0 else self.cache()
        tree, node, after = grown(self.model, self.tree, self.at, token_id, self.settings, how, self.edit, past)
        self._move(tree, node, after)

    def _move(self, tree: Tree, at: int, past: KVCache | None = None) -> None:
        with interrupts_wait():  # both, or neither
            self._place = tree, at
            self._past = None if past is None else (at, past)
        self._tell()

    def _tell(self) -> None:
        for hear in self.heard:
            hear()

    def _generator(self, settings: Settings, depth: int) -> torch.Generator:
        """The random numbers after so many draws: what is drawn at a place depends on the seed and the place only."""
        generator, seed = torch.Generator(self.model.device), settings.seed or 0
        if seed not in self._random and len(self._random) >= SEEDS:
            del self._random[next(iter(self._random))]
        states = self._random.setdefault(seed, [generator.manual_seed(seed).get_state()])
        while len(states) <= depth:
            generator.set_state(states[-1])
            race(self.tree.nodes[0].logits[None], generator)
            states.append(generator.get_state())
        generator.set_state(states[depth])
        return generator

    def _check_room(self, n: int = 1) -> None:
        if self.ended:
            raise GenerationError("the text has ended; go back, or take another token")
        if self.tree.nbytes > MOST_BYTES:
            raise GenerationError(
                f"this tree has {len(self.tree.nodes):,} tokens and takes {self.tree.nbytes / 1e9:.1f} GB; "
                "go on with a new one: lab.write(writing.text)"
            )
        if len(self.ids) + n > self.max_tokens:
            raise GenerationError(
                f"the text would be longer than {self.max_tokens} tokens; "
                "go back, or raise lab.max_tokens and begin anew"
            )

    def _token_id(self, token: int | str) -> int:
        if isinstance(token, str):
            ids = self.tokenizer.encode(token)
            if len(ids) != 1:
                parts = " ".join(visible(part) for part in map(self.tokenizer.decode, ([i] for i in ids[:6])))
                raise InputError(f"{shorten(token)} is {len(ids)} tokens ({parts}); take them one at a time")
            return int(ids[0])
        end = self.model.config.vocab_size
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < end:
            raise InputError(f"a token is its text or an id from 0 to {end - 1}, but got {shorten(token)}")
        return token

    # ---- on a page ----

    @cached_property
    def view(self) -> "View":
        """The live view: it follows what is done here, and this follows what is done there.

        Raises:
            InputError: no lab has begun this writing.
        """
        if self.make_view is None:
            raise InputError("no lab has begun this writing, so there is no view of it; lab.write(text) has one")
        return self.make_view()

    def save(self, path: str | Path) -> Path:
        """Write the view to a file: .html (interactive, with every step, needs no network), .png or .svg."""
        return self.view.save(path)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view, with the tree as its text."""
        if self.make_view is None:
            return {"text/plain": repr(self)}
        data, metadata = self.view._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": repr(self)}, metadata

    def _display_(self) -> "View | str":
        """What marimo shows: it takes a widget where there is one."""
        return self.view if self.make_view else repr(self)

    # ---- in words ----

    @property
    def code(self) -> str:
        """The Python that writes what stands here."""
        return f"{self.header}{self.code_of(self.at)}"

    def code_of(self, at: int) -> str:
        """The lines that write what stands at a node."""
        lines, settings = [self.opening], self._first
        run = 0
        for node in self.tree.path(at)[1:]:
            own = self.tree.nodes[node]
            if own.how in ("greedy", "drawn"):
                if own.settings != settings:
                    lines, run = [*lines, *_played(run), _set(settings, own.settings)], 0
                    settings = own.settings
                run += 1
            else:
                lines, run = [*lines, *_played(run), f"writing.branch({own.token_id})"], 0
        lines += _played(run)
        if self.settings != settings:
            lines.append(_set(settings, self.settings))
        return "\n".join(lines) + "\n"

    def segments(self) -> list[list[int]]:
        """The tree as rows: runs of nodes without a fork, each after the one it leaves, its first child first."""
        after, rows = self.tree.children(), []
        open_rows = [0]
        while open_rows:
            row = [open_rows.pop()]
            while len(after[row[-1]]) == 1 and row != [0]:
                row.append(after[row[-1]][0])
            rows.append(row)
            open_rows += reversed(after[row[-1]])
        return rows

    def __repr__(self) -> str:
        """The tree: a line for each branch with its probability and mean surprise; → marks where it stands."""
        lines = [f"Writing: {self._says()}"]
        depth: dict[int, int] = {}
        for row in self.segments():
            parent = self.tree.nodes[row[0]].parent
            depth[row[-1]] = level = 0 if parent < 0 else depth[parent] + 1
            if row == [0]:
                words, numbers = visible(self.prompt_text).replace("·", " "), ""
            else:
                names = self.names(self.tree.path(row[-1]))[-len(row) :]
                log_prob, new = self.tree.log_prob(row[-1]), len(self.tree.path(row[-1])) - 1
                words = _joined(names)
                numbers = f"   p {math.exp(log_prob):.2g}, {-log_prob / new:.2f} nats a token"
            mark = "→ " if self.at in row else "  "
            lines.append(f"{mark}{'  ' * level}{words}{numbers}")
        return "\n".join(lines)

    def _says(self) -> str:
        new = len(self.tree.path(self.at)) - 1
        parts = [f"{new} new token{'' if new == 1 else 's'}, {settings_in_words(self.settings)}"]
        parts += [f"this loop has period {self.loop}"] if self.loop else []
        parts += ["the text has ended"] if self.ended else []
        return "; ".join(parts)


def settings_in_words(settings: Settings) -> str:
    """How the next token is chosen.

    >>> settings_in_words(Settings(do_sample=True, temperature=0.7, seed=3)), settings_in_words(Settings())
    ('drawn at temperature 0.7, seed 3', 'greedy')
    """
    more = [f"repetition penalty {settings.repetition_penalty:g}"] if settings.repetition_penalty != 1 else []
    if settings.num_beams > 1:
        return ", ".join([f"{settings.num_beams} beams", *more])
    if settings.greedy:
        return ", ".join(["greedy", *more])
    more += [] if not settings.top_k else [f"top-k {settings.top_k}"]
    more += [] if settings.top_p is None else [f"top-p {settings.top_p:g}"]
    return ", ".join([f"drawn at temperature {settings.temperature:g}", *more, f"seed {settings.seed}"])


def arguments(settings: Settings) -> str:
    """The settings that are not the usual ones, as one would write them.

    >>> arguments(Settings(do_sample=True, seed=3))
    'do_sample=True, seed=3'
    """
    usual = Settings()
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    shown = {name: repr(value) for name, value in given.items() if value != getattr(usual, name)}
    if "logits_processor" in shown:  # functions, which are called what they are called
        names = [getattr(each, "__name__", type(each).__name__) for each in settings.logits_processor or ()]
        shown["logits_processor"] = f"[{', '.join(names)}]"
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def edits_in_python(edit: Edits | None) -> list[str]:
    """The lines that make these edits; of a tensor, or a function of one's own, a line that says what is missing.

    >>> from bloomlab.tracing.edits import zero
    >>> edits_in_python({"h.1.mlp.out": zero(pos=2)})
    ['from bloomlab import zero', "edit = {'h.1.mlp.out': [zero(pos=2)]}"]
    """
    if not edit:
        return []
    written = ", ".join(f"{spot!r}: {list(in_order(spot, edits))!r}" for spot, edits in edit.items())
    if "tensor(" in written or "<" in written:
        return ["edit = ...  # what was passed to lab.write; it cannot be written down here"]
    names = [name for name in NAMED_EDITS if f"{name}(" in written]
    return [f"from bloomlab import {', '.join(names)}", f"edit = {{{written}}}"]


def _set(before: Settings, after: Settings) -> str:
    changed = [name for name in CHANGEABLE if getattr(before, name) != getattr(after, name)]
    return f"writing.set({', '.join(f'{name}={getattr(after, name)!r}' for name in changed)})"


def _played(n: int) -> list[str]:
    return [f"writing.play({n})"] if n else []


def _joined(names: list[str], most: int = 60) -> str:
    text = "".join(names).replace("·", " ")
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
