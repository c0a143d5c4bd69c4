"""What the tokens view draws from: pure functions of a trace and its tokenizer. No model runs for them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import BloomlabError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import costs
from bloomlab.lens.costs import Cost
from bloomlab.lens.tokens import replay, script
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import DisplayToken, Token, display_tokens, unseen, visible
from bloomlab.views.shared.panel import stamp, text_picture
from bloomlab.views.shared.tables import token_names

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

LONGEST = 64  # bytes: a longer token is shown, but its merges are too many to look at
IDLE: dict[str, Any] = {"state": "idle", "message": "", "note": "", "done": 0, "rows": [], "code": "", "stamp": ""}

NO_DIFFERENCE = {"loss": b"", "loss_before": b""}

CODE = """\
import bloomlab
from bloomlab.text.tokens import display_tokens
from bloomlab.lens import costs
from bloomlab.lens.tokens import merges

SETUP
tokens = lab.tokens(TEXT)
print(tokens)
print(costs.count(tokens))
shown = display_tokens(tokens)[{chip}]
print(shown.ids, shown.bytes)
for step in merges(lab.tokenizer, shown.bytes):  # of all neighbours, the pair that was learned first is joined first
    print(step.rank, *step.parts)
"""
COMPARE = """\
texts = {}
traces = {{name: lab.trace(text, read=costs.READ) for name, text in texts.items()}}
for name, cost in costs.compare(traces).items():
    print(name, cost, cost.tokens_per_word, cost.tokens_per_character, cost.tokens_per_byte)
"""


def tokens_payload(trace: "Trace", tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """The picture: tokens with ids and bytes, chips, and for each chip the number of its replay.

    The same piece of text is replayed once. `unseen` names what in a chip has no face of its own. `costs` is
    None where the tokens stand for no text.
    """
    tokens = list(trace.tokens)
    pieces = display_tokens(tokens)
    numbers: dict[bytes, int] = {}  # a chip's bytes -> the number of its replay
    picture = {
        **text_picture(trace),
        "scripts": [script(token.text).lower() for token in tokens],
        "unseen": [", ".join(unseen(chip.text)) for chip in pieces],
        "replay_of": [numbers.setdefault(chip.bytes, len(numbers)) for chip in pieces],
        "built": [built(chip, tokens, tokenizer) for chip in pieces],
        "replays": [replay_payload(data, tokenizer.merge_ranks) for data in numbers],
        "merges": len(tokenizer.merge_ranks),
        "costs": cost_payload(costs.count(tokens)) if any(numbers) else None,
        "stamp": _stamp(trace, tokenizer),
    }
    return {"picture": picture}


def difference_values(
    trace: "Trace", base: "Trace", models: tuple[BloomForCausalLM | None, BloomForCausalLM | None]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the picture says of a difference, and how much each token surprises the model in both runs.

    `others` names the tokens of `base` that are others than those of `trace`, by their places. `loss` and
    `loss_before` are (pos), float32, in nats; empty where `refusal` says why.
    """
    if len(base.tokens) != len(trace.tokens):
        raise InputError("the two runs have other numbers of tokens, so there is no difference; look at each by itself")
    differ = (base.ids[0].cpu() != trace.ids[0].cpu()).nonzero()[:, 0].tolist()
    shown = token_names(base.tokens)
    others = {str(token): shown[token] for token in differ}
    try:
        nats = [_surprise(model, run) for model, run in zip(models, (base, trace), strict=True)]
    except BloomlabError as error:
        return {"others": others, "refusal": str(error)}, NO_DIFFERENCE
    before, after = (values.numpy().tobytes() for values in nats)
    return {"others": others, "refusal": ""}, {"loss": after, "loss_before": before}


def _surprise(model: BloomForCausalLM | None, run: "Trace") -> Tensor:
    if model is None:
        raise InputError("no lab has read this trace, so there is no model to ask how much its tokens surprise it")
    return costs.state_surprise(model, run)


def replay_payload(data: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> dict[str, Any]:
    """The merges that build `data`, to be replayed: what each byte shows as ("" for part of a character), then steps.

    A step is [place of the pair that is joined, what it then shows as, rank of every pair of neighbours or None].
    `long` data are not replayed.

    >>> replay_payload(b"abc", {(b"b", b"c"): 0, (b"a", b"bc"): 7})["steps"]
    [[1, 'bc', [None, 0]], [0, 'abc', [7]]]
    """
    steps = []
    parts = tuple(bytes([byte]) for byte in data)
    start = [_shown(part) for part in parts]
    for step in replay(data, ranks) if len(data) <= LONGEST else []:
        steps.append([step.at, _shown(step.left + step.right), [ranks.get(pair) for pair in pairwise(parts)]])
        parts = step.parts
    return {"bytes": data.hex(" "), "start": start, "steps": steps, "long": len(data) > LONGEST}


def built(chip: DisplayToken, tokens: Sequence[Token], tokenizer: BloomTokenizerFast) -> bool:
    """Whether the merges make exactly these tokens of the chip's bytes.

    They do not for a special token, which is put in whole, nor where a model chose other pieces by itself.
    """
    if len(chip.bytes) > LONGEST:
        return True
    steps = replay(chip.bytes, tokenizer.merge_ranks)
    parts = steps[-1].parts if steps else tuple(bytes([byte]) for byte in chip.bytes)
    return list(parts) == [tokens[place].bytes for place in chip.tokens]


def cost_payload(cost: Cost) -> dict[str, Any]:
    """The counts and their ratios; None where words cannot be counted, or nothing was predicted."""
    return {
        "tokens": cost.tokens,
        "words": cost.words,
        "characters": cost.characters,
        "bytes": cost.bytes,
        "per_word": cost.tokens_per_word,
        "per_character": cost.tokens_per_character,
        "per_byte": cost.tokens_per_byte,
        "bits": cost.bits_per_byte,
    }


def running(chip: DisplayToken) -> tuple[str, int]:
    r"""A chip in running text, and of how many tokens: a space stays a space, a vowel sign sits on its letter.

    >>> running(DisplayToken(" a\u202e", "·a⟨U+202E⟩", (0,), (9,), " a\u202e".encode()))
    (' a⟨U+202E⟩', 1)
    """
    text = "".join(letter if letter == " " else visible(f"a{letter}")[1:] for letter in chip.text)
    return (text if "\ufffd" not in chip.text else chip.shown), len(chip.tokens)


def _shown(data: bytes) -> str:
    try:
        return visible(data.decode())
    except UnicodeDecodeError:
        return ""


def _stamp(trace: "Trace", tokenizer: BloomTokenizerFast) -> str:
    if "weights" in trace.provenance:
        return stamp(trace.provenance)
    name = trace.provenance.get("model") or "unnamed model"
    return f"{name} · {len(tokenizer):,} tokens, {len(tokenizer.merge_ranks):,} merges · read by the tokenizer alone"
