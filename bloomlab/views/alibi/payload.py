"""What the ALiBi view draws from, as numbers and bytes: pure functions of a trace."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.hooks import At, Edits, NamedEdit, in_order
from bloomlab.lens import alibi
from bloomlab.lens.attention import content_only, overlap, position_only
from bloomlab.lens.inputs import check, names
from bloomlab.lens.positions import in_place
from bloomlab.lens.slopes import slopes_used, text_effect
from bloomlab.model.positions import kind_of, own_slopes
from bloomlab.text.tokens import display_tokens
from bloomlab.views.shared.panel import text_picture

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["attn.scores", "attn.probs"]
READ_EFFECT = ["final"]  # what two runs say of the text, where it was read
KEPT_TOKENS = 256  # of longer texts, what a slope alone makes is worked out anew: 64 of these take 17 MB
MEASURED = ("distance", "previous", "position", "content")  # of every head of every layer

OTHERS = {
    "none": "This model has no ALiBi, and nothing in its place: it knows only that no token sees a later one.",
    "sinusoidal": "This model has no ALiBi. In its place waves of many lengths are added to the embedding of a token.",
    "learned": "This model has no ALiBi. In its place a vector learned for each position is added to the embedding.",
    "rotary": "This model has no ALiBi. In its place each pair of numbers of a query and of a key is turned, the more "
    "the later it stands.",
}

OTHER_CODE = """\
import bloomlab
from bloomlab.lens.positions import in_place

SETUP
table = lab.model.transformer.position_embeddings  # None, unless positions are learned
found = in_place(lab.model.config, len(lab.tokenizer.encode(TEXT)), table)
print(found.kind, found.frequencies, found.sizes, found.alike)
"""

CODE = """\
import bloomlab
from bloomlab.lens import alibi, attention
from bloomlab.lens.slopes import slopes_used

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs", "attn.alibi"])
used = slopes_used(trace)[{layer}].tolist()
slope = used[{head}]
print(slope, alibi.reach(slope) if slope > 0 else "everywhere", alibi.previous_token_bound(slope))
print(alibi.bias_by_distance([slope], {distance} + 1)[0, {distance}])  # nats, {distance} tokens back
print(alibi.mean_distance(trace)[{layer}, {head}])  # tokens, layer {layer}, head {head}
alone = attention.position_only(used, len(trace.tokens))
by_position = attention.overlap(trace["h.{layer}.attn.probs"][0], alone)[{head}]
print(by_position, attention.content_share(trace)[{layer}, {head}])
"""


def alibi_payload(trace: "Trace", base: "Trace | None" = None) -> dict[str, Any]:
    """All that the page draws from; with `base`, also of the run that the difference is measured by.

    `picture["slopes"]` are those that the run has used, `picture["of_heads"]` what follows from them and the text's
    length alone; where the layers differ, `picture["by_layer"]` has both for each. `measured` is what the heads do,
    float32 (what, layer, head) with what = MEASURED: mean distance in tokens, share given to the previous token,
    share of the pattern that position alone explains, share that content alone explains; `before` the same of `base`.
    """
    check(trace, READ)
    used = slopes_used(trace)
    picture = {
        **text_picture(trace),
        "trained": own_slopes(trace.config),
        **_of_slopes(used, len(trace.tokens)),
        "desk": desk(trace.edit, trace.config.n_head),
        "effect": effect_values(trace),
    }
    if kind_of(trace.config) != "alibi":
        picture["other"] = other_positions(trace)
    measured, before = _measured(trace, used), b""
    if base is not None:
        used_before = slopes_used(base)
        measured_before = _measured(base, used_before)
        moved = [
            [bool((one != other).any()) for one, other in zip(trace.heads(name), base.heads(name), strict=True)]
            for name in names("attn.probs", trace.config.n_layer)
        ]
        picture["difference"] = {
            "before": _of_slopes(used_before, len(trace.tokens)),
            "reached": moved,
            "largest": largest_changes(measured_before, measured),
        }
        before = _bytes(measured_before)
    return {"picture": picture, "measured": _bytes(measured), "before": before}


def other_positions(trace: "Trace") -> dict[str, Any]:
    """What stands in ALiBi's place: see `bloomlab.lens.positions`. Plain numbers, for distances within the text."""
    table = None if trace.lab is None else trace.lab.model.transformer.position_embeddings
    found = in_place(trace.config, len(trace.tokens), table)
    return {
        "kind": found.kind,
        "frequencies": found.frequencies.tolist(),
        "sizes": found.sizes.tolist(),
        "alike": found.alike.tolist(),
        "says": OTHERS[found.kind],
    }


def _measured(trace: "Trace", used: Tensor) -> Tensor:
    """MEASURED (what, layer, head) of a run, whose heads have used these slopes (layer, head)."""
    found = []
    for layer, row in enumerate(used.tolist()):
        pairs = zip(trace.heads(f"h.{layer}.attn.probs"), trace.heads(f"h.{layer}.attn.scores"), row, strict=True)
        # a head at a time: the temporaries of all would not fit
        each = [measure(probs, scores, _alone(slope, len(trace.tokens))) for probs, scores, slope in pairs]
        found.append(torch.cat(each, 1))
    return torch.stack(found, 1).float()


def _alone(slope: float, tokens: int) -> Tensor:
    """The pattern that a slope alone makes, (1, query, key). Layers share their slopes: of a short text it is kept."""
    return _alone_kept(slope, tokens) if tokens <= KEPT_TOKENS else position_only([slope], tokens)


@lru_cache(64)
def _alone_kept(slope: float, tokens: int) -> Tensor:
    return position_only([slope], tokens)


