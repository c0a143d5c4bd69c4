"""The lab: one model, its tokenizer, and a verb for each thing to do with them.

lab = bloomlab.load()                      the embedded model; needs no network
lab.explore("Leo lives in Oslo.")          look inside; the docstring of Lab has every verb with an example
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import torch
from torch import Tensor
from tqdm.auto import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab import tiny
from bloomlab.elsewhere import LAB
from bloomlab.errors import (
    CheckpointError,
    GenerationError,
    HookError,
    InputError,
    NearNames,
    TokenizerError,
    did_you_mean,
    shorten,
)
from bloomlab.guards.arguments import bytes_in, flag, whole_text
from bloomlab.guards.files import check_unchanged, versions
from bloomlab.guards.memory import in_words, saying_that_memory_is_full
from bloomlab.guards.progress import without_monitor
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.named import Heads
from bloomlab.hooks import Edits, Index, NamedEdit, in_order
from bloomlab.lens import costs, effect, logit_lens
from bloomlab.lens.attribution import attribution
from bloomlab.lens.attributions import attributions
from bloomlab.lens.cases import Case, Cases, alike, of_template, of_texts
from bloomlab.lens.direction import DOSES, Direction, direction
from bloomlab.lens.findings import Finding
from bloomlab.lens.keep import Kept, keep
from bloomlab.lens.over_texts import OverTexts, over_texts
from bloomlab.lens.patching import effects, effects_over
from bloomlab.lens.refute import Refutation, refute
from bloomlab.lens.sizes import Info, info
from bloomlab.lens.trials import METRICS, by_spot, check_places
from bloomlab.lessons import Lessons, listed
from bloomlab.tasks.ask import answer, classify, tag
from bloomlab.tasks.results import Answer, Classification, Tagging
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny.like import like
from bloomlab.tiny.snapshot import open_snapshot
from bloomlab.tracing.donors import drawn, texts_of
from bloomlab.tracing.edits import check_columns, check_numbers, from_the_left, zero
from bloomlab.tracing.record import readable_layers, record, resolve, weights_hash
from bloomlab.tracing.trace import Trace
from bloomlab.views.card import Card, described, embedded_card
from bloomlab.weights.fits import Fit, fit_of, fits
from bloomlab.weights.for_others import adapters, prompt_adapters, without_adapter_wrapper
from bloomlab.weights.hub import Source, find
from bloomlab.weights.int8 import dtype_name, is_int8

if TYPE_CHECKING:
    from bloomlab.generation.settings import Settings
    from bloomlab.lens.lengths import Progress
    from bloomlab.views.ablation import Ablation
    from bloomlab.views.alibi.lengths import LengthTexts
    from bloomlab.views.alibi.panel import AlibiPanel
    from bloomlab.views.attribution import TokenAttribution
    from bloomlab.views.effects import EffectMap
    from bloomlab.views.evidence import AnyFound, Evidence
    from bloomlab.views.lengths import Lengths
    from bloomlab.views.logit_lens import LogitLens
    from bloomlab.views.receipt import ReceiptTable
    from bloomlab.views.shared.like_texts import LikeTexts
    from bloomlab.views.shared.panel import Panel
    from bloomlab.views.tokens.panel import TokensPanel
    from bloomlab.views.tokens.result import Tokens
    from bloomlab.views.view import View
    from bloomlab.views.writing.writing import Writing

Result = TypeVar("Result")
FIRST_TEXT = "Leo lives in Oslo. Leo has a cat."
FIRST_START = "Leo lives in"
FIRST_QUESTION = "Where does Leo live?"
QUICK = 1 << 33  # multiplications of a pass that nobody has to be told of: about a tenth of a second


@in_words
def load(
    name_or_folder: str | os.PathLike[str] = "tiny",
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    engines: Any = None,
    allow: str | None = None,
    positions: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    max_memory: Mapping[Any, int | str] | None = None,
) -> "Lab":
    """Open a model: the embedded one ("tiny"), the folder of any BLOOM checkpoint, or one on the hub by its name.

    Args:
        name_or_folder: "tiny", "560m", "1b1", "1b7", "3b", "7b1", "176b", "bloomz-560m", …, "owner/name" or a folder.
        dtype: what to compute in; "auto" is what the files hold, and "int8" has the matrices as whole numbers, for half
            of bfloat16's memory and nearly half of its time a token.
        device: where to compute; the CPU by default.
        revision: for a name, a branch, tag or commit on the hub; the main branch by default. For "tiny", a step of
            its training, such as "step1200"; `tiny.snapshots()` lists them.
        cache_dir: for a name, the folder to keep downloads in; huggingface_hub's own cache by default.
        engines: for a model that one process cannot hold: how many processes to start on this machine, or those of an
            ipyparallel client, as `rc[:]`. Each holds its share of the weights (needs `bloomlab[cluster]`).
        allow: "slow" opens a model that is larger than the memory, with dtype="auto": it is read from the disk in every
            pass. How long that takes is said first.
        positions: opens a twin of the embedded model, trained on shorter texts, that knows where a token stands by
            "alibi", as BLOOM does, or else: "none", "sinusoidal", "learned", "rotary". They differ in nothing else.
        device_map: "auto" plans which part goes to which device, to the CPU's memory or to "disk", with accelerate
            (needs `bloomlab[large]`); or {name: place}, as {"transformer.h.0": 0, "": "cpu"}.
        max_memory: how much "auto" may use of each, as {0: "20GB", "cpu": "8GB"}.

    Raises:
        CheckpointError, ConfigError, TokenizerError: the folder or a file in it is missing or broken.
        DownloadError: a file cannot be fetched.
        InputError: the embedded model has no snapshot of this step, or no twin with such positions; only it has any.
        MemoryLimitError: the weights would not fit into this machine's memory; they have not been downloaded.
    """
    embedded = name_or_folder == "tiny"
    if positions is not None and (not embedded or revision is not None):
        raise InputError(
            "positions=… opens a twin of the embedded model as it was at the end of its training; leave "
            + ("revision=… out" if embedded else "it out for any other model")
        )
    if positions is not None and (engines is not None or allow is not None):
        raise InputError("a twin of the embedded model is small; leave engines=… and allow=… out")
    placed: dict[str, Any] = {
        name: value for name, value in (("device_map", device_map), ("max_memory", max_memory)) if value is not None
    }
    if placed and (engines is not None or positions is not None or (embedded and revision is not None)):
        raise InputError(
            "device_map=… places one model of one process; leave out engines=…, positions=… and revision=…"
        )
    snapshot = revision if embedded else None
    folder = tiny.folder() if embedded else name_or_folder
    source = find(folder, CheckpointError, None if embedded else revision, cache_dir)
    if source.commit:  # small files first: they show whether the large ones are worth downloading
        source.fetch("config", "tokenizer")
    where = source.fetch("tokenizer")
    files = versions(where / name for name in BloomTokenizerFast.vocab_files_names.values())
    tokenizer = BloomTokenizerFast.from_pretrained(where)
    spread = ""
    if positions is not None:
        model = BloomForCausalLM.from_pretrained(tiny.twin(positions), dtype=dtype, device=device)
    elif engines is not None:
        model, spread = in_parts(source, engines, dtype, device, cache_dir, snapshot)
    elif snapshot is None:
        model = BloomForCausalLM.from_pretrained(source, dtype=dtype, device=device, allow=allow, **placed)
    else:
        model = open_snapshot(snapshot, dtype=dtype, device=device)
    for file, seen in files.items():  # else the words could be those of a model that was there before
        check_unchanged(file, seen, TokenizerError)
    name = Path(name_or_folder).resolve().name + ("" if positions is None else f"-{positions}")
    lab = Lab(model, tokenizer, name=name.encode("utf-8", "backslashreplace").decode())  # a folder's can be any bytes
    lab.embedded, lab.twin = embedded and positions is None, positions or ""
    whole = lab.embedded and snapshot is None
    if whole:
        lab.heads = Heads(len(tokenizer), {task: partial(tiny.head, task) for task in tiny.TASKS})
    arguments = [
        *([] if whole else [repr(os.fspath(name_or_folder))]),
        *([] if snapshot is None else [f"revision={snapshot!r}"]),
        *([f"revision={source.commit!r}"] if source.commit else []),
        *([] if positions is None else [f"positions={positions!r}"]),
        *([] if cache_dir is None else [f"cache_dir={os.fspath(cache_dir)!r}"]),
        *([] if dtype is torch.float32 else [f"dtype={str(dtype).removeprefix('torch.')!r}"]),
        *([] if device is None else [f"device={str(device)!r}"]),
        *([] if allow is None else [f"allow={allow!r}"]),
        *(f"{name}={_as_written(value)!r}" for name, value in placed.items()),
        *([] if engines is None else [f"engines={spread}"]),
    ]
    lab.code = f"lab = bloomlab.load({', '.join(arguments)})"
    return lab


def _as_written(places: str | Mapping[str, Any]) -> str | dict[str, Any]:
    """A device_map as Python reads it."""
    if isinstance(places, str):
        return places
    return {name: str(place) if isinstance(place, torch.device) else place for name, place in places.items()}


def in_parts(
    source: Source,
    engines: Any,
    dtype: torch.dtype | str,
    device: torch.device | str | None,
    cache_dir: str | os.PathLike[str] | None,
    snapshot: str | None,
) -> tuple[BloomForCausalLM, str]:
    """The model in several processes, and how they were named; what that needs is imported only then."""
    if snapshot is not None:
        raise InputError("a snapshot of the embedded model opens in one process; leave engines out")
    from bloomlab.spread.whole import BloomInParts

    model = BloomInParts.open(source, engines, dtype, None if device is None else str(device), cache_dir=cache_dir)
    return model, model.engines.said


@in_words
def finding(path: str | os.PathLike[str], lab: "Lab | None" = None) -> Finding:
    """Open a finding that was saved; `.check()` measures it again, with the embedded model or with this lab.

    Raises:
        InputError: there is no such file, or it is not a finding.
    """
    found = Finding.read(path)
    found.lab = load() if lab is None else lab
    return found


@saying_that_memory_is_full
class Lab(NearNames):
    """A model with its tokenizer, and a verb for each thing to do with them:

        lab.tokens("Leo lives in Oslo.")                            how the model reads a text
        lab.explore("Leo lives in Oslo.")                           all views of it, as tabs
        lab.map("Leo lives in Oslo.")                               the whole model in one picture
        lab.attention("Leo lives in Oslo.", layer=2)                who looks at whom, and the sum behind it
        lab.hidden_states("Leo lives in Oslo.")                     what it would say at every step, and who added what
        lab.lengths()                                               whether longer texts are harder, for it and others
        lab.alibi("Leo lives in Oslo.")                             how far each head can look, and does
        lab.predictions("Leo lives in Oslo.")                       the next token, the names, the answer; at each layer
        lab.write("Leo lives in")                                   writing step by step, with all that might have been
        lab.generate("Leo lives in", max_new_tokens=5)              the text and its continuation
        lab.stream("Leo lives in", max_new_tokens=5)                the same, piece by piece
        lab.trace("Leo lives in Oslo.", read=["attn.probs"])        any tensor inside, kept; edit={…} changes it
        lab.lens("Leo lives in Oslo.")                              the logit lens, as a table
        lab.ablate("Leo lives in Oslo.", "h.2.attn.mixed", head=3)  what it would say without one of its parts
        lab.receipt("Leo lives in Oslo. Leo lives in")              which part wrote the next token
        lab.effects("Leo lives in Oslo.", "Leo lives in Lima.")     where that difference is carried
        lab.attribution("Leo lives in Oslo.")                       which tokens the next one rests on
        lab.refute("Leo lives in Oslo.", {"h.2.mlp.out": zero()})   what such an effect is worth: its controls
        lab.keep("Leo lives in Oslo.", ["2.3", "mlp 2"])            what these parts do by themselves
        lab.without("Leo lives in Oslo.", ["2.3"])                  what is left without them
        lab.direction(["Leo vit à Oslo."], ["Leo lives in Oslo."], "h.1.resid_post", "Leo")    a direction, and its dose
        lab.finding("MLP 2 matters.", "Leo lives in Oslo.", {"h.2.mlp.out": zero()})    a claim with its controls
        lab.like("Leo lives in Oslo.", 4)                           texts of the same kind, token for token
        lab.cases("{name} lives in Oslo.", name=["Leo", "Ana"])     texts from a template
        lab.classify("Leo vit à Oslo.")                             which language it is in
        lab.tag("Leo lives in Oslo.")                               what each token names
        lab.answer("Where does Leo live?", "Leo lives in Oslo.")    where the text answers a question
        lab.info()                                                  the model's sizes, and where its parameters are
        lab.card()                                                  what is known about it
        lab.fits("7b1")                                             whether another would fit into this machine
        lab.lessons()                                               the lessons that come with bloomlab

    Attributes:
        model: BloomForCausalLM, in eval mode; of a model that PEFT has wrapped, the one inside, with its adapters.
        tokenizer: BloomTokenizerFast.
        max_tokens: the longest text it takes, in tokens. ALiBi sets no limit of its own, so raise it if you wish.
        code: the Python that opens it again.
        embedded: whether it is the embedded model, which comes with documents to measure it with.
        twin: of a twin of the embedded model, how it knows positions, such as "rotary"; "" of any other.
        heads: the task heads by name; the embedded model's own, or those that you set: `lab.heads["tags"] = model`.
    """

    _elsewhere = LAB

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, name: str = "unnamed") -> None:
        if names := prompt_adapters(model):
            raise InputError(
                f"the adapter {names[0]!r} puts columns before the text that no view would show; adapters inside "
                "layers, such as LoRA, work here"
            )
        model = without_adapter_wrapper(model)
        if len(tokenizer) > model.config.vocab_size:
            raise TokenizerError(
                f"the tokenizer has {len(tokenizer)} tokens, but the model knows {model.config.vocab_size}; "
                "use the tokenizer that belongs to the model"
            )
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.max_tokens = 2048
        self.code = "lab = bloomlab.Lab(model, tokenizer)"
        self.embedded, self.twin = False, ""
        self.heads = Heads(len(tokenizer))

    @staticmethod
    def fits(name_or_folder: str | os.PathLike[str]) -> Fit:
        """Whether another model would fit here, and in which dtype; see `bloomlab.fits`."""
        return fits(name_or_folder)

    def info(self, name_or_folder: str | os.PathLike[str] | None = None) -> Info:
        """The sizes of this model, or of another, where its parameters are, and whether it fits into this machine.

        Raises:
            ConfigError, DownloadError: there is no such other model, or its config.json cannot be fetched.
        """
        if name_or_folder is not None:
            return info(name_or_folder)
        dtype, weights = dtype_name(self.model), weights_hash(self.model)
        on = f", adapter {', '.join(names)}" if (names := adapters(self.model)) else ""
        opened = f"{dtype} on {self.model.device}, weights {weights}{on}"
        return Info(self.name, self.model.config, fit_of(self.name, self.model.config), opened)

    def card(self) -> Card:
        """A description of this model; of the embedded one, how it was made, how good it is, what it cannot do."""
        if self.embedded or self.twin:
            return embedded_card(twins=bool(self.twin))
        return described(self.info(), self.heads, self.code)

    @staticmethod
    def lessons() -> Lessons:
        """The lessons that come with bloomlab, and how long each takes."""
        return listed()

    def tokens(
        self,
        x: str | Trace,
        translations: Mapping[str, str] | None = None,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
    ) -> "Tokens":
        """The tokens of a text, or of a trace of one, in order: a list that shows itself as chips to click on.

        `translations` are the texts that the view compares, {name: text}; by default, the translations that the
        embedded world's grammar finds. The model runs only when the view's comparison is opened. `edit` and `against`
        make two runs of it, as in `explore`, which the model reads; their difference is each token's surprise.

        Raises:
            InputError: a text is empty, not a text, or longer than `max_tokens`; or two things cannot be compared.
            HookError: an edit fits no spot, or names a position that the text does not have.
        """
        from bloomlab.views.tokens.result import Tokens

        trace = x if isinstance(x, Trace) else self._read_tokens(x)
        texts = None if translations is None else {name: self._checked(text) for name, text in translations.items()}
        if edit or against is not None:  # what cannot be compared is refused now, not when it is looked at
            view = self._view(["resid_post"], [self._tokens_panel(self._texts_like(), texts)], x, edit, against)
            return Tokens(trace.tokens, lambda: view)
        return Tokens(trace.tokens, lambda: self._view(None, [self._tokens_panel(self._texts_like(), texts)], trace))

    def _tokens_panel(self, like: "LikeTexts", translations: Mapping[str, str] | None = None) -> "TokensPanel":
        from bloomlab.views.tokens.panel import TokensPanel

        return TokensPanel(self.tokenizer, partial(self.trace, read=costs.READ), translations, self.model, like)

    def _read_tokens(self, text: str) -> Trace:
        """A trace in which nothing was read, so the model did not have to run."""
        tokens = self.tokenizer.tokens(self._checked(text))
        ids = torch.tensor([[token.id for token in tokens]])
        trace = Trace({}, text, [tokens], ids, torch.ones_like(ids), self.model.config, {"model": self.name})
        trace.lab = self
        return trace

    def trace(
        self,
        text: str | Sequence[str] | Tensor,
        read: Iterable[str] = ("attn.probs",),
        edit: Edits | None = None,
        detach: bool = True,
        max_new_tokens: int = 0,
        base: Trace | None = None,
        **settings: Any,
    ) -> Trace:
        """Run the model over a text and keep the tensors you name; see `bloomlab.tracing.record.record`.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`.
            HookError: a name fits no spot; nothing has run in that case.
        """
        if isinstance(text, str | bytes) or not isinstance(text, Sequence | Tensor):
            self._checked(text)
        elif isinstance(text, Tensor):
            self._check_length(text.shape[-1] if text.dim() else 1)
        else:
            self._checked_list(text)
        self._check_texts_of(edit)
        trace = record(self.model, self.tokenizer, text, read, edit, detach, max_new_tokens, base, **settings)
        trace.provenance["model"], trace.lab, trace.base = self.name, self, base
        return trace

    def generate(
        self, text: str | Sequence[str], max_new_tokens: int | None = None, **settings: Any
    ) -> str | list[str] | list[list[str]]:
        """The text and its continuation; a list of several if `num_return_sequences` asks for them.

        Several texts give a list with what one would give for each; they are written side by side in one batch.
        `bloomlab.generation.settings.Settings` lists what can be set.

        Raises:
            GenerationError: a setting makes no sense.
            InputError: the text is empty, not a text, or longer than `max_tokens`.
        """
        given = self._checked_list(text)
        if not given:
            return []
        inputs = self.tokenizer(given, padding=True, padding_side="left", return_tensors="pt").to(self.model.device)
        if settings.get("return_dict_in_generate"):
            raise GenerationError("lab.generate gives texts; lab.model.generate(ids, …) returns ids, with their scores")
        settings = {"tokenizer": self.tokenizer, "max_new_tokens": max_new_tokens, **settings}
        sequences = self.model.generate(inputs["input_ids"], inputs["attention_mask"], **settings)
        texts = self.tokenizer.batch_decode(sequences, skip_special_tokens=True)
        each = len(texts) // len(given)
        by_text = [texts[i : i + each] for i in range(0, len(texts), each)]
        several = by_text if each > 1 else texts
        return several[0] if isinstance(text, str) else several

    def stream(self, text: str, max_new_tokens: int | None = None, **settings: Any) -> Iterator[str]:
        """The text and its continuation as it is written, piece by piece: first the text, then what is new.

            for piece in lab.stream("Leo lives in"):
                print(piece, end="", flush=True)

        Each piece is whole characters: bytes that begin one wait for the rest. Joined, the pieces are what `generate`
        gives, which takes the same settings.

        Raises:
            GenerationError, InputError: as `generate` does, before the first piece; or several continuations are asked
                for, or beams, which have nothing to show before they end.
        """
        ids = torch.tensor([self.tokenizer.encode(self._checked(text))], device=self.model.device)
        settings = {"tokenizer": self.tokenizer, "max_new_tokens": max_new_tokens, **settings}
        if settings.get("num_return_sequences", 1) != 1:
            raise GenerationError("a stream shows one continuation; leave num_return_sequences out, or call generate")
        steps = self.model.stream(ids, **settings)
        tokens = chain(ids[0].tolist(), (int(step.token_ids) for step in steps))
        return self.tokenizer.pieces(tokens, skip_special_tokens=True)

    def write(self, text: str = FIRST_START, edit: Edits | None = None, **settings: Any) -> "Writing":
        """Write on from a text, a step at a time, with all the ways it could have gone as a tree.

        `settings` are those of `generate`: `writing.play(20)` writes what `generate(text, max_new_tokens=20)` does with
        the same ones, and a seed. `edit` is as `trace` takes it and holds for all that is written.

        Raises:
            GenerationError: a setting makes no sense.
            InputError: the text is empty, not a text, or longer than `max_tokens`.
            HookError: an edit fits no spot.
        """
        from bloomlab.generation.settings import Settings
        from bloomlab.views.writing.panel import WritingPanel

        trace = self._read_tokens(self._checked(text))
        chosen = Settings.of(settings, trace.ids.shape[1])
        trace.edit = edit = self._counted(edit or {}, text)
        trace.made = self.trace(text, (), edit).made if edit else {}
        writing = self._writing(trace, chosen)
        panel = WritingPanel(self._writing, writing.settings)
        writing.make_view = lambda: panel.linked(trace, writing, lambda: self._view(None, [panel], trace))
        return writing

    def _writing(self, trace: Trace, settings: "Settings") -> "Writing":
        """A writing that begins where a trace ends, with its edits."""
        from bloomlab.views.writing.writing import Writing, arguments, edits_in_python

        text, edit, reader = str(trace.text), trace.made or None, trace.lab or self  # who has read it writes it on
        writing = Writing(reader.model, reader.tokenizer, text, trace.ids[0], settings, edit, reader.max_tokens)
        given = ["edit=edit"] * bool(edit) + [arguments(writing.settings)]
        begin = f"writing = lab.write({', '.join([repr(text), *filter(None, given)])})"
        writing.heads = reader.heads
        writing.header = f"import bloomlab\n\n{reader.code}\n"
        writing.opening = "\n".join([*edits_in_python(edit), begin])
        return writing

    def lens(self, text: str, top: int = 5) -> "LogitLens":
        """What the model would say if it stopped at each step of each layer: the logit lens, as a table.

        Each cell keeps the `top` likeliest next tokens. `lab.hidden_states(text)` shows the same, to explore. With a
        large vocabulary each state takes a while: a bar says how far it is, and Ctrl-C keeps the states that are read.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`; or `top` is not a number of tokens.
        """
        from bloomlab.views.logit_lens import LogitLens

        trace = self.trace(self._checked(text), logit_lens.READ)
        rows = self._last(logit_lens.lens_so_far(self.model, trace, top), unit="state")
        return LogitLens(rows, trace.tokens, self.tokenizer, self.model.config.vocab_size)

    @overload
    def ablate(
        self,
        text: str,
        spot: str,
        texts: None = None,
        metric: None = None,
        answer: None = None,
        rival: None = None,
        **axes: Index,
    ) -> "Ablation": ...
    @overload
    def ablate(
        self,
        text: str,
        spot: str,
        texts: Sequence[str | Case],
        metric: str = "logit difference",
        answer: str | None = None,
        rival: str | None = None,
        **axes: Index,
    ) -> "Evidence[OverTexts]": ...
    def ablate(
        self,
        text: str,
        spot: str | None = None,
        texts: Sequence[str | Case] | None = None,
        metric: str | None = None,
        answer: str | None = None,
        rival: str | None = None,
        **axes: Index,
    ) -> "Ablation | Evidence[OverTexts]":
        """What the model loses without one of its parts: the text is read twice, once with zeros there.

        `spot` is named as in `trace`; `axes` say which part of it: `ablate(text, "h.2.attn.mixed", head=3)`. The
        second run has the logits of `trace(text, ["logits", spot], edit={spot: zero(head=3)})`, bit for bit.

        With `texts` the same is done in this text and in those: a list, or the cases of `lab.cases`, `lab.like`,
        `tiny.pairs`. Then the result has a metric of the next token in each text, with mean and spread (see
        `bloomlab.lens.over_texts.OverTexts`): the logit of `answer` less that of `rival`, or the "probability" of the
        answer. A case has its own two tokens; by default they are the likeliest, and the runner-up.

        Raises:
            InputError: a text is empty, not a text, or longer than `max_tokens`; an answer is not one token; or a
                position is named, and the texts have different token counts.
            HookError: there is no such spot or axis, or the text has no such position.
        """
        from bloomlab.views.ablation import Ablation
        from bloomlab.views.evidence import Evidence
        from bloomlab.views.shared.panel import stamp

        if not isinstance(spot, str):
            pair: Any = spot
            layer, head = pair if isinstance(pair, tuple) and len(pair) == 2 else map(axes.get, ("layer", "head"))
            raise HookError(
                f"ablate takes the name of a spot and what of it; a head is lab.ablate(text, "
                f"'h.{3 if layer is None else layer}.attn.mixed', head={5 if head is None else head}), an MLP "
                f"lab.ablate(text, 'h.{3 if layer is None else layer}.mlp.out')"
            )
        edit = zero(**axes)
        if texts is not None:
            cases = self._with_others(self._checked(text), texts, answer, rival)
            edits = by_spot(self.model, self._counted({spot: edit}, text))
            check_places(edits, len(self.tokenizer.encode(text)))
            steps = over_texts(self.model, self.tokenizer, cases, edits, metric or METRICS[0])
            found = replace(self._last(steps, whole=True), edit=f"{edit!r} at {spot}")
            return Evidence(found, self._stamp())
        for name, asked in (("metric", metric), ("answer", answer), ("rival", rival)):
            if asked is not None:
                raise InputError(f"{name}={shorten(asked)} says what is measured in several texts; pass texts=[…], too")
        edit = from_the_left(edit, len(self.tokenizer.encode(self._checked(text))))
        changed, whole = self._read(effect.READ, text, {spot: edit})
        difference = effect.effect(whole, changed)
        return Ablation(spot, repr(edit), whole.tokens, difference, self.tokenizer, stamp(whole.provenance))

    def _with_others(self, text: str, texts: Iterable[str | Case], answer: str | None, rival: str | None) -> list[Case]:
        """The text as a case, and the others; a case of this very text says what is compared after it."""
        cases = self._checked_cases(texts)
        own = next((case for case in cases if case.text == text), Case(text))
        own = own._replace(answer=answer or own.answer, rival=rival or own.rival)
        return [own, *(case for case in cases if case.text != text)]

    def receipt(
        self,
        text: str,
        token: str | int | None = None,
        versus: str | int | Sequence[str | int] | None = "runner-up",
        position: int = -1,
        texts: Sequence[str | Case] | None = None,
        head: str | None = None,
        instead: NamedEdit | None = None,
    ) -> "ReceiptTable":
        """Which part wrote this token? The difference of two logits at a position, a line for each part of the model.

        By default the likeliest next token against the runner-up; `versus` may be another token, several, "mean" (of
        all tokens), or None (the logit alone, which softmax does not see). Each part's total effect is what is lost
        with something else in its place: what one of `texts` has there (see `bloomlab.drawn`), else one of `like`, else
        zeros; or what `instead` puts there (`zero()`, `usual(texts)`). With `texts`, the mean and spread of those
        texts' own receipts stand beside each line, each of its own answer against its rival.

        With `head`, a task head's label in the place of the token: "language", "tags", or "answer", which reads a
        question and, on the next line, a text; `texts` only stand in then. `.neurons(layer)` and `.without(layer)` of
        the result open one MLP. A bar says how far it is if that takes long, and Ctrl-C keeps the parts that are
        measured.

        Raises:
            InputError: the text cannot be read; a token is not one token; or this model's stream is no sum.
            HookError: nothing of what is asked for can stand in this text's place.
        """
        from bloomlab.views.receipt import receipt_table

        cases = None if texts is None else self._checked_cases(texts)
        self._check_texts_of(instead)
        return receipt_table(self, self._checked(text), token, versus, position, cases, head, instead)

    def effects(
        self,
        text: str,
        other: str | None = None,
        what: str = "stream",
        mode: str = "needed",
        layer: int | None = None,
        head: int | None = None,
        answer: str | None = None,
        rival: str | None = None,
        instead: NamedEdit | None = None,
        texts: Sequence[str | Case] | None = None,
        estimate: str = "integrated",
        exact: int | None = None,
        seed: int = 0,
    ) -> "EffectMap":
        """Where the answer is carried: a map of what is lost, or brought, with one cell at a time copied from `other`.

        `what` names the map: "stream", "mlps", "heads", "positions" (of heads) or "looks" (of one head); `mode` the
        question: "needed" or "enough". Without `other`, something else stands in a cell's place, as `instead` puts it
        there (`zero()`, `usual(texts)`); by default `drawn(texts)`, of `like` where no texts are given. With `texts`
        the map is the mean over this text and those, and a case has its own other text. What was measured when it is
        interrupted is kept. See `bloomlab.lens.patching.effects`, whose steps can be watched and stopped.

        Raises:
            InputError: an argument makes no sense, or the texts do not fit each other.
            HookError: what is to stand in a cell's place cannot stand there.
        """
        from bloomlab.views.effects import EffectMap
        from bloomlab.views.live_result import kind_of, opened
        from bloomlab.views.shared.edits import in_place

        text = self._checked(text)
        self._check_texts_of(instead)
        given, place = instead, {name: at for name, at in (("layer", layer), ("head", head)) if at is not None}

        def chosen() -> dict[str, Any]:
            return {
                "map_what": what,
                "map_mode": mode,
                "map_other": other or "",
                "map_instead": kind_of(given, {None: "drawn", zero: "zero"}),
                "map_answer": answer or "",
                "map_rival": rival or "",
                "map_over": "this text" if cases is None else "texts",
                "mapping": "open",
            }

        settings: dict[str, Any] = {"what": what, "mode": mode, "layer": layer, "head": head, "seed": seed}
        settings |= {"estimate": estimate, "exact": exact, "answer": answer, "rival": rival}
        if other is not None:
            other = self._checked(other, "other text")
        cases = None if texts is None else self._checked_cases(texts)
        if other is None and instead is None and not any(case.other for case in cases or ()):
            if cases is None:
                instead = in_place("drawn", self._texts_like().set_of(text), {})
            else:
                instead = drawn([text, *(case.text for case in cases)])
        if cases is None:
            steps = effects(self.model, self.tokenizer, text, other, instead, **settings)
        else:
            first = Case(text, other or "", answer or "", rival or "")
            steps = effects_over(self.model, self.tokenizer, [first, *cases], instead, **settings)
        shown = EffectMap(self._last(steps), self._stamp())
        shown.make_view = partial(opened, self, text, cases, "hidden", chosen, place)
        return shown

    def attribution(
        self,
        text: str,
        answer: str | None = None,
        rival: str | None = None,
        instead: NamedEdit | None = None,
        steps: int = 32,
        texts: Sequence[str | Case] | None = None,
    ) -> "TokenAttribution":
        """Which tokens mattered for the next one: each left out, gradient × input, integrated gradients, side by side.

        By default the likeliest next token against the runner-up. What stands in a token's place, and where the
        integrated gradients begin, is the mean embedding; `instead` puts something else there, such as `drawn(texts)`.
        With `texts` the numbers are the means over this text and those, which must have as many tokens, each of its own
        answer. See `bloomlab.lens.attribution.attribution`.

        Raises:
            InputError: an argument makes no sense, or the texts have different token counts.
            HookError: `instead` cannot stand there.
        """
        from bloomlab.views.attribution import TokenAttribution
        from bloomlab.views.live_result import kind_of, opened

        def chosen() -> dict[str, Any]:
            return {
                "mattered_answer": answer or "",
                "mattered_rival": rival or "",
                "mattered_instead": kind_of(instead, {None: "mean"}),
                "mattered_over": "this text" if texts is None else "texts",
                "attributing": "open",
            }

        self._check_texts_of(instead)
        if texts is None:
            found = attribution(self.model, self.tokenizer, self._checked(text), answer, rival, instead, steps)
            shown = TokenAttribution(self._last(found, whole=True), self._stamp())
            shown.make_view = partial(opened, self, text, None, "tokens", chosen, {})
            return shown
        cases = [Case(self._checked(text), "", answer or "", rival or ""), *self._checked_cases(texts)]
        several = attributions(self.model, self.tokenizer, cases, instead, steps)
        shown = TokenAttribution(self._last(several, whole=True), self._stamp())
        shown.make_view = partial(opened, self, text, cases[1:], "tokens", chosen, {})
        return shown

    def cases(
        self,
        template: str,
        n: int = 64,
        seed: int = 0,
        *,
        other: str = "",
        answer: str = "",
        rival: str = "",
        **gaps: Sequence[str],
    ) -> Cases:
        """Texts of as many tokens that a template with gaps makes, for `texts=`; see `bloomlab.lens.cases.of_template`.

        `lab.cases("{name} lives in {city}. {name} lives in", answer=" {city}", name=names, city=cities)`

        Raises:
            InputError: a gap has no list, a list no gap, or no text can be made.
        """
        made = of_template(Case(template, other, answer, rival), gaps, seed)
        return alike(self.tokenizer, map(self._short_case, made), n)

    def like(
        self, text: str, n: int = 64, seed: int = 0, *, other: str = "", answer: str = "", rival: str = ""
    ) -> Cases:
        """Texts like one, of as many tokens: its people, cities and animals of the tiny world replaced by others.

        `usual(lab.like(text).texts)`; see `bloomlab.tiny.like.like`.

        Raises:
            InputError: the text names nothing of the tiny world.
        """
        self._short_case(Case(*(whole_text(one, "text") for one in (text, other, answer, rival))))
        return like(self.tokenizer, self._checked(text), n, seed, other=other, answer=answer, rival=rival)

    def refute(
        self,
        text: str,
        edit: Edits,
        metric: str = "logit difference",
        answer: str | None = None,
        rival: str | None = None,
        texts: Sequence[str | Case] | None = None,
        n: int = 20,
        seed: int = 0,
        everywhere: bool = False,
    ) -> "Evidence[Refutation]":
        """What an edit's effect is worth: its change of a metric beside those of its controls, as one table.

        The controls: a change of the same size in `n` random directions, other heads here, this head at other tokens,
        what texts with the same answer have there, half and twice the dose, and the same edit in other `texts`. See
        `bloomlab.lens.refute.refute`, whose steps can be watched and stopped.

        Raises:
            InputError: an argument makes no sense, or the texts have other token counts than the edit is made for.
            HookError: an edit fits no spot, or names a position that the text does not have.
        """
        text, texts = self._checked(text), None if texts is None else self._checked_cases(texts)
        edit = self._counted(edit, text)
        steps = refute(self.model, self.tokenizer, text, edit, metric, answer, rival, texts, n, seed, everywhere)
        return self._evidence(steps)

    def keep(
        self,
        texts: str | Sequence[str | Case],
        parts: Sequence[str],
        instead: NamedEdit | None = None,
        among: str = "all",
        metric: str = "logit difference",
        answer: str | None = None,
        rival: str | None = None,
        n: int = 20,
        seed: int = 0,
    ) -> "Evidence[Kept]":
        """How much of the answer these parts keep by themselves, all others replaced; beside random sets of as many.

        `lab.keep(texts, ["3.4", "mlp 3"], instead=usual(texts))`; without `instead`, by zeros. See
        `bloomlab.lens.keep.keep`.

        Raises:
            InputError: an argument makes no sense, or the texts have different token counts.
            HookError: `instead` is no edit that could stand at any head.
        """
        return self._kept("keep", texts, parts, instead, among, metric, answer, rival, n, seed)

    def without(
        self,
        texts: str | Sequence[str | Case],
        parts: Sequence[str],
        instead: NamedEdit | None = None,
        among: str = "all",
        metric: str = "logit difference",
        answer: str | None = None,
        rival: str | None = None,
        n: int = 20,
        seed: int = 0,
    ) -> "Evidence[Kept]":
        """`keep` turned around: how much of the answer is left when only these parts are replaced.

        Raises:
            InputError, HookError: as `keep` does.
        """
        return self._kept("without", texts, parts, instead, among, metric, answer, rival, n, seed)

    def _kept(
        self,
        mode: str,
        texts: str | Sequence[str | Case],
        parts: Sequence[str],
        instead: NamedEdit | None,
        *settings: Any,
    ) -> "Evidence[Kept]":
        cases = self._checked_cases([texts] if isinstance(texts, str) else texts)
        self._check_texts_of(instead)
        steps = keep(self.model, self.tokenizer, cases, parts, zero() if instead is None else instead, mode, *settings)
        return self._evidence(steps)

    def direction(
        self,
        texts_a: Sequence[str],
        texts_b: Sequence[str],
        at: str,
        text: str,
        answer: str | None = None,
        rival: str | None = None,
        metric: str = "logit difference",
        doses: Sequence[float] = DOSES,
        ordinary: Sequence[str] | None = None,
        n: int = 5,
        seed: int = 0,
        max_new_tokens: int = 12,
    ) -> "Evidence[Direction]":
        """The direction in the stream from texts_b to texts_a, and what adding it does after `text`, dose by dose.

        `lab.direction(french, english, "h.1.resid_post", "Leo lives in Oslo. Leo", " habite", " lives")`; beside each
        dose the loss on ordinary text, random directions of the same length, and what the model writes. See
        `bloomlab.lens.direction.direction`; `.found.edit(2)` is the edit.

        Raises:
            InputError: an argument makes no sense, or the two sets have the same mean.
            HookError: there is no such spot, or it holds no states.
        """
        first, second = self._checked_cases(texts_a), self._checked_cases(texts_b)
        others = None if ordinary is None else self._checked_cases(ordinary)
        text, settings = self._checked(text), (answer, rival, metric, doses, others, n, seed, max_new_tokens)
        steps = direction(self.model, self.tokenizer, first, second, at, text, *settings)
        return self._evidence(steps)

    def finding(
        self,
        claim: str,
        text: str,
        edit: Edits,
        metric: str = "logit difference",
        answer: str | None = None,
        rival: str | None = None,
        texts: Sequence[str | Case] | None = None,
        n: int = 20,
        seed: int = 0,
        everywhere: bool = False,
    ) -> Finding:
        """A claim about an edit, measured with its controls as `refute` does, to be saved and checked again.

        `lab.finding("Sixteen numbers switch copying on.", text, edit).save("sixteen.json")`

        Raises:
            InputError, HookError: as `refute` does.
        """
        whole_text(claim, "claim")
        edit = self._counted(edit, self._checked(text))
        found = self.refute(text, edit, metric, answer, rival, texts, n, seed, everywhere).found
        asked = {"text": text, "metric": metric, "answer": answer, "rival": rival, "n": n, "seed": seed}
        made = self.trace(text, ()).provenance
        provenance = {name: made[name] for name in ("model", "weights", "dtype", "versions")} | {"code": self.code}
        edits = {spot: list(in_order(spot, several)) for spot, several in edit.items()}
        cases = [] if texts is None else of_texts(texts)
        return Finding(claim, {**asked, "everywhere": everywhere}, edits, cases, found, provenance, self)

    def _counted(self, edit: Edits, text: str) -> Edits:
        """Edits with the positions that count from the end of a text counted from its beginning."""
        given: Any = edit
        if not isinstance(given, Mapping):  # which is refused in words where it is used
            return edit
        self._check_texts_of(edit)
        columns = len(self.tokenizer.encode(text))
        return {
            spot: [from_the_left(one, columns) for one in in_order(spot, several)] for spot, several in edit.items()
        }

    def _check_texts_of(self, edits: Any) -> None:
        """Refuse an edit, or edits by their spots, that would read a text which is too long."""
        given = edits.values() if isinstance(edits, Mapping) else [edits]
        several = chain.from_iterable(each if isinstance(each, list | tuple) else [each] for each in given)
        for text in chain.from_iterable(map(texts_of, several)):
            self._check_size(text, "a text of an edit")

    def _checked_cases(self, texts: Iterable[str | Case]) -> list[Case]:
        """Texts, or cases, if the model can read each."""
        found = of_texts(texts)
        for case in found:
            self._checked(case.text)
            self._check_size(case.other, "other text")
        return found

    def _short_case(self, case: Case) -> Case:
        for name, text in zip(("text", "other text", "answer", "rival"), case, strict=True):
            self._check_size(text, name)
        return case

    def _check_size(self, text: str, name: str) -> None:
        """Refuse a text that is too long; one of few bytes cannot be."""
        if bytes_in(text) > self.max_tokens:
            self._checked(text, name)

    def _evidence(self, steps: "Iterable[Progress[AnyFound]]") -> "Evidence[AnyFound]":
        """What the last of some steps found, to be shown; a bar says how far it is, if that takes long."""
        from bloomlab.views.evidence import Evidence

        return Evidence(self._last(steps, whole=True), self._stamp())

    def _stamp(self) -> str:
        """Where numbers come from: the model, its weights, its dtype."""
        dtype, on = dtype_name(self.model), ", ".join(adapters(self.model))
        return f"{self.name} · weights {weights_hash(self.model)}{f' · adapter {on}' if on else ''} · {dtype}"

    @staticmethod
    def _last(steps: "Iterable[Progress[Result]]", whole: bool = False, unit: str = "run") -> "Result":
        """What the last step found, with a bar if that takes long; of an interrupted job what there is."""
        found: list[Result] = []
        with without_monitor(tqdm)(unit=unit, delay=2, leave=False) as bar:
            try:
                for step in steps:
                    found = list(step.results) or found
                    bar.total = step.total
                    bar.update(step.done - bar.n)
            except KeyboardInterrupt:
                if whole or not found:
                    raise
                warnings.warn("interrupted: what was measured until then is kept", stacklevel=4)
        return found[-1]

    def classify(self, text: str | Sequence[str]) -> Classification | list[Classification]:
        """The label that the head "language" gives a text, or each of several texts.

        Raises:
            InputError: a text is empty, not a text, or longer than `max_tokens`; or there is no such head.
        """
        results = classify(self.heads["language"], self.tokenizer, self._checked_list(text))
        return results[0] if isinstance(text, str) else results

    def tag(self, text: str | Sequence[str]) -> Tagging | list[Tagging]:
        """The tag that the head "tags" gives each token of a text, or of several texts.

        Raises:
            InputError: as `classify` does.
        """
        results = tag(self.heads["tags"], self.tokenizer, self._checked_list(text))
        return results[0] if isinstance(text, str) else results

    def answer(self, question: str | Sequence[str], context: str | Sequence[str] = "") -> Answer | list[Answer]:
        """Where the context answers a question, according to the head "answer".

        With several questions or contexts, each question goes with the context beside it; a single one goes with all.

        Raises:
            InputError: as `classify` does; or there are not as many questions as contexts.
        """
        questions, contexts = self._checked_list(question, "question"), self._checked_list(context, "context")
        questions = questions * len(contexts) if isinstance(question, str) else questions
        contexts = contexts * len(questions) if isinstance(context, str) else contexts
        if len(questions) != len(contexts):
            raise InputError(
                f"there are {len(questions)} questions, but {len(contexts)} contexts; pass one context for each"
            )
        for one_question, text in zip(questions, contexts, strict=True):
            self._check_length(len(self.tokenizer.encode(f"{one_question}\n")) + len(self.tokenizer.encode(text)))
        results = answer(self.heads["answer"], self.tokenizer, questions, contexts)
        return results[0] if isinstance(question, str) and isinstance(context, str) else results

    def explore(
        self,
        x: str | Trace = FIRST_TEXT,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        texts: Sequence[str | Case] | None = None,
        level: str = "whole",
        **place: Any,
    ) -> "View":
        """Look inside: all views of a text, or of a trace of one, as tabs with one selection.

        If the trace lacks something that a view needs, that view says what. With `edit`, as `trace` takes it, there
        are two runs, with and without; a switch shows either, or the difference. `against` is what else to compare
        with: another text, a trace, or the lab of another model with the same tokenizer. `texts` are those that the
        page draws from and measures edits in; by default, those of `like`. `place` is what is selected at first, of
        `layer`, `head`, `query`, `key` and `tab`, as in `explore(text, layer=3, head=5, tab="hidden")`.
        `level="first"` is for a first look: no tabs, one row of one head as bars over the text, opened at a head with
        something to see.

        Raises:
            InputError: there is no such level; the text is empty, not a text, or longer than `max_tokens`; or two
                things cannot be compared.
            HookError: an edit fits no spot, or names a position that the text does not have.
        """
        from bloomlab.views.attention.panel import LEVELS, AttentionPanel
        from bloomlab.views.attention.payload import READ

        if level not in LEVELS:
            raise InputError(
                f"level is {' or '.join(map(repr, LEVELS))}, but got {shorten(level)}{did_you_mean(level, LEVELS)}"
            )
        like = self._texts_like(texts)
        if level == "first":
            view = self._view(READ, [AttentionPanel(like, level)], x, edit, against, like)
            view.metric = "probability"
            return self._at(view, place)
        return self._at(self._view(self._all_spots(), self._panels(like), x, edit, against, like), place)

    def map(
        self,
        x: str | Trace = FIRST_TEXT,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        part: str = "attn",
        small: bool = False,
    ) -> "View":
        """The whole model in one picture: what happens to this text from its letters to the next token.

        It is the explorer with its first tab open: each part says what it does, how large it is here, and in which
        file it is computed, and leads to the tab that shows it. `part` is the one that is lit: "text", "tokens",
        "embed", "attn", "alibi", "mlp", "stream", "norm", "scores" or "next". `small` is the map in one line, with
        what the lit part does, as it stands at the head of a lesson.

        Raises:
            InputError, HookError: as `explore`; and there is no such part.
        """
        from bloomlab.views.map.panel import PARTS, MapPanel
        from bloomlab.views.map.payload import READ

        if part not in PARTS:
            raise InputError(f"the parts are {', '.join(PARTS)}, but got {shorten(part)}{did_you_mean(part, PARTS)}")
        if flag("small", small):
            view = self._view(READ, [MapPanel(self.model, self.tokenizer, "small")], x, edit, against)
            view.part = part
        else:
            view = self.explore(x, edit, against, tab="map")
            view.map.part = part
        return view

    @staticmethod
    def _at(view: "View", place: Mapping[str, Any]) -> "View":
        """The view with this selected: a tab, or a place, which counts from the end where it is negative."""
        trace, tabs = view.trace, list(view.panels) if len(view.panels) > 1 else []
        columns = 0 if trace is None else trace.ids.shape[1]
        ends = {} if trace is None else {"layer": trace.config.n_layer, "head": trace.config.n_head}
        ends |= {"query": columns, "key": columns}
        for name, value in place.items():
            if name == "tab" and tabs:
                if value not in tabs:
                    hint = did_you_mean(value, tabs)
                    raise InputError(f"the tabs are {', '.join(tabs)}, but got {shorten(value)}{hint}")
            elif name not in ends:
                where = f"; set it once the view is there: view.{name} = …" if name in view.traits() else ""
                names = ", ".join([*ends, *["tab"] * bool(tabs)])
                raise InputError(f"a view can be opened at {names}, but not at {name!r}{where}")
            elif type(value) is not int or not -ends[name] <= value < ends[name]:
                raise InputError(f"{name} goes from 0 to {ends[name] - 1}, but got {shorten(value)}")
            elif value < 0:
                value += ends[name]
            setattr(view, name, value)
        return view

    def _texts_like(self, texts: Sequence[str | Case] | None = None) -> "LikeTexts":
        """The texts that a view draws from and measures in: those that were given, or those of `like`."""
        from bloomlab.views.shared.like_texts import LikeTexts

        return LikeTexts(self.tokenizer, None if texts is None else self._checked_cases(texts))

    def _panels(self, like: "LikeTexts | None" = None) -> "list[Panel]":
        """The explorer's panels, in their order."""
        from bloomlab.views.attention.panel import AttentionPanel
        from bloomlab.views.hidden.panel import HiddenPanel
        from bloomlab.views.map.panel import MapPanel
        from bloomlab.views.predictions.panel import PredictionsPanel
        from bloomlab.views.writing.panel import WritingPanel

        like = like or self._texts_like()
        return [
            MapPanel(self.model, self.tokenizer),
            self._tokens_panel(like),
            AttentionPanel(like),
            self._alibi_panel(),
            HiddenPanel(self.model, self.tokenizer, like),
            PredictionsPanel(self.model, self.tokenizer, self.heads, FIRST_QUESTION, like),
            WritingPanel(self._writing),
        ]

    def _view(
        self,
        spots: Sequence[str] | None,
        panels: "Sequence[Panel]",
        x: str | Trace,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        like: "LikeTexts | None" = None,
    ) -> "View":
        """A view of a trace, or of a text that the model can read; `spots` are what its panels need."""
        from bloomlab.views.view import View
        from bloomlab.views.worth import Worth

        read = self._read_tokens if spots is None else partial(self._read, spots)
        text = x if isinstance(x, Trace) else self._checked(x)
        edit = edit if edit is None or isinstance(x, Trace) else self._counted(edit, x)
        may = None if spots is None or isinstance(x, Trace) else self.model.hook_names
        measure = None if spots is None else self._measure(spots, edit, against)
        donor = None if spots is None else self._read_donor
        worth = None
        if spots is not None and against is None:
            worth = Worth(self.model, self.tokenizer, like or self._texts_like())
        with self._saying_what_it_reads("" if spots is None else text):
            return View(read, panels, text, self.code, edit, measure, may, donor, worth)

    @contextlib.contextmanager
    def _saying_what_it_reads(self, x: str | Trace) -> Iterator[None]:
        """A line below the cell, until the view is there, where a pass takes longer than one waits without a word."""
        columns = 0 if isinstance(x, Trace) or not x else len(self.tokenizer.encode(x))
        quick = self.model.config.parameter_count() * columns <= QUICK
        says = f"{self.name} reads {columns} tokens; then their first picture is drawn"
        with without_monitor(tqdm)(desc=says, bar_format="{desc} …", leave=False, disable=quick):
            yield

    def _read(self, spots: Sequence[str], text: str, edit: Edits | None = None, whole: Trace | None = None) -> Any:
        """A trace of these spots; with edits two, the edited run and the one without.

        `whole` is an earlier trace of `spots` without edits, which is taken if it is as good as a new one.
        """
        if not edit:
            return self.trace(text, spots, by_need=True)
        columns = len(self.tokenizer.encode(self._checked(text)))
        for spot, edits in edit.items():
            for one in in_order(spot, edits):
                check_columns(getattr(one, "where", {}), columns)
        # reading the edited spots sends both runs through the same code for attention, so that they round alike
        both = [*spots, *edit]
        if whole is None or not self._would_be(whole, text, both):
            whole = self.trace(text, both, by_need=True)
        edited = self.trace(text, both, edit, base=whole, by_need=True)
        check_numbers(edited.readings)
        return edited, whole

    def _would_be(self, whole: Trace, text: str, names: Sequence[str]) -> bool:
        """Whether a trace has the numbers that one of these names, without edits, would have now."""
        n_layer, spots = self.model.config.n_layer, list(self.model.hook_names())
        if whole.lab is not self or whole.text != text or whole.edit or whole.closed:
            return False
        now = {"weights": weights_hash(self.model), "dtype": dtype_name(self.model)}
        if not now.items() <= whole.provenance.items():
            return False
        read = [spot for name in names for spot in resolve(name, spots)]
        return readable_layers(read, n_layer) == readable_layers(whole.names, n_layer)

    def _read_donor(self, text: str) -> Trace:
        """The tokens of a text to copy from; what it has where is read once it is known what is copied."""
        return self.trace(self._checked(text), ())

    def _measure(
        self, spots: Sequence[str], edit: Edits | None, against: "str | Trace | Lab | None"
    ) -> "Trace | Callable[[str], Trace] | None":
        """What a view is compared with: a trace, or a function that gives one for each text."""
        if against is None:
            return None
        if edit:
            raise InputError("edit=… has the run without edits to be compared with; leave against=… out")
        if isinstance(against, Trace):
            if against.config.vocab_size != self.model.config.vocab_size:
                raise InputError("the trace is of a model with another vocabulary, so its tokens are not these")
            return against
        if isinstance(against, Lab):
            if against.tokenizer.get_vocab() != self.tokenizer.get_vocab():
                raise InputError("the other lab has another tokenizer, so its tokens are not these; compare two texts")
            return partial(against._read, spots)
        return self.trace(self._checked(against), spots, by_need=True)

    def _read_all(self, text: str) -> Trace:
        return self.trace(text, self._all_spots())

    @staticmethod
    def _all_spots() -> list[str]:
        """What the explorer's panels read."""
        from bloomlab.views.alibi import payload as alibi
        from bloomlab.views.hidden import payload as hidden
        from bloomlab.views.predictions import payload as predictions

        return [*alibi.READ, *alibi.READ_EFFECT, *hidden.READ, *predictions.READ]

    def attention(
        self,
        x: str | Trace = FIRST_TEXT,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        probs: "Tensor | Any | None" = None,
        **place: Any,
    ) -> "View":
        """Who looks at whom: every head of a text, or of a trace of one, down to the sum behind one number.

        `edit` and `against` make two runs of it, as in `explore`, and `place` is what is selected at first. `probs` is
        a pattern of your own to look at instead, (layer, head, query, key), for the tokens of the text: a tensor or an
        array of any model's, or a made-up one.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`; or a row of `probs` is not one of
                attention.
            HookError: the trace has not read "attn.scores" and "attn.probs".
        """
        from bloomlab.views.attention import payload as attention
        from bloomlab.views.attention.panel import AttentionPanel

        if probs is not None:
            return self._at(self._given_attention(x, probs, edit is not None or against is not None), place)
        like = self._texts_like()
        return self._at(self._view(attention.READ, [AttentionPanel(like)], x, edit, against, like), place)

    def _given_attention(self, x: str | Trace, probs: Any, compared: bool) -> "View":
        from bloomlab.views.attention.given import given_trace
        from bloomlab.views.attention.panel import AttentionPanel
        from bloomlab.views.view import View

        if compared:
            raise InputError("an attention of your own has no run to edit or compare; leave edit=… and against=… out")
        text = str(x.text) if isinstance(x, Trace) else self._checked(x)
        tokens = x.tokens if isinstance(x, Trace) else self.tokenizer.tokens(text)

        def refuse(_: str) -> Trace:
            raise InputError("this view shows an attention of your own, of one text; for another, pass both anew")

        return View(refuse, [AttentionPanel()], given_trace(text, tokens, probs, self.name), self.code)

    def predictions(
        self,
        x: str | Trace = FIRST_TEXT,
        question: str = FIRST_QUESTION,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        **place: Any,
    ) -> "View":
        """What the heads say about a text, or a trace of one, at each layer: the next token, a label, tags, an answer.

        `question` is asked about the text; the view takes others. Without `lab.heads` it shows only the next token.
        `edit` and `against` make two runs of it, as in `explore`; the task heads read the text with the same edits, or
        are those of the other lab. `place` is what is selected at first, as in `explore`.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`.
            HookError: the trace has not read "resid_post".
        """
        from bloomlab.views.predictions.panel import PredictionsPanel
        from bloomlab.views.predictions.payload import READ

        asked = whole_text(question, "question")
        like = self._texts_like()
        panel = PredictionsPanel(self.model, self.tokenizer, self.heads, asked, like)
        return self._at(self._view(READ, [panel], x, edit, against, like), place)

    def hidden_states(
        self,
        x: str | Trace = FIRST_TEXT,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        **place: Any,
    ) -> "View":
        """What BLOOM would say at every step of every layer, and who added what: for a text, or a trace of one.

        `edit` and `against` make two runs of it, as in `explore`, and `place` is what is selected at first.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`; or the trace is of another model.
            HookError: the trace has not read all of `bloomlab.views.hidden.payload.READ`.
        """
        from bloomlab.views.hidden.panel import HiddenPanel
        from bloomlab.views.hidden.payload import READ

        like = self._texts_like()
        view = self._view(READ, [HiddenPanel(self.model, self.tokenizer, like)], x, edit, against, like)
        return self._at(view, place)

    def alibi(
        self,
        x: str | Trace = FIRST_TEXT,
        texts: Sequence[str] | None = None,
        edit: Edits | None = None,
        against: "str | Trace | Lab | None" = None,
        **place: Any,
    ) -> "View":
        """How far each head can look: its slope, its reach, and what it makes of them in a text, or in a trace of one.

        The view's length lab reads `texts`, to see whether longer ones are harder. By default, the embedded model
        reads documents it was never trained on; any other model, the text shown, if it is long enough. For the
        embedded model, it can also measure its five twins, which know positions in five ways. `edit` and `against`
        make two runs of the text, as in `explore`, and `place` is what is selected at first.

        Raises:
            InputError: the text is empty, not a text, or longer than `max_tokens`.
            HookError: the trace has not read "attn.scores" and "attn.probs".
        """
        from bloomlab.views.alibi.payload import READ, READ_EFFECT

        texts = [texts] if isinstance(texts, str) else texts
        panel = self._alibi_panel(None if texts is None else [self._checked(text) for text in texts])
        return self._at(self._view([*READ, *READ_EFFECT], [panel], x, edit, against), place)

    def lengths(self, *others: "Lab", texts: Sequence[str] | None = None) -> "Lengths":
        """Is a longer text harder? The loss by the length of the text, of this model and of `others`.

        All read the same `texts`, cut to the shortest; by default, if this is the embedded model or one of its twins,
        documents that it never read. `figure()` of the result draws the curves:

            lab = bloomlab.load("tiny", positions="alibi")
            lab.lengths(bloomlab.load("tiny", positions="rotary")).figure()

        Raises:
            InputError: another lab has another tokenizer; or the texts are too short to be compared.
        """
        for other in others:
            if not isinstance(other, Lab):
                raise InputError(f"lengths takes labs, as bloomlab.load() gives them, but got {type(other).__name__}")
            if other.tokenizer.get_vocab() != self.tokenizer.get_vocab():
                raise InputError(f"{other.name} has another tokenizer, so its losses cannot be compared with these")
        return self._last(self._lengths(others, None if texts is None else self._checked_list(texts)))

    def _lengths(self, others: "Sequence[Lab]", texts: list[str] | None) -> "Iterator[Progress[Lengths]]":
        from bloomlab.views.lengths import lengths_of

        found = self._length_texts(texts, FIRST_TEXT)
        models = [(lab.name, lab.model) for lab in (self, *others)]
        return lengths_of(models, found.ids, found.lengths, found.says, found.trained)

    @staticmethod
    def _twins_lengths() -> "Iterator[Progress[Lengths]]":
        """What `lengths` measures of the embedded model's twins; they are opened when it begins."""
        alibi, *others = [load("tiny", positions=kind) for kind in tiny.TWINS]
        yield from alibi._lengths(others, None)

    def _alibi_panel(self, texts: list[str] | None = None) -> "AlibiPanel":
        from bloomlab.views.alibi.panel import AlibiPanel

        family = self.embedded or self.twin
        return AlibiPanel(partial(self._length_texts, texts), self._twins_lengths if family else None)

    def _length_texts(self, texts: list[str] | None, shown: str) -> "LengthTexts":
        """What the length lab reads: these texts, the embedded model's own documents, or the text shown."""
        from bloomlab.views.alibi.lengths import document_rows, text_rows, twin_rows

        if texts is None and self.twin:
            return twin_rows(self.model, self.tokenizer)
        if texts is None and self.embedded:
            return document_rows(self.model, self.tokenizer)
        return text_rows(self.model, [self.tokenizer.encode(text) for text in texts or [shown]])

    def _read_attention(self, text: str) -> Trace:
        return self.trace(text, read=["attn.scores", "attn.probs"])

    def _checked_list(self, texts: Any, name: str = "text") -> list[str]:
        """One text, or several, in a list, if the model can read each."""
        several = isinstance(texts, Sequence) and not isinstance(texts, str | bytes)
        return [self._checked(text, name) for text in (texts if several else [texts])]

    def _checked(self, text: Any, name: str = "text") -> str:
        """The text, if the model can read it."""
        whole_text(text, name)
        if not text:
            raise InputError(f"the {name} is empty; write at least one character")
        if len(text) > self.max_tokens:  # a text without end is refused before it is cut into tokens
            self._check_length(self.tokenizer.least_tokens(text), "at least ")
        self._check_length(len(self.tokenizer.encode(text)))
        return str(text)

    def _check_length(self, n_tokens: int, at_least: str = "") -> None:
        if n_tokens > self.max_tokens:
            raise InputError(
                f"the text has {at_least}{n_tokens} tokens, but this lab takes at most {self.max_tokens}; shorten it, "
                "or raise lab.max_tokens if the memory allows"
            )

    def __repr__(self) -> str:
        config, parameters = self.model.config, self.model.num_parameters()
        dtype = "int8" if is_int8(self.model) else self.model.dtype
        return (
            f"Lab with {self.name!r}: BLOOM of {config.n_layer} layers, {config.n_head} heads, width "
            f"{config.hidden_size}, {config.vocab_size} tokens; {parameters:,} parameters in {dtype}"
            + (f"; adapter {', '.join(on)}" if (on := adapters(self.model)) else "")
        )
