"""What the view of hidden states draws from, as numbers and bytes: pure functions of a trace and its model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.difference import lens_change
from bloomlab.lens.hidden import cosines, norms, pca, shares, stream
from bloomlab.lens.inputs import check
from bloomlab.lens.logit_lens import read_out, summary
from bloomlab.lens.tokens import script
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import display_tokens
from bloomlab.views.shared.panel import text_picture

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"]
TOP = 5  # next tokens named in a cell
WINDOW = 64  # tokens whose numbers cross to the page at a time; the map has them all

CODE = """\
import bloomlab
from bloomlab.lens.hidden import norms, shares, stream
from bloomlab.lens.logit_lens import logit_lens

SETUP
trace = lab.trace(TEXT, read=["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"])
said = logit_lens(lab.model, trace)[{row}]  # the stream after so many steps, read as a prediction
print(said.label, said.probs[{query}], [lab.tokenizer.decode([i]) for i in said.ids[{query}]])
print(norms(stream(trace).states)[{row}, {query}])  # how long the vector is
print(shares(trace).shares[:, {query}])  # who added what to the last state of this token
"""


def hidden_payload(
    trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, token: int = 0
) -> dict[str, Any]:
    """All that the page draws from: the names of the states and a map of the tokens at each, and `window_values`.

    `points` (state, pos, axis) are the places on the maps, float32.
    """
    check(trace, READ)
    labels, states = stream(trace)
    if states.shape[-1] != model.config.hidden_size:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {model.config.hidden_size} wide; "
            "show a trace of this model"
        )
    maps = [pca(state) for state in states]
    picture = {
        **text_picture(trace),
        "states": list(labels),
        "vocab": model.config.vocab_size,
        "tied": bool(model.config.tie_word_embeddings),
        "refusal": _refusal(trace),
        "explained": [[round(share, 4) for share in state_map.explained.tolist()] for state_map in maps],
    }
    points = _bytes(torch.stack([state_map.points for state_map in maps]))
    return {"picture": picture, "points": points, **window_values(trace, model, tokenizer, token)}


def window_values(trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast, token: int) -> dict[str, Any]:
    """The numbers of the WINDOW of tokens that `token` is in, each (state, pos) in float32 unless noted.

    ids (int32) and probs have TOP entries a cell; rank is int32, 0 where nothing follows. shares and added have a last
    row for the rest that no part explains; they are empty where the stream is not a sum. Of the cosines (pos, state,
    state) only the half with the second state not after the first is sent, row by row.
    """
    _, states = stream(trace)
    ids = trace.ids[0].cpu()
    following = torch.cat([ids[1:], ids.new_tensor([-1])])
    first = token // WINDOW * WINDOW
    here = slice(first, first + WINDOW)
    read = [summary(read_out(model, state[here]).float().cpu(), following[here], TOP) for state in states]
    best, probs, entropy, rank, surprise = (torch.stack(column) for column in zip(*read, strict=True))
    rows, columns = torch.tril_indices(len(states), len(states))
    parts = None if _refusal(trace) else shares(trace)
    return {
        "window": {"first": first, "count": best.shape[1]},
        "words": {str(word): _word(tokenizer, word) for word in sorted(set(best.flatten().tolist()))},
        "ids": _bytes(best.int()),
        "probs": _bytes(probs),
        "entropy": _bytes(entropy),
        "rank": _bytes(rank.int()),
        "surprise": _bytes(surprise),
        "norms": _bytes(norms(states[:, here])),
        "cosines": _bytes(cosines(states[:, here])[rows, columns].T),
        "shares": _bytes(parts.shares[:, here]) if parts else b"",
        "added": _bytes(parts.norms[:, here]) if parts else b"",
    }


def difference_values(
    trace: "Trace",
    base: "Trace",
    models: tuple[BloomForCausalLM, BloomForCausalLM],
    tokenizer: BloomTokenizerFast,
    window: Mapping[str, int],
    words: Mapping[str, Any],
) -> dict[str, Any]:
    """How each cell of a window differs from another run's, beside its own numbers; `models`: the base's, the trace's.

    `moved` (state, pos), KL in nats, float32, and `ids_before` (state, pos), int32, the likeliest next token of
    `base`; `words` have the names of those, too.
    """
    here = slice(window["first"], window["first"] + window["count"])
    change = lens_change(models[1], base, trace, here, models[0])
    before = change.ids[0]
    more = {str(word): _word(tokenizer, word) for word in sorted(set(before.flatten().tolist()))}
    return {"moved": _bytes(change.kl), "ids_before": _bytes(before.int()), "words": {**more, **words}}


def _refusal(trace: "Trace") -> str:
    """Why this model's stream has no shares, in words; "" if it has."""
    if trace.config.apply_residual_connection_post_layernorm:
        return (
            "no shares here: apply_residual_connection_post_layernorm=True puts a layer norm in the stream's place "
            "before each addition, so this model's stream is not a sum; the other numbers hold"
        )
    return ""


def _word(tokenizer: BloomTokenizerFast, word: int) -> list[str]:
    """What a token looks like, and its script; a special token such as </s> has none."""
    tokens = tokenizer.tokens_of_ids([word])
    special = word in tokenizer.all_special_ids
    return ["".join(part.shown for part in display_tokens(tokens)), "" if special else script(tokens[0].text)]


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()