def _of_slopes(used: Tensor, tokens: int) -> dict[str, Any]:
    """The slopes (layer, head), and what follows from them; of each layer, where they differ."""
    rows: list[list[float]] = used.tolist()
    found = {tuple(row): _of_row(tuple(row), tokens) for row in rows}
    more = {"by_layer": [found[tuple(row)] for row in rows]} if len(found) > 1 else {}
    return {**found[tuple(rows[0])], **more}


@lru_cache(64)  # of a slope that is dragged, only the one that has moved is new
def _of_slope(slope: float, tokens: int) -> tuple[float | None, float, float, float, int | None]:
    return (
        alibi.reach(slope) if slope > 0 else None,  # everywhere
        alibi.previous_token_bound(slope),
        bound_in_text(slope, tokens),
        alibi.mean_distance(position_only([slope], tokens)[None])[0].item(),
        alibi.first_tie(slope, torch.bfloat16),
    )


def _of_row(row: tuple[float, ...], tokens: int) -> dict[str, Any]:
    columns = zip(*(_of_slope(slope, tokens) for slope in row), strict=True)
    return {
        "slopes": list(row),
        "of_heads": dict(zip(("reach", "bound", "bound_here", "alone", "tie"), map(list, columns), strict=True)),
    }


def of_layer(picture: Mapping[str, Any], layer: int) -> tuple[list[float], dict[str, list[Any]]]:
    """The slopes that a layer's heads have used, and what follows from them."""
    of = picture["by_layer"][layer] if "by_layer" in picture else picture
    return of["slopes"], of["of_heads"]


def desk(edits: Edits, heads: int) -> dict[str, Any]:
    """What the edits that a page can make have multiplied the slopes by: all of them, and each head's own.

    >>> from bloomlab.tracing.edits import scale
    >>> desk({"h.0.attn.alibi": [scale(0.5), scale(3, head=1)]}, 2)
    {'all': 0.5, 'heads': [1.0, 3.0]}
    """
    name, whole, own = "h.0.attn.alibi", 1.0, [1.0] * heads
    ones = torch.ones(1, heads, 1, 1, dtype=torch.float64)
    for edit in in_order(name, edits[name]) if name in edits else ():
        if not isinstance(edit, NamedEdit) or not edit.text.startswith("scale(") or not edit.where.keys() <= {"head"}:
            continue
        head = edit.where.get("head")
        factors = edit(ones, At(name, ("batch", "head", "query", "key"), 0)).flatten().tolist()
        if head is None:
            whole *= factors[0]
        elif isinstance(head, int):
            own[head] *= factors[head]
    return {"all": whole, "heads": own}


def effect_values(trace: "Trace") -> dict[str, Any]:
    """What the edits of a run do to its text, if the run without them is at hand; else nothing.

    `kl`, in nats, of the token after the text; `next`, the likeliest before and after, each [words, its probability
    before, after]; `loss`, the mean of this text's tokens before and after, or None where there is one token.
    """
    base = trace.base
    if base is None or trace.lab is None or "final" not in trace or "final" not in base:
        return {}
    found = text_effect(trace.lab.model, base, trace)
    ids = found.next.ids.tolist()
    places = [ids.index(word) for word in found.next.predicted[:, 0].tolist()]
    shown = [display_tokens(trace.lab.tokenizer.tokens_of_ids([ids[place]])) for place in places]
    return {
        "kl": found.next.kl.item(),
        "next": [
            ["".join(part.shown for part in parts), *found.next.probs[:, place].tolist()]
            for parts, place in zip(shown, places, strict=True)
        ],
        "loss": [run.mean().item() for run in (found.before, found.after)] if len(found.before) else None,
    }


def largest_changes(before: Tensor, after: Tensor) -> list[list[Any] | None]:
    """Where each of MEASURED has changed most, as [layer, head, before, after]; None where nothing has.

    >>> largest_changes(torch.tensor([[[1.0, 2.0]], [[0.5, 0.5]]]), torch.tensor([[[1.0, 5.0]], [[0.5, 0.5]]]))
    [[0, 1, 2.0, 5.0], None]
    """
    found: list[list[Any] | None] = []
    for first, second in zip(before, after, strict=True):
        change = (second - first).abs()
        layer, head = divmod(int(change.argmax()), change.shape[1])
        most = [layer, head, first[layer, head].item(), second[layer, head].item()]
        found.append(most if change[layer, head] > 0 else None)
    return found


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().numpy().tobytes()


def measure(probs: Tensor, scores: Tensor, alone: Tensor) -> Tensor:
    """A head: MEASURED (what, 1), of its probs and scores (query, key), and the pattern of position alone (1, …)."""
    probs, scores = (tensor.detach().float().cpu()[None, None] for tensor in (probs, scores))
    return torch.stack(
        [
            alibi.mean_distance(probs)[0],
            previous_share(probs[0]),
            overlap(probs[0], alone),
            overlap(probs[0], content_only(scores)[0]),
        ]
    )


def previous_share(probs: Tensor) -> Tensor:
    """What a head gives the token before, the mean over all queries that have one: (…, query, key) -> (…).

    >>> previous_share(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.3, 0.6]]))
    tensor(0.4000)
    """
    shares = probs.diagonal(-1, -2, -1)
    return shares.mean(-1) if shares.shape[-1] else torch.zeros(probs.shape[:-2])


def bound_in_text(slope: float, tokens: int) -> float:
    """The most attention that a head indifferent to content can give the previous token, as a mean over a short text.

    The second token has one earlier token to look at, the third two, …: `previous_token_bound` of each.

    >>> bound_in_text(0.5, 2), round(bound_in_text(0.6931472, 3), 4)  # (1 + 2/3) / 2
    (1.0, 0.8333)
    """
    bounds = [alibi.previous_token_bound(slope, earlier) for earlier in range(1, tokens)]
    return sum(bounds) / len(bounds) if bounds else 0.0
