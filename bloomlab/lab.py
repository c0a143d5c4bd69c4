"""The lab: one model, its tokenizer, and a verb for each thing to do with them.

lab = bloomlab.load()                      the embedded model; needs no network
lab.tokens("Leo lives in Oslo.")           how the model reads a text
lab.trace("Leo lives in Oslo.", read=["attn.probs"])
lab.generate("Leo lives in", max_new_tokens=10)
lab.fits("7b1")                            whether another model would fit into this machine's memory
lab.explore("Leo lives in Oslo.")          all of it, to look at and to touch
lab.attention("Leo lives in Oslo.")        who looks at whom, and the sum behind it
lab.hidden_states("Leo lives in Oslo.")    what the model would say at every step, and who added what
lab.alibi("Leo lives in Oslo.")            how far each head can look, and does
lab.lens("Leo lives in Oslo.")             the same as a table, to compute with
lab.ablate("Leo lives in Oslo.", "h.2.attn.mixed", head=3)    what it would say without one of its parts
lab.predictions("Leo lives in Oslo.")      what comes next, what is named, what is the answer; at every layer
lab.classify("Leo vit à Oslo.")            which language it is in; tag and answer ask the other task heads
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab import tiny
from bloomlab.arguments import whole_text
from bloomlab.asking import answer, classify, tag
from bloomlab.card import Card, described, embedded_card
from bloomlab.edits import Index, check_columns, zero
from bloomlab.errors import CheckpointError, InputError, TokenizerError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.heads.named import Heads
from bloomlab.hooks import Edit
from bloomlab.hub import find
from bloomlab.lens import costs, effect, logit_lens
from bloomlab.lens.anatomy import Info, info
from bloomlab.lessons import Lessons, listed
from bloomlab.record import record, weights_hash
from bloomlab.room import Fit, fit_of, fits
from bloomlab.tiny.snapshot import open_snapshot
from bloomlab.tokenizer import BloomTokenizerFast
from bloomlab.trace import Trace
from bloomlab.verdicts import Answer, Classification, Tagging

if TYPE_CHECKING:
    from bloomlab.views._reading import ReadingView
    from bloomlab.views.ablation import Ablation
    from bloomlab.views.alibi import AlibiView, LengthTexts
    from bloomlab.views.attention import AttentionView
    from bloomlab.views.explorer import Explorer
    from bloomlab.views.hidden import HiddenStates
    from bloomlab.views.lens import LogitLens
    from bloomlab.views.predictions import Predictions
    from bloomlab.views.tokens import Tokens
    from bloomlab.views.tokens_view import TokensView

FIRST_TEXT = "Leo lives in Oslo. Leo has a cat."
FIRST_QUESTION = "Where does Leo live?"


def load(
    name_or_folder: str | os.PathLike[str] = "tiny",
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str | None = None,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> "Lab":
    """Open a model: the embedded one ("tiny"), the folder of any BLOOM checkpoint, or one on the hub by its name.

    Args:
        name_or_folder: "tiny", "560m", "1b1", "1b7", "3b", "7b1", "176b", "bloomz-560m", …, "owner/name" or a folder.
        dtype: what to compute in; "auto" is what the files hold.
        device: where to compute; the CPU if not said.
        revision: of a name: branch, tag or commit on the hub; its main branch if not said. Of "tiny": a step of its
            training, such as "step1200"; `tiny.snapshots()` lists them.
        cache_dir: of a name: where to keep what is downloaded; huggingface_hub's own place if not said.

    Raises:
        CheckpointError, ConfigError, TokenizerError: the folder is missing, or not all in it is in order.
        DownloadError: a file cannot be fetched.
        InputError: the embedded model has no snapshot of this step.
        MemoryLimitError: the weights would not fit into this machine's memory; nothing large was downloaded then.
    """
    embedded = name_or_folder == "tiny"
    snapshot = revision if embedded else None
    folder = tiny.folder() if embedded else name_or_folder
    source = find(folder, CheckpointError, None if embedded else revision, cache_dir)
    if source.commit:  # what is small first: it shows whether the large files are worth their download
        source.fetch("config", "tokenizer")
    tokenizer = BloomTokenizerFast.from_pretrained(source.fetch("tokenizer"))
    if snapshot is None:
        model = BloomForCausalLM.from_pretrained(source, dtype=dtype, device=device)
    else:
        model = open_snapshot(snapshot, dtype=dtype, device=device)
    lab = Lab(model, tokenizer, name=Path(name_or_folder).resolve().name)
    lab.embedded = embedded
    if embedded and snapshot is None:
        lab.heads = Heads(len(tokenizer), {task: partial(tiny.head, task) for task in tiny.TASKS})
    arguments = [
        *([] if embedded and snapshot is None else [repr(os.fspath(name_or_folder))]),
        *([] if snapshot is None else [f"revision={snapshot!r}"]),
        *([f"revision={source.commit!r}"] if source.commit else []),
        *([] if cache_dir is None else [f"cache_dir={os.fspath(cache_dir)!r}"]),
        *([] if dtype is torch.float32 else [f"dtype={str(dtype).removeprefix('torch.')!r}"]),
        *([] if device is None else [f"device={str(device)!r}"]),
    ]
    lab.code = f"lab = bloomlab.load({', '.join(arguments)})"
    return lab


class Lab:
    """A model with its tokenizer.

    Attributes:
        model: BloomForCausalLM, in eval mode.
        tokenizer: BloomTokenizerFast.
        max_tokens: longest text taken, in tokens. ALiBi sets no limit of its own, so raise it if you wish.
        code: the Python that opens it again.
        embedded: whether it is the embedded model, whose own documents are at hand to measure it with.
        heads: the task heads by name; the embedded model's own, or those that you set: `lab.heads["tags"] = model`.
    """

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, name: str = "unnamed") -> None:
        if len(tokenizer) > model.config.vocab_size:
            raise TokenizerError(
                f"the tokenizer has {len(tokenizer)} tokens, but the model knows {model.config.vocab_size}; "
                "use the tokenizer that belongs to the model"
            )
        self.model, self.tokenizer, self.name = model.eval(), tokenizer, name
        self.max_tokens = 2048
        self.code = "lab = bloomlab.Lab(model, tokenizer)"
        self.embedded = False
        self.heads = Heads(len(tokenizer))

    @staticmethod
    def fits(name_or_folder: str | os.PathLike[str]) -> Fit:
        """Whether another model would fit here, and in which dtype; see `bloomlab.fits`."""
        return fits(name_or_folder)

    def info(self, name_or_folder: str | os.PathLike[str] | None = None) -> Info:
        """The sizes of this model, or of another, where its parameters are, and what fits into this machine.

        Raises:
            ConfigError, DownloadError: there is no such other model, or its config.json cannot be had.
        """
        if name_or_folder is not None:
            return info(name_or_folder)
        dtype, weights = str(self.model.dtype).removeprefix("torch."), weights_hash(self.model)
        opened = f"{dtype} on {self.model.device}, weights {weights}"
        return Info(self.name, self.model.config, fit_of(self.name, self.model.config), opened)

    def card(self) -> Card:
        """What is known of this model. Of the embedded one: how it was made, what it reaches, what it cannot do."""
        return embedded_card() if self.embedded else described(self.info(), self.heads, self.code)

    @staticmethod
    def lessons() -> Lessons:
        """The lessons that come with bloomlab, and how long each takes."""
        return listed()

    def tokens(self, x: str | Trace, translations: Mapping[str, str] | None = None) -> "Tokens":
        """The tokens of a text, or of a trace of one, in order: a list that shows itself as chips to click on.

        `translations` are what the view compares languages by, {name: text}; if there are none, what the embedded
        world's grammar makes of the text. The model runs only when the view's comparison is opened.

        Raises:
            InputError: a text is empty, no text, or longer than `max_tokens`.
        """
        from bloomlab.views.tokens import Tokens

        trace = x if isinstance(x, Trace) else self._read_tokens(x)
        given = None if translations is None else {name: self._text(text) for name, text in translations.items()}
        return Tokens(trace.tokens, partial(self._tokens_view, trace, given))

    def _tokens_view(self, trace: Trace, translations: Mapping[str, str] | None) -> "TokensView":
        from bloomlab.views.tokens_view import TokensView

        measure = partial(self.trace, read=costs.READ)
        return TokensView(self._read_tokens, self.tokenizer, trace, self.code, measure, translations)

    def _read_tokens(self, text: str) -> Trace:
        """A trace in which nothing was read, so that no model had to run."""
        tokens = self.tokenizer.tokens(self._text(text))
        ids = torch.tensor([[token.id for token in tokens]])
        return Trace({}, text, [tokens], ids, torch.ones_like(ids), self.model.config, {"model": self.name})

    def trace(
        self,
        text: str | Sequence[str] | Tensor,
        read: Iterable[str] = ("attn.probs",),
        edit: Mapping[str, Edit] | None = None,
        detach: bool = True,
        max_new_tokens: int = 0,
        **settings: Any,
    ) -> Trace:
        """Run the model over a text and keep what is named; see `bloomlab.record.record`.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
            HookError: a name fits no spot; nothing has run then.
        """
        if isinstance(text, str | bytes) or not isinstance(text, Sequence | Tensor):
            self._text(text)
        elif isinstance(text, Tensor):
            self._fits(text.shape[-1] if text.dim() else 1)
        else:
            self._texts(text)
        trace = record(self.model, self.tokenizer, text, read, edit, detach, max_new_tokens, **settings)
        trace.provenance["model"] = self.name
        return trace

    def generate(self, text: str, max_new_tokens: int = 20, **settings: Any) -> str | list[str]:
        """The text with its continuation; a list of them if `num_return_sequences` asks for several.

        `bloomlab.generation.settings.Settings` lists what can be set.

        Raises:
            GenerationError: a setting makes no sense.
            InputError: the text is empty, no text, or longer than `max_tokens`.
        """
        ids = torch.tensor([self.tokenizer.encode(self._text(text))], device=self.model.device)
        written = self.model.generate(ids, max_new_tokens=max_new_tokens, **settings)
        texts = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return texts[0] if len(texts) == 1 else texts

    def lens(self, text: str, top: int = 5) -> "LogitLens":
        """What the model would say at each step of each layer if it stopped there: the logit lens, as a table.

        `top` next tokens are kept of each cell. `lab.hidden_states(text)` shows the same to touch.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`; or `top` is no number of tokens.
        """
        from bloomlab.views.lens import LogitLens

        trace = self.trace(self._text(text), logit_lens.READ)
        rows = logit_lens.logit_lens(self.model, trace, top)
        return LogitLens(rows, trace.tokens, self.tokenizer, self.model.config.vocab_size)

    def ablate(self, text: str, spot: str, **axes: Index) -> "Ablation":
        """What the model loses without one of its parts: the text is read with zeros there, and without.

        `spot` is named as in `trace`; `axes` say which part of it: `ablate(text, "h.2.attn.mixed", head=3)`.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
            HookError: there is no such spot or axis, or the text has no such position; nothing is changed then.
        """
        from bloomlab.views._reading import stamp
        from bloomlab.views.ablation import Ablation

        edit = zero(**axes)
        check_columns(axes, len(self.tokenizer.encode(self._text(text))))
        changed = self.trace(text, effect.READ, {spot: edit})
        # reading the spot sends the other run down the same path through attention, so that no digit differs for that
        whole = self.trace(text, [spot, *effect.READ])
        found = effect.effect(whole, changed)
        return Ablation(spot, repr(edit), whole.tokens, found, self.tokenizer, stamp(whole.provenance))

    def classify(self, text: str | Sequence[str]) -> Classification | list[Classification]:
        """Which label the head "language" gives a text, or each of several texts.

        Raises:
            InputError: a text is empty, no text, or longer than `max_tokens`; or there is no such head.
        """
        found = classify(self.heads["language"], self.tokenizer, self._texts(text))
        return found[0] if isinstance(text, str) else found

    def tag(self, text: str | Sequence[str]) -> Tagging | list[Tagging]:
        """What each token of a text, or of several, names, as the head "tags" has it.

        Raises:
            InputError: as `classify` does.
        """
        found = tag(self.heads["tags"], self.tokenizer, self._texts(text))
        return found[0] if isinstance(text, str) else found

    def answer(self, question: str | Sequence[str], context: str | Sequence[str] = "") -> Answer | list[Answer]:
        """Where in the context the answer to a question stands, as the head "answer" has it.

        Of several questions or contexts, each question is asked of the context beside it; one alone goes with all.

        Raises:
            InputError: as `classify` does; or there are not as many questions as contexts.
        """
        questions, contexts = self._texts(question, "question"), self._texts(context, "context")
        questions = questions * len(contexts) if isinstance(question, str) else questions
        contexts = contexts * len(questions) if isinstance(context, str) else contexts
        if len(questions) != len(contexts):
            raise InputError(
                f"there are {len(questions)} questions, but {len(contexts)} contexts; pass one context for each"
            )
        for asked, text in zip(questions, contexts, strict=True):
            self._fits(len(self.tokenizer.encode(f"{asked}\n")) + len(self.tokenizer.encode(text)))
        found = answer(self.heads["answer"], self.tokenizer, questions, contexts)
        return found[0] if isinstance(question, str) and isinstance(context, str) else found

    def explore(self, x: str | Trace = FIRST_TEXT) -> "Explorer":
        """Look inside: all views of a text, or of a trace of one, as tabs with one selection.

        Of a trace, the views that it has read too little for say what they need.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
        """
        from bloomlab.views.explorer import Explorer

        return Explorer(self._read_all, self._views(), self._shown(x), self.code)

    def _views(self) -> dict[str, Callable[..., "ReadingView"]]:
        """How each view of a text is made, but for what it shows."""
        from bloomlab.views import alibi, attention, hidden, predictions, tokens_view

        lens, measure = (self.model, self.tokenizer), partial(self.trace, read=costs.READ)
        made = {
            "tokens": partial(tokens_view.TokensView, self._read_all, self.tokenizer, measure=measure),
            "attention": partial(attention.AttentionView, self._read_all),
            "alibi": partial(alibi.AlibiView, self._read_all, texts=partial(self._length_texts, None)),
            "hidden": partial(hidden.HiddenStates, self._read_all, *lens),
            "predictions": partial(predictions.Predictions, self._read_all, *lens, self.heads, question=FIRST_QUESTION),
        }
        return {name: partial(make, setup=self.code) for name, make in made.items()}

    def _read_all(self, text: str) -> Trace:
        from bloomlab.views import attention, hidden, predictions

        return self.trace(text, read=[*attention.READ, *hidden.READ, *predictions.READ])

    def attention(self, x: str | Trace = FIRST_TEXT) -> "AttentionView":
        """Who looks at whom: every head of a text, or of a trace of one, down to the sum behind one number.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
            HookError: the trace has not read "attn.scores" and "attn.probs".
        """
        from bloomlab.views.attention import AttentionView

        return AttentionView(self._read_attention, self._shown(x), self.code)

    def predictions(self, x: str | Trace = FIRST_TEXT, question: str = FIRST_QUESTION) -> "Predictions":
        """What the heads say of a text, or of a trace of one, at each layer: the next token, a label, tags, an answer.

        `question` is what the text is asked; another can be typed in the view. Without `lab.heads` there is the next
        token only.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
            HookError: the trace has not read "resid_post".
        """
        from bloomlab.views.predictions import READ, Predictions

        read, parts = partial(self.trace, read=READ), (self.model, self.tokenizer, self.heads)
        return Predictions(read, *parts, self._shown(x), whole_text(question, "question"), self.code)

    def hidden_states(self, x: str | Trace = FIRST_TEXT) -> "HiddenStates":
        """What BLOOM would say at every step of every layer, and who added what: of a text, or of a trace of one.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`; or the trace is of another model.
            HookError: the trace has not read all of `bloomlab.views.hidden.READ`.
        """
        from bloomlab.views.hidden import HiddenStates

        return HiddenStates(self._read_states, self.model, self.tokenizer, self._shown(x), setup=self.code)

    def alibi(self, x: str | Trace = FIRST_TEXT, texts: Sequence[str] | None = None) -> "AlibiView":
        """How far each head can look: its slope, its reach, and what it makes of them in a text, or in a trace of one.

        `texts` are what the view's length lab reads, to see whether longer ones are harder. If there are none, the
        embedded model reads documents it was never trained on; any other model, the text shown, if it is long enough.

        Raises:
            InputError: the text is empty, no text, or longer than `max_tokens`.
            HookError: the trace has not read "attn.scores" and "attn.probs".
        """
        from bloomlab.views.alibi import AlibiView

        given = [texts] if isinstance(texts, str) else texts
        rows = partial(self._length_texts, None if given is None else [self._text(text) for text in given])
        return AlibiView(self._read_attention, self._shown(x), self.code, rows)

    def _length_texts(self, texts: list[str] | None, shown: str) -> "LengthTexts":
        """What the length lab reads: these texts, the embedded model's own documents, or the text that is shown."""
        from bloomlab.views.alibi import document_rows, text_rows

        if texts is None and self.embedded:
            return document_rows(self.model, self.tokenizer)
        return text_rows(self.model, [self.tokenizer.encode(text) for text in texts or [shown]])

    def _read_attention(self, text: str) -> Trace:
        return self.trace(text, read=["attn.scores", "attn.probs"])

    def _read_states(self, text: str) -> Trace:
        from bloomlab.views.hidden import READ

        return self.trace(text, read=READ)

    def _texts(self, texts: Any, name: str = "text") -> list[str]:
        """One text, or several, in a list, if the model can read each."""
        several = isinstance(texts, Sequence) and not isinstance(texts, str | bytes)
        return [self._text(text, name) for text in (texts if several else [texts])]

    def _shown(self, x: Any) -> str | Trace:
        """What a view shows: a trace, or a text that the model can read."""
        return x if isinstance(x, Trace) else self._text(x)

    def _text(self, text: Any, name: str = "text") -> str:
        """The text, if the model can read it."""
        whole_text(text, name)
        if not text:
            raise InputError(f"the {name} is empty; write at least one character")
        self._fits(len(self.tokenizer.encode(text)))
        return str(text)

    def _fits(self, n: int) -> None:
        if n > self.max_tokens:
            raise InputError(
                f"the text has {n} tokens, but this lab takes at most {self.max_tokens}; shorten it, "
                "or raise lab.max_tokens if the memory allows"
            )

    def __repr__(self) -> str:
        config, parameters = self.model.config, self.model.num_parameters()
        return (
            f"Lab with {self.name!r}: BLOOM of {config.n_layer} layers, {config.n_head} heads, width "
            f"{config.hidden_size}, {config.vocab_size} tokens; {parameters:,} parameters in {self.model.dtype}"
        )
