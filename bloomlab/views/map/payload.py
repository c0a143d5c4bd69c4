"""What the map of the model draws from, as numbers and bytes: pure functions of a trace and its model."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.hidden import norms, stream
from bloomlab.lens.logit_lens import read_out
from bloomlab.lens.whole import whole
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.views.shared.panel import text_picture
from bloomlab.views.shared.tables import word

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

READ = ["embed", "attn.out", "resid_mid", "mlp.out", "resid_post"]
WRITTEN = ("attn.out", "mlp.out")  # of each layer
TOP = 3  # next tokens
WORDS = {"head": "heads", "query": "queries", "key": "keys", "pos": "tokens", "hidden": "numbers", "neuron": "neurons",
         "vocab": "scores"}  # fmt: skip

CODE = """\
import bloomlab
from bloomlab.lens.whole import whole

SETUP
trace = lab.trace(TEXT, read=[{spot}])
print(trace[{spot}].shape)  # a text, then {axes}
print(*whole(lab.model.config, lab.model.hook_names()), sep="\\n")  # every part, its numbers, its file
"""


def parts_payload(model: BloomForCausalLM) -> list[dict[str, Any]]:
    """The parts of a model, as `lens.whole`; of an axis its name, its size (0: the text's length), what it counts."""
    spots = model.hook_names()
    found = []
    for part in whole(model.config, spots):
        sizes: dict[str, Any] = {}
        if part.spot:
            spot = spots[part.spot.format(layer=0)]
            sizes = dict(zip(spot.axes.split(), spot.shape, strict=True))
        sizes |= {"vocab": model.config.vocab_size} if "vocab" in part.axes else {}
        known = {axis: size for axis, size in sizes.items() if isinstance(size, int)}
        found.append({**asdict(part), "axes": [[axis, known.get(axis, 0), WORDS[axis]] for axis in part.axes]})
    return found


def map_payload(trace: "Trace", model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """All that the page draws from, but for the parts.

    `norms` (state, pos) are the lengths of the states of the stream, and `written` (step, pos) those of what attention
    and the MLP of each layer have added to it; both float32. `next` has the likeliest tokens after the last, each with
    its probability.

    Raises:
        InputError: the trace is of a model of another size.
    """
    states = stream(trace).states
    if states.shape[-1] != model.config.hidden_size:
        raise InputError(
            f"the trace is of a model {states.shape[-1]} wide, but this one is {model.config.hidden_size} wide; "
            "show a trace of this model"
        )
    best = read_out(model, states[-1, -1:]).float().cpu()[0].softmax(-1).topk(min(TOP, model.config.vocab_size))
    following = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return {
        "picture": {**text_picture(trace), "next_ids": best.indices.tolist()},
        "norms": _bytes(norms(states)),
        "written": _written(trace),
        "next": [[word(tokenizer, token), prob] for token, prob in following],
    }


NO_DIFFERENCE: dict[str, Any] = {"norms_before": b"", "written_before": b"", "next_before": []}
"""What only a difference has."""


def difference_values(payload: dict[str, Any], base: "Trace", model: BloomForCausalLM) -> dict[str, Any]:
    """What another run has at the same places: its lengths, and how likely it found the tokens that are named."""
    state = stream(base).states[-1, -1:]
    probs = read_out(model, state).float().cpu()[0].softmax(-1)
    return {
        "norms_before": _bytes(norms(stream(base).states)),
        "written_before": _written(base),
        "next_before": [float(probs[token]) for token in payload["picture"]["next_ids"]],
    }


def _written(trace: "Trace") -> bytes:
    spots = [f"h.{layer}.{part}" for layer in range(trace.config.n_layer) for part in WRITTEN]
    return b"".join(_bytes(norms(trace[spot][0])) for spot in spots)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().float().cpu().contiguous().numpy().tobytes()
