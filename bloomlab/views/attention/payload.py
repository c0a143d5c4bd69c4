"""What the attention view draws from, as numbers and bytes: pure functions of a trace."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bloomlab.lens.attention import rollout
from bloomlab.lens.difference import attention_change
from bloomlab.lens.inputs import check
from bloomlab.model.positions import own_slopes
from bloomlab.views.shared.panel import text_picture
from bloomlab.views.shared.pictures import largest

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["attn.scores", "attn.probs"]
TILE = 64  # a thumbnail has at most this many cells a side; of a longer text it shows the largest of each block
EXACT_BYTES = 1_000_000  # exact values of the whole layer cross to the page if they fit here, else of one head
SAVED_BYTES = 24_000_000  # and into a saved page those of all heads, if they fit here
NOTICED = 5  # heads named that an edit has reached
SAVED_AVERAGES = 6_000_000  # and all means and rollouts, if they fit here

CODE = """\
import bloomlab
from bloomlab.lens.attention import head_average, rollout
from bloomlab.lens.ledger import score_ledger
from bloomlab.model.alibi import slopes

SETUP
trace = lab.trace(TEXT, read=["attn.scores", "attn.probs"])
probs = trace.stack("attn.probs")[:, 0]
means, flows = head_average(probs), rollout(probs)
patterns = {"head": probs[{layer}, {head}], "layer": means[{layer}], "all": means.mean(0), "rollout": flows[{layer}]}
print(patterns["{pattern}"][{query}, {key}])  # what the matrix shows; of "head", the probability the model used
scores = trace["h.{layer}.attn.scores"][0, {head}]
print(score_ledger(scores, slopes(HEADS)[{head}], query={query}, key={key}))
"""

NO_ALIBI_CODE = CODE.replace("slopes(HEADS)[{head}]", "0").replace("from bloomlab.model.alibi import slopes\n", "")


def attention_payload(trace: "Trace", layer: int = 0, head: int = 0) -> dict[str, Any]:
    """All that the page draws from: every head in small, the layer of one head exactly.

    Arrays are bytes, and of a matrix only the causal half (key ≤ query), row by row: the cell of a query and a key
    is number query·(query + 1)/2 + key. `thumbs` holds a byte a cell for all heads of all layers, the colour step
    round(255·√p); see `exact_values` for the rest.
    """
    given = trace.provenance.get("given", "")  # one's own, whose sums nobody knows
    check(trace, READ[1:] if given else READ)
    layers, heads, tokens = trace.config.n_layer, trace.config.n_head, len(trace.tokens)
    block = max(1, math.ceil(tokens / TILE))
    picture = {**text_picture(trace), "slopes": own_slopes(trace.config), "block": block, "given": bool(given)}
    thumbs = b"".join(
        _causal(colour_steps(probs[None], block)).numpy().tobytes()
        for layer in range(layers)
        for probs in trace.heads(f"h.{layer}.attn.probs")
    )
    first, count = exact_reach(heads, tokens, layer, head)
    return {"picture": picture, "thumbs": thumbs, **exact_values(trace, first, count)}


def difference_payload(trace: "Trace", base: "Trace", layer: int = 0, head: int = 0) -> dict[str, Any]:
    """The same for the difference of two runs, `trace` − `base`.

    `thumbs` are signed: round(127.5 + 127.5·change), of each block the largest by size. `before` are the
    probabilities of `base` in the heads whose exact values are sent. `picture["difference"]` names the heads that
    noticed, the largest change of each: [layer, head, query, key, before, after].
    """
    payload = attention_payload(trace, layer, head)
    looks, thumbs, reached = [], [], 0
    for number in range(trace.config.n_layer):  # a head at a time: all of a large model's would not fit
        runs = (run.heads(f"h.{number}.attn.probs") for run in (base, trace))
        for head, (before, after) in enumerate(zip(*runs, strict=True)):
            change = attention_change(before[None, None], after[None, None])
            looks += [(change.heads.max().item(), look._replace(layer=number, head=head)) for look in change.noticed(1)]
            reached += int((change.heads > 0).sum())
            thumbs.append(_causal(signed_steps((change.after - change.before)[0], payload["picture"]["block"])))
    noticed = [list(look) for _, look in sorted(looks, key=lambda pair: -pair[0])[:NOTICED]]
    payload["picture"]["difference"] = {"noticed": noticed, "heads": reached}
    payload["thumbs"] = b"".join(steps.numpy().tobytes() for steps in thumbs)
    return payload | before_values(base, payload["exact"]["first"], payload["exact"]["count"])


def before_values(base: "Trace", first: int, count: int) -> dict[str, Any]:
    """The probabilities of the run that a difference is measured by, of `count` heads, as float32; no scores."""
    return {"before": exact_values(base, first, count)["probs"], "scores": b""}


def signed_steps(change: Tensor, block: int) -> Tensor:
    """(head, query, key) -> round(127.5 + 127.5·change), of each block of cells the largest change by size.

    >>> signed_steps(torch.tensor([[[0.0, 0.0], [1.0, -1.0]]]), 1)
    tensor([[[128, 128],
             [255,   0]]], dtype=torch.uint8)
    """
    if block > 1:
        change = largest(change, block)
    return change.add(1).mul(127.5).round().to(torch.uint8)


def strongest(trace: "Trace", layer: int, head: int) -> dict[str, int]:
    """The last token as the query, and the token before it that it looks at most: how far away that is matters."""
    check(trace, READ[1:])
    last = len(trace.tokens) - 1
    return {"query": last, "key": int(trace.head(f"h.{layer}.attn.probs", head)[last, : last or 1].argmax())}


def most_to_see(trace: "Trace") -> dict[str, int]:
    """The head whose last token looks most at one other token: not the first, where heads rest, and not itself."""
    check(trace, READ[1:])
    last = len(trace.tokens) - 1
    looks = torch.tensor(
        [
            [float(probs[last, 1:last].max()) if last > 1 else 0.0 for probs in trace.heads(f"h.{layer}.attn.probs")]
            for layer in range(trace.config.n_layer)
        ]
    )
    layer, head = divmod(int(looks.argmax()), trace.config.n_head)
    return {"layer": layer, "head": head}


def exact_reach(heads: int, tokens: int, layer: int, head: int) -> tuple[int, int]:
    """Which heads' exact values to send along: the first, numbered through all layers, and how many."""
    whole_layer = 2 * 4 * heads * tokens * (tokens + 1) // 2
    return (layer * heads, heads) if whole_layer <= EXACT_BYTES else (layer * heads + head, 1)


