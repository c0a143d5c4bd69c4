"""What the ALiBi view draws from, as numbers and bytes: pure functions of a trace."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.lens import alibi
from bloomlab.lens.attention import content_only, overlap, position_only
from bloomlab.lens.inputs import check
from bloomlab.model.alibi import slopes
from bloomlab.views.shared.panel import text_picture

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["attn.scores", "attn.probs"]
MEASURED = ("distance", "previous", "position", "content")  # of every head of every layer

CODE = """\
import bloomlab
from bloomlab.lens import alibi, attention
from bloomlab.model.alibi import slopes
from bloomlab.tiny.measure import validation_rows
from bloomlab.text.tokenizer import BloomTokenizerFast

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
slope = slopes(HEADS)[{head}]
print(slope, alibi.reach(slope), alibi.previous_token_bound(slope))
print(alibi.bias_by_distance([slope], {distance} + 1)[0, {distance}])  # nats, {distance} tokens back
print(alibi.mean_distance(trace)[{layer}, {head}])  # tokens, layer {layer}, head {head}
print(attention.position_share(trace)[{layer}, {head}], attention.content_share(trace)[{layer}, {head}])
"""


def alibi_payload(trace: "Trace") -> dict[str, Any]:
    """All that the page draws from.

    `picture["of_heads"]` has what follows from the slopes and the text's length alone; `measured` what the heads do,
    float32 (what, layer, head) with what = MEASURED: mean distance in tokens, share given to the previous token,
    share of the pattern that position alone explains, share that content alone explains.
    """
    check(trace, READ)
    layers, tokens, head_slopes = trace.config.n_layer, len(trace.tokens), slopes(trace.config.n_head)
    alone = position_only(head_slopes, tokens)
    picture = {
        **text_picture(trace),
        "slopes": head_slopes,
        "of_heads": {
            "reach": [alibi.reach(slope) for slope in head_slopes],
            "bound": [alibi.previous_token_bound(slope) for slope in head_slopes],
            "bound_here": [bound_in_text(slope, tokens) for slope in head_slopes],
            "alone": alibi.mean_distance(alone[None])[0].tolist(),
            "tie": [alibi.first_tie(slope, torch.bfloat16) for slope in head_slopes],
        },
    }
    measured = [
        measure(trace[f"h.{layer}.attn.probs"], trace[f"h.{layer}.attn.scores"], alone) for layer in range(layers)
    ]
    return {"picture": picture, "measured": torch.stack(measured, 1).float().contiguous().numpy().tobytes()}


def measure(probs: Tensor, scores: Tensor, alone: Tensor) -> Tensor:
    """One layer's heads: MEASURED (what, head), of probs and scores (batch, head, query, key), the first text's."""
    probs, scores = (tensor[:1].detach().float().cpu() for tensor in (probs, scores))
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
