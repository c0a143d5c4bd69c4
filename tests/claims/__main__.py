"""Is there a claim that nothing could refute? Each is turned around, and measured with weights that learned nothing.

    python -m tests.claims                every claim
    python -m tests.claims 09 head        those whose name or place contains one of these words

A claim that still holds survives, and is listed: its sentence says less than it seems to.
"""

import sys

import torch

from bloomlab import BloomForCausalLM, Lab, load
from tests.claims.every import CLAIMS


def untrained(lab: Lab) -> Lab:
    """The same lab with weights that learned nothing, heads too."""
    torch.manual_seed(0)
    model = BloomForCausalLM(lab.model.config).eval()
    blank = Lab(model, lab.tokenizer, name="untrained")
    blank.heads.update({name: type(head)(head.config).eval() for name, head in lab.heads.items()})
    return blank


def main(words: list[str]) -> int:
    lab = load()
    blank = untrained(lab)
    survivors = []
    wanted = [
        claim
        for claim in CLAIMS.values()
        if not words or any(word in f"{claim.name} {' '.join(claim.said_in)}" for word in words)
    ]
    for claim in wanted:
        value, control = claim.measured(lab)
        faults = []
        if not claim.holds(value, control):
            faults.append(f"is false: {value}, control {control}")
        if claim.holds(control, value):
            faults.append("holds with value and control exchanged")
        if not claim.untrained:
            try:
                held = claim.holds(*claim.measured(blank))
            except Exception as error:  # a measurement that needs what was learned is refuted by its absence
                print(f"        {claim.name}: cannot be measured untrained ({type(error).__name__})")
                held = False
            if held:
                faults.append("holds with untrained weights")
        survivors += [f"{claim.name} {fault}" for fault in faults]
        print("SURVIVES" if faults else "refuted ", claim.name, *faults, flush=True)
    print(f"\n{len(wanted)} claims, {len(survivors)} faults", *survivors, sep="\n  ")
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
