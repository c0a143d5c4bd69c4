"""An MLP's line of the receipt, opened for the page: into its neurons, or what it would lose without each part."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import mlp_receipt
from bloomlab.lens.mlp_receipt import MlpLines
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.evidence import Evidence
from bloomlab.views.predictions.question import question
from bloomlab.views.shared.panel import Shown, stamp
from bloomlab.weights.pretrained import BloomPreTrainedModel

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

SHUT: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "message": "",
    "layer": -1,  # of which MLP
    "kind": "",  # neurons, or without
    "rows": [],  # name, nats, and of a neuron spot and axes
    "rest": [0, 0.0],  # of neurons, how many smaller ones there are, and their sum
    "says": "",
    "code": "",
}


def inside_steps(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
) -> Iterator[tuple[dict[str, Any], Evidence[MlpLines] | None]]:
    """The line of one MLP as its neurons, or what it would lose without each part that it reads.

    Raises:
        InputError: in the second step, there is no such MLP, or nothing to ask about.
    """
    layer, kind = shown["opened_mlp"], shown["opened_as"]
    yield {"inside": {**SHUT, "state": "running", "layer": layer, "kind": kind}}, None
    found = opened(trace, model, tokenizer, heads, shown, kind, layer)
    lines, code = found.found, str(shown["receipt"]["code"])
    shown_rows = []
    for place in lines.order[: mlp_receipt.SHOWN]:
        name, value = lines.names[place], lines.values[place].item()
        neuron = kind == "neurons" and name != "bias"
        where = {"spot": f"h.{layer}.mlp.post", "axes": {"neuron": [place]}} if neuron else {"spot": "", "axes": {}}
        shown_rows.append({"name": name, "value": value, **where})
    rest = lines.order[mlp_receipt.SHOWN :]
    piece = {
        **SHUT,
        "state": "running",
        "layer": layer,
        "kind": kind,
        "rows": shown_rows,
        "rest": [len(rest) if kind == "neurons" else 0, lines.values[rest].sum().item()],
        "says": found.sentence,
        "code": f"print(found.{kind}({layer}))\n" if code else "",
    }
    yield {"inside": piece}, found


def opened(
    trace: "Trace",
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    heads: Mapping[str, BloomPreTrainedModel],
    shown: Shown,
    kind: str,
    layer: int,
) -> Evidence[MlpLines]:
    asked = question(trace, model, tokenizer, heads, shown, mlp_receipt.READ)
    find = mlp_receipt.neurons if kind == "neurons" else mlp_receipt.without
    lines = find(asked.model, asked.read, layer, asked.first, asked.second, asked.at)
    return Evidence(lines, stamp(trace.provenance))
