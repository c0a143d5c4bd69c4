"""What the view of hidden states draws from, as numbers and bytes: pure functions of a trace and its model."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.difference import lens_change
from bloomlab.lens.hidden import cosines, norms, pca, shares, stream
from bloomlab.lens.inputs import check
from bloomlab.lens.logit_lens import followers
from bloomlab.lens.tokens import script
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import display_tokens
from bloomlab.views.hidden.said import (
    Differ,
    Said,
    compare_columns,
    kept_cells,
    read_columns,
    reading_steps,
    said_pieces,
    small,
    unread_cells,
    unread_columns,
)
from bloomlab.views.shared.panel import text_picture

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"]
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
    return {"picture": picture, "points": points, **window_values(trace, model, tokenizer, token, states)}


def window_values(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    token: int,
    states: Tensor | None = None,
) -> dict[str, Any]:
    """The numbers of the WINDOW of tokens that `token` is in, each (state, pos) in float32 unless noted.

    ids (int32) and probs have TOP entries a cell; rank is int32, 0 where nothing follows. Of a large model only the
    column of `token` is read; the others have the id UNREAD (see `said`). shares and added have a last
    row for the rest that no part explains; they are empty where the stream is not a sum. Of the cosines (pos, state,
    state) only the half with the second state not after the first is sent, row by row.
    """
    states = stream(trace).states if states is None else states
    first = token // WINDOW * WINDOW
    here = slice(first, first + WINDOW)
    cells = states[:, here]
    columns = range(cells.shape[1]) if small(model, cells) else [token - first]
    said = read_columns(unread_cells(*cells.shape[:2]), columns, model, cells, followers(trace.ids[0].cpu())[here])
    rows, others = torch.tril_indices(len(states), len(states))
    parts = None if _refusal(trace) else shares(trace)
    return {
        "window": {"first": first, "count": cells.shape[1]},
        **_pieces(said, tokenizer, {}),
        "norms": _bytes(norms(cells)),
        "cosines": _bytes(cosines(cells)[rows, others].T),
        "shares": _bytes(parts.shares[:, here]) if parts else b"",
        "added": _bytes(parts.norms[:, here]) if parts else b"",
    }


def column_values(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    shown: Mapping[str, Any],
    base: "tuple[Trace, BloomForCausalLM] | None" = None,
) -> dict[str, Any]:
    """The window with the chosen token's column read, too."""
    said, at = kept_cells(shown), shown["query"] - shown["window"]["first"]
    states, following = _window(trace, shown["window"])
    said = read_columns(said, [at], model, states, following)
    if base is not None:
        said = compare_columns(said, [at], _differ(trace, model, base, shown["window"]["first"]))
    return _pieces(said, tokenizer, shown["words"], base is not None)


def rest_of_window(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    shown: Mapping[str, Any],
    base: "tuple[Trace, BloomForCausalLM] | None" = None,
) -> Iterator[tuple[dict[str, Any], int]]:
    """The columns that are unread, in steps: with each, how many are read. `base`: as in `difference_values`."""
    states, following = _window(trace, shown["window"])
    differ = None if base is None else _differ(trace, model, base, shown["window"]["first"])

    def pieces_of(said: Said, words: Mapping[str, Any]) -> dict[str, Any]:
        return _pieces(said, tokenizer, words, differ is not None)

    return reading_steps(model, states, following, shown, pieces_of, differ)


def difference_values(
    trace: "Trace",
    base: "tuple[Trace, BloomForCausalLM]",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """How each cell of a window differs from another run's, beside its own numbers; `base`: that run, and its model.

    `moved` (state, pos), KL in nats, float32, and `ids_before` (state, pos), int32, the likeliest next token of
    `base`; `words` have the names of those, too.
    """
    said = kept_cells(values)
    unread = set(unread_columns(said))
    read = [column for column in range(values["window"]["count"]) if column not in unread]
    said = compare_columns(said, read, _differ(trace, model, base, values["window"]["first"]))
    return _pieces(said, tokenizer, values["words"], True)


def _window(trace: "Trace", window: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """The states of a window (state, pos, hidden), and the token that follows each (pos)."""
    here = slice(window["first"], window["first"] + window["count"])
    return stream(trace).states[:, here], followers(trace.ids[0].cpu())[here]


def _differ(trace: "Trace", model: BloomForCausalLM, base: "tuple[Trace, BloomForCausalLM]", first: int) -> Differ:
    def differ(one: int, other: int) -> tuple[Tensor, Tensor]:
        change = lens_change(model, base[0], trace, slice(first + one, first + other), base[1])
        return change.kl, change.ids[0]

    return differ


def _pieces(
    said: Said, tokenizer: BloomTokenizerFast, words: Mapping[str, Any], differs: bool = False
) -> dict[str, Any]:
    pieces = said_pieces(said, lambda word: _word(tokenizer, word), words)
    return pieces | ({name: _bytes(said[name]) for name in ("moved", "ids_before")} if differs else {})


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
