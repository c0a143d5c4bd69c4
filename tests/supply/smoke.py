"""Every verb once, with what is installed and nothing beside it: `python smoke.py` in an empty folder.

It needs no test library: an environment with the wheel alone runs it.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

TEXT = "Leo lives in Oslo. Leo has a cat."


def verbs() -> dict[str, Callable[[Any], object]]:
    """What to do with a lab, by the verb it tries."""
    from bloomlab import scale, zero

    edit = {"h.2.attn.mixed": zero(head=3)}
    cases = "{name} lives in {city}. {name} lives in"
    return {
        "tokens": lambda lab: lab.tokens(TEXT).view._repr_mimebundle_(),
        "trace": lambda lab: lab.trace(TEXT, read="*"),
        "generate": lambda lab: lab.generate("Leo lives in", max_new_tokens=3),
        "fits": lambda lab: lab.fits("tiny"),
        "info": lambda lab: lab.info(),
        "card": lambda lab: lab.card(),
        "lessons": lambda lab: lab.lessons()[13],
        "map": lambda lab: lab.map(TEXT)._repr_mimebundle_(),
        "explore": lambda lab: lab.explore(TEXT)._repr_mimebundle_(),
        "attention": lambda lab: lab.attention(TEXT)._repr_mimebundle_(),
        "hidden_states": lambda lab: lab.hidden_states(TEXT)._repr_mimebundle_(),
        "alibi": lambda lab: lab.alibi(TEXT)._repr_mimebundle_(),
        "predictions": lambda lab: lab.predictions(TEXT)._repr_mimebundle_(),
        "write": lambda lab: lab.write("Leo lives in").play(2)._repr_mimebundle_(),
        "lens": lambda lab: lab.lens(TEXT)._repr_html_(),
        "ablate": lambda lab: lab.ablate(TEXT, "h.2.attn.mixed", head=3),
        "receipt": lambda lab: lab.receipt(TEXT),
        "lengths": lambda lab: lab.lengths(lab, texts=[TEXT * 9])._repr_html_(),
        "like": lambda lab: lab.like(TEXT, 2),
        "effects": lambda lab: lab.effects(TEXT, TEXT.replace("Oslo", "Lima")),
        "attribution": lambda lab: lab.attribution(TEXT),
        "stream": lambda lab: "".join(lab.stream(TEXT, 2)),
        "refute": lambda lab: lab.refute(TEXT, edit, n=1),
        "keep": lambda lab: lab.keep(TEXT, ["2.3"], n=1),
        "without": lambda lab: lab.without(TEXT, ["2.3"], n=1),
        "direction": lambda lab: lab.direction([TEXT], ["Leo vit."], "h.1.resid_post", TEXT, n=1, max_new_tokens=1),
        "cases": lambda lab: lab.cases(cases, n=1, name=["Leo"], city=["Oslo"]),
        "finding": lambda lab: lab.finding("so", TEXT, {"embed": scale(0.5)}, n=1).save("finding.json"),
        "classify": lambda lab: lab.classify(TEXT),
        "tag": lambda lab: lab.tag(TEXT),
        "answer": lambda lab: lab.answer("Where does Leo live?", TEXT),
    }


def others() -> dict[str, Callable[[Any], object]]:
    """What else there is: files, the command, the checks, training."""
    import bloomlab
    from bloomlab import checks, cli, lessons
    from bloomlab.weights.checkpoint import convert

    def older(lab: Any) -> None:
        import torch

        lab.model.save_pretrained("older"), lab.tokenizer.save_pretrained("older")
        torch.save(lab.model.state_dict(), "older/pytorch_model.bin")
        Path("older/model.safetensors").unlink()
        bloomlab.load("older"), convert(Path("older"))

    def command(lab: Any) -> None:
        for words in (["info", "tiny"], ["doctor"], ["explore", TEXT, "--save", "command.html"], ["page"]):
            if cli.main(words) not in (0, 1):  # 1: the doctor has advice
                raise RuntimeError(f"bloomlab {words}")

    return {
        "a page": lambda lab: lab.explore(TEXT).save("page.html"),
        "a picture": lambda lab: lab.attention(TEXT).save("picture.png"),
        "a saved trace": lambda lab: bloomlab.Trace.load(lab.trace(TEXT).save("trace.safetensors")),
        "a saved finding": lambda lab: bloomlab.finding("finding.json", lab).check(),
        "a .bin file": older,
        "the lessons": lambda lab: lessons.copy_to("lessons"),
        "a cover": lambda lab: checks.cover("How many heads?", 8, shows=lab.info()),
        "the command": command,
    }


def main() -> int:
    """Try all of them; the exit code is 1 if one failed."""
    import bloomlab
    from bloomlab.lab import Lab

    warnings.simplefilter("error")
    lab, failed = bloomlab.load(), {}
    untried = {name for name in dir(Lab) if not name.startswith("_")} - verbs().keys()
    for name, use in {**verbs(), **others()}.items():
        try:
            use(lab)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    said = {
        "python": sys.version.split()[0],
        "tried": len(verbs()) + len(others()),
        "untried": sorted(untried),
        "failed": failed,
        "from": str(Path(str(bloomlab.__file__)).parent),
    }
    print(json.dumps(said))
    return int(bool(failed or untried))


if __name__ == "__main__":
    import os

    with TemporaryDirectory() as folder:
        os.chdir(folder)
        code = main()
        os.chdir("/")
    sys.exit(code)