def exact_values(trace: "Trace", first: int, count: int) -> dict[str, Any]:
    """The scores before ALiBi and the probabilities of `count` heads, numbered through all layers, as float32."""
    heads = trace.config.n_head
    values: dict[str, Any] = {"exact": {"first": first, "count": count}}
    for name in ("scores", "probs"):
        values[name] = b"".join(
            _causal(trace.head(f"h.{number // heads}.attn.{name}", number % heads).detach().float().cpu())
            .numpy().tobytes()
            for number in range(first, first + count) if f"h.{number // heads}.attn.{name}" in trace
        )  # fmt: skip
    return values


def average_values(trace: "Trace", patterns: Sequence[tuple[str, int]], base: "Trace | None" = None) -> dict[str, Any]:
    """Patterns of several heads together, as float32 cells; with `base`, how much they differ from its."""
    matrices = together(trace, patterns)
    if base is not None:
        matrices = [after - before for after, before in zip(matrices, together(base, patterns), strict=True)]
    return {
        "averaged": {"patterns": [list(pattern) for pattern in patterns]},
        "averages": b"".join(_causal(matrix).numpy().tobytes() for matrix in matrices),
    }


def together(trace: "Trace", patterns: Sequence[tuple[str, int]]) -> list[Tensor]:
    """Patterns of several heads, (query, key) each: ("layer", 2), ("all", 0), ("rollout", 2).

    The mean over the heads of a layer; over all heads of all layers; and `bloomlab.lens.attention.rollout` up to a
    layer.
    """
    if not patterns:
        return []
    means = torch.stack([_mean(trace, layer) for layer in range(trace.config.n_layer)])  # (layer, query, key)
    flows = rollout(means[:, None]) if any(name == "rollout" for name, _ in patterns) else means
    patterns_of = {"layer": means.__getitem__, "all": lambda _: means.mean(0), "rollout": flows.__getitem__}
    return [patterns_of[name](layer) for name, layer in patterns]


def _mean(trace: "Trace", layer: int) -> Tensor:
    """The mean of a layer's heads, (query, key)."""
    total: Tensor = torch.zeros(len(trace.tokens), len(trace.tokens))
    for probs in trace.heads(f"h.{layer}.attn.probs"):
        total += probs.detach().float().cpu()
    return total.div(trace.config.n_head)


def saved_averages(trace: "Trace", shown: list[tuple[str, int]], base: "Trace | None" = None) -> dict[str, Any]:
    """For a page that has no kernel to ask: all of them, or what is shown if a file should not hold so many."""
    layers, tokens = trace.config.n_layer, len(trace.tokens)
    every = [("all", 0), *((name, layer) for name in ("layer", "rollout") for layer in range(layers))]
    fits = 4 * len(every) * tokens * (tokens + 1) // 2 <= SAVED_AVERAGES
    return average_values(trace, every if fits else shown, base)


def saved_values(trace: "Trace", layer: int, head: int) -> dict[str, Any]:
    """For a page that has no kernel to ask: exact values of as many heads as a file should hold."""
    heads, tokens = trace.config.n_head, len(trace.tokens)
    first, count = 0, trace.config.n_layer * heads
    if 2 * 4 * count * tokens * (tokens + 1) // 2 > SAVED_BYTES:
        first, count = exact_reach(heads, tokens, layer, head)
    return exact_values(trace, first, count)


def _causal(matrix: Tensor) -> Tensor:
    """The half with key ≤ query of the last two axes, row by row: (…, query, key) -> (…, cell)."""
    rows, columns = torch.tril_indices(*matrix.shape[-2:])
    return matrix[..., rows, columns].contiguous()


def colour_steps(probs: Tensor, block: int) -> Tensor:
    """(head, query, key) -> round(255·√p), the largest of each block of cells, so that no thin stripe gets lost."""
    probs = probs.detach().float().cpu()
    if block > 1:
        probs = torch.nn.functional.max_pool2d(probs, block, ceil_mode=True)
    return probs.sqrt().mul(255).round().to(torch.uint8)
