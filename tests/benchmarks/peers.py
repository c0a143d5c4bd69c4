"""How many bytes, and how long, BertViz, CircuitsVis and bloomlab take to show the same attention.

`make peers` sets up an environment of its own, .venv-peers, and prints the table; `make test` never needs it.
Everybody gets the same probabilities, of a model with random weights. Time is the processor's, from the tensors to
what is handed to the notebook: HTML with its data and script, or a widget's state with its module and style.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import torch

from bloomlab import BloomConfig, BloomForCausalLM, BloomTokenizerFast, Lab, tiny
from bloomlab.tracing.trace import Trace
from bloomlab.views.attention.payload import READ
from tests.views.lone import attention_view

Work = Callable[[], int]  # makes the output and says how many bytes it has
NEEDS_NETWORK = "loads scripts from the network"
OFFLINE = "works offline"


def made_trace(layers: int, heads: int, tokens: int) -> Trace:
    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=3072, hidden_size=16 * heads, n_layer=layers, n_head=heads))
    return Lab(model, BloomTokenizerFast.from_pretrained(tiny.folder())).trace(" Leo" * tokens, read=READ)


def bertviz(name: str, attention: list[torch.Tensor], tokens: list[str]) -> int:
    import bertviz as peer

    return len(getattr(peer, name)(attention, tokens, html_action="return").data.encode())


def circuitsvis(form: str, attention: list[torch.Tensor], tokens: list[str]) -> int:
    """All layers, an output for each: with the script in it, "local_src", or with its address, "cdn_src"."""
    from circuitsvis.attention import attention_patterns

    shown = [attention_patterns(tokens=tokens, attention=layer[0]) for layer in attention]
    return sum(len(getattr(output, form).encode()) for output in shown)


def live(trace: Trace) -> int:
    """The first picture of lab.attention(trace): all heads in small, and the values of the layer that is shown."""
    state = attention_view(lambda text: trace, trace).get_state()
    return sum(
        len(value) if isinstance(value, bytes) else len(json.dumps(value, ensure_ascii=False).encode())
        for value in state.values()
    )


def page(trace: Trace) -> int:
    """The same as a file of its own, interactive and offline."""
    with tempfile.TemporaryDirectory() as folder:
        return attention_view(lambda text: trace, trace).save(Path(folder) / "x.html").stat().st_size


def rows(trace: Trace) -> Iterator[tuple[str, Work, str]]:
    attention = [trace[f"h.{layer}.attn.probs"] for layer in range(trace.config.n_layer)]
    tokens = [token.text for token in trace.tokens]
    for name in ("model_view", "head_view"):
        yield f"BertViz {version('bertviz')}, {name}", lambda name=name: bertviz(name, attention, tokens), NEEDS_NETWORK
    for form, remark in (("cdn_src", NEEDS_NETWORK), ("local_src", OFFLINE)):
        what = f"CircuitsVis {version('circuitsvis')}, attention_patterns"
        yield what, lambda form=form: circuitsvis(form, attention, tokens), remark
    yield "bloomlab, lab.attention: first picture", lambda: live(trace), OFFLINE
    yield "bloomlab, lab.attention: saved page", lambda: page(trace), OFFLINE


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="how often each output is made; the median is shown")
    options = parser.parse_args()
    trace = made_trace(options.layers, options.heads, options.tokens)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {options.rounds} rounds")
    print(f"{options.layers} × {options.heads} heads, {len(trace.tokens)} tokens, float32\n")
    for what, work, remark in rows(trace):
        times, size = [], 0
        for _ in range(options.rounds):
            start = time.process_time()
            size = work()
            times.append(time.process_time() - start)
        print(f"{what:<50}{size / 1e6:9.2f} MB{statistics.median(times):9.2f} s   {remark}", flush=True)


if __name__ == "__main__":
    main()
