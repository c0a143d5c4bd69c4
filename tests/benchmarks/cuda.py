"""bloomlab on a CUDA card: the embedded model's numbers, edits and explorer, and a token of 7b1's shapes.

python -m tests.benchmarks.cuda [--size 7b1] [--device cuda:0]

For a machine that has one; elsewhere it says so and ends with 2. It ends with 1 where something is not as it should be.
`--size tiny --device cpu` runs the same lines without a card, all but those on memory; its figures say nothing of one.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

import bloomlab
from bloomlab import BloomConfig, BloomForCausalLM, Lab, zero
from bloomlab.guards.memory import gigabytes

TEXT = "Leo lives in Oslo. Leo has a cat."
GOAL = 0.7  # of the card's bandwidth, decoding
Check = tuple[str, bool]


def differs(found: Tensor, expected: Tensor) -> float:
    """The largest difference, in times of the largest number."""
    scale = max(1.0, expected.nan_to_num().abs().max().item())
    return (found.cpu().float() - expected.float()).nan_to_num().abs().max().item() / scale


def numbers(device: str) -> Iterator[Check]:
    """The embedded model on a device beside the same on the CPU."""
    here = bloomlab.load()
    for dtype, room in (("float32", 1e-4), ("bfloat16", 0.1)):
        there = bloomlab.load(dtype=dtype, device=device)
        for words, edit in (("", {}), (", edited", {"h.2.attn.mixed": zero(head=3)})):
            ours, theirs = there.trace(TEXT, ["*"], edit), here.trace(TEXT, ["*"], edit)
            worst = max(differs(ours[name], theirs[name]) for name in theirs.names)
            yield f"{dtype}{words}, all spots: largest difference {worst:.1e} of {room:g}", worst <= room
    there = bloomlab.load(device=device)
    written = there.generate("Leo lives in", max_new_tokens=8)
    yield f"float32, greedy: {written!r}", written == here.generate("Leo lives in", max_new_tokens=8)
    yield from views(there, here, device)
    placed = bloomlab.load(device_map={"transformer.h.1": "cpu", "": device})
    worst = differs(placed.trace(TEXT, ["logits"])["logits"], here.trace(TEXT, ["logits"])["logits"])
    yield f"block 1 lent from the CPU: largest difference {worst:.1e} of 1e-4", worst <= 1e-4
    grads = there.attribution(TEXT).gradient
    worst = differs(grads, here.attribution(TEXT).gradient)
    yield f"gradients: largest difference {worst:.1e} of 1e-3", worst <= 1e-3


def views(there: Lab, here: Lab, device: str) -> Iterator[Check]:
    """The explorer and a receipt on a device say what they say on the CPU."""
    for words, edit in (("", None), (", edited", {"h.2.mlp.out": zero()})):
        page = there.explore(TEXT, edit=edit)
        same = repr(page) == repr(here.explore(TEXT, edit=edit))
        yield f"the explorer on {device}{words}: {len(page._repr_mimebundle_()[0])} kinds of output", same
    text = f"{TEXT} Leo lives in"
    yield "a receipt", repr(there.receipt(text)).splitlines()[0] == repr(here.receipt(text)).splitlines()[0]


def decoding(size: str, device: str) -> Iterator[Check]:
    """A token after 512 in bfloat16, random weights: how much of the card's speed its weights are read at."""
    card = torch.device(device).type == "cuda"
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = BloomForCausalLM(BloomConfig.named(size)).eval()
        torch.set_default_dtype(torch.float32)
    if card:
        torch.cuda.reset_peak_memory_stats(device)
    # (of the table one row a token is read, and all of it once more as the head)
    weights = sum(tensor.nbytes for tensor in model.parameters())
    with torch.inference_mode():
        ids = torch.randint(4, model.config.vocab_size, (1, 512), device=device)
        past = model(ids, logits_to_keep=1).past_key_values
        token = seconds(lambda: model(ids[:, :1], past_key_values=past), device)
        read = torch.ones(1 << 30 if card else 1 << 24, dtype=torch.int32, device=device)
        speed = read.nbytes / seconds(read.sum, device)
    share = weights / token / speed
    yield (
        f"{size}, bfloat16, a token after 512: {token * 1e3:.2f} ms, {weights / token / 1e12:.2f} TB/s = {share:.2f} of"
        f" the {speed / 1e12:.2f} TB/s that a sum reads; goal {GOAL}",
        share >= GOAL,
    )
    if card:
        most = torch.cuda.max_memory_allocated(device) - read.nbytes
        yield f"{size}: at most {gigabytes(most)} on the card, for {gigabytes(weights)} of weights", True


def seconds(work: Callable[[], object], device: str, rounds: int = 20) -> float:
    """The median of the seconds that the device takes."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda _: None
    found = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - start)
    return sorted(found)[rounds // 2]


def main(size: str, device: str) -> int:
    """0 if all is as it should be, 1 if not, 2 if there is no such device."""
    card = torch.device(device).type == "cuda"
    if card and not torch.cuda.is_available():
        print(f"there is no CUDA device here (torch {torch.__version__}), so nothing was run")
        return 2
    print(f"{torch.cuda.get_device_name(device) if card else device}, torch {torch.__version__}")
    failed = 0
    for checks in (numbers(device), decoding(size, device)):
        for words, right in checks:
            print(f"{'ok ' if right else 'NOT'} {words}", flush=True)
            failed += not right
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cuda", description=__doc__)
    parser.add_argument("--size", default="7b1")
    parser.add_argument("--device", default="cuda:0")
    options = parser.parse_args()
    sys.exit(main(options.size, options.device))
