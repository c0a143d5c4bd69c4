"""What does a text cost? Tokens per word, a character, a byte; and the model's surprise, in bits per byte.

    surprise        -log p(token | all before it)                nats; its mean is the model's loss
    bits per byte   Σ surprise / log 2 / bytes of those tokens

A loss per token cannot compare languages or tokenizers, because their tokens differ; bits per byte can: every text
has bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bloomlab.errors import HookError, InputError, NearMatches
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Hooks, Known
from bloomlab.lens.inputs import check, positions_at_once
from bloomlab.lens.logit_lens import read_out
from bloomlab.lens.tokens import script
from bloomlab.text.tokens import Token
from bloomlab.tracing.trace import Trace
from bloomlab.weights.pretrained import without_gradients

READ = ["logits"]
NO_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Scripts that set no spaces between words, as Unicode begins the names of their letters."""


@dataclass(frozen=True)
class Cost(NearMatches):
    """What a text costs: counts, and the model's mean surprise at its tokens (all but the first), in bits per byte.

    `words` is None for a script without spaces between words; `bits_per_byte` is None if nothing was predicted.

    >>> Cost(tokens=6, words=3, characters=12, bytes=24).tokens_per_word
    2.0
    """

    tokens: int
    words: int | None
    characters: int
    bytes: int
    bits_per_byte: float | None = None

    @property
    def tokens_per_word(self) -> float | None:
        """Also called fertility; None where words cannot be counted."""
        return self.tokens / self.words if self.words else None

    @property
    def tokens_per_character(self) -> float:
        return self.tokens / self.characters

    @property
    def tokens_per_byte(self) -> float:
        return self.tokens / self.bytes


def count_words(text: str) -> int | None:
    """Words: whatever has a letter or a digit and stands between white space. None if a script writes no spaces.

    >>> count_words("Leo's cat - it sleeps !"), count_words("小梅有一只猫。"), count_words("...")
    (4, None, 0)
    """
    if any(script(character) in NO_SPACES for character in set(text)):
        return None
    return sum(any(character.isalnum() for character in word) for word in text.split())


def surprise(trace: Trace) -> Tensor:
    """How unexpected each token was, in nats: (pos), -log of its probability; NaN for the first token.

    Its mean is the loss: `model(ids, labels=ids).loss`.

    Raises:
        HookError, InputError: the trace has not read READ, or is of several texts.
    """
    check(trace, READ)
    return token_surprise(trace["logits"][0].detach(), trace.ids[0])


def read_last(n_layer: int) -> list[str]:
    """The spot that `state_surprise` needs of a model of so many layers.

    >>> read_last(4)
    ['h.3.resid_post']
    """
    return [f"h.{n_layer - 1}.resid_post"]


def state_surprise(model: BloomForCausalLM, trace: Trace) -> Tensor:
    """The same as `surprise` from the last state of the stream, with the model that was traced: (pos), in nats.

    The logits of a long text and a large vocabulary would fill the memory; the state is small, and is read in parts.
    The trace must have read `read_last`.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> trace = lab.trace("Leo lives in", read=["logits", *read_last(4)])
    >>> torch.allclose(state_surprise(lab.model, trace)[1:], surprise(trace)[1:], atol=1e-5)
    True

    Raises:
        HookError, InputError: the trace has not read it, is of several texts, or of a model of another size.
    """
    (spot,) = read_last(trace.config.n_layer)
    check(trace, [])
    if spot not in trace:
        raise HookError(f"the surprise needs {spot!r}, but the trace has not read it; trace with read=[{spot!r}]")
    states, ids = trace[spot][0], trace.ids[0].cpu()
    if states.shape[-1] != model.config.hidden_size:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {model.config.hidden_size} wide; "
            "pass the model that was traced"
        )
    late = {name: edits for name, edits in trace.made.items() if name in ("final", "logits")}
    if late:  # they are made after that state, so the model goes on from there
        hooks = Hooks(["logits"], late, known=Known(trace.config.n_layer, trace[spot]))
        without_gradients(model, input_ids=trace.ids.to(model.device), use_cache=False, hooks=hooks)
        return token_surprise(hooks["logits"][0], ids)
    step = positions_at_once(model.config.vocab_size)
    pairs = zip(states[:-1].split(step), ids[1:, None].split(step), strict=True)
    logits = ((read_out(model, x).float().cpu(), y) for x, y in pairs)
    parts = [x.logsumexp(-1) - x.gather(-1, y)[:, 0] for x, y in logits]
    return torch.cat([torch.tensor([torch.nan]), *parts])


def token_surprise(logits: Tensor, ids: Tensor) -> Tensor:
    """The same from logits (pos, vocab), each row about the next token, and ids (pos) -> (pos).

    >>> token_surprise(torch.zeros(3, 4), torch.tensor([0, 1, 2]))  # no idea among 4: log(4)
    tensor([   nan, 1.3863, 1.3863])
    """
    step = positions_at_once(logits.shape[-1])
    pairs = zip(logits[:-1].split(step), ids[1:, None].split(step), strict=True)
    parts = [x.float().logsumexp(-1) - x.float().gather(-1, y)[:, 0] for x, y in pairs]
    return torch.cat([torch.tensor([torch.nan]), *(part.cpu() for part in parts)])


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """What a surprise of so many nats over so many bytes is in bits per byte: nats / log 2 / bytes.

    >>> bits_per_byte(3 * math.log(2), 6)  # three coins in six bytes
    0.5
    """
    return nats / math.log(2) / n_bytes


def count(tokens: Sequence[Token]) -> Cost:
    """What a text costs before any model has run: the counts, without the surprise.

    >>> from bloomlab.text.tokens import Token
    >>> count([Token(44, b"Leo", "Leo", (0, 3)), Token(17, b"!", "!", (3, 4))])
    Cost(tokens=2, words=1, characters=4, bytes=4, bits_per_byte=None)

    Raises:
        InputError: the tokens stand for no text.
    """
    data = b"".join(token.bytes for token in tokens)
    if not data:
        raise InputError("these tokens stand for no text, so it has no cost; trace a text instead")
    text = data.decode("utf-8", "replace")
    return Cost(len(tokens), count_words(text), len(text), len(data))


def cost(trace: Trace) -> Cost:
    """What the text of a trace costs; the trace must have read READ.

    Raises:
        HookError, InputError: the trace has not read READ, is of several texts, or its tokens stand for no text.
    """
    nats = surprise(trace)[1:].double().sum().item()
    counts = count(trace.tokens)
    predicted = counts.bytes - len(trace.tokens[0].bytes)
    return replace(counts, bits_per_byte=bits_per_byte(nats, predicted) if predicted else None)


def compare(traces: Mapping[str, Trace]) -> dict[str, Cost]:
    """The costs of several texts, by name: `compare({"en": lab.trace(…, read=costs.READ), "zh": …})`."""
    return {name: cost(trace) for name, trace in traces.items()}
