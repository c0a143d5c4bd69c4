"""What each view sends before its first picture, of 64 tokens on the embedded model.

python -m tests.benchmarks.views
"""

import json
from collections.abc import Iterator
from typing import Any

import bloomlab

MOST = 300  # kB of data
TEXT = "Leo lives in Oslo. He has a cat. Leo eats bread. " * 5


def sent(view: Any) -> tuple[int, int]:
    """Bytes that cross to the page before the first picture: the data, and the module with its style sheet."""
    sizes = {
        name: len(value) if isinstance(value, bytes) else len(json.dumps(value, ensure_ascii=False).encode())
        for name, value in view.get_state().items()
    }
    code = sizes.pop("_esm") + sizes.pop("_css")
    return sum(sizes.values()), code


def first_pictures() -> Iterator[str]:
    lab = bloomlab.load()
    text = "".join(token.text for token in lab.tokens(TEXT)[:64])
    views = {
        "tokens": lab.tokens(text).view,
        "attention": lab.attention(text),
        "alibi": lab.alibi(text),
        "hidden states": lab.hidden_states(text),
        "predictions": lab.predictions(text),
        "explorer": lab.explore(text),
    }
    for name, view in views.items():
        data, code = sent(view)
        what = f"first picture of {name}, {len(view.picture['tokens'])} tokens"
        yield f"{what:<62}{data / 1e3:9.1f} kB of {MOST}, and {code / 1e3:.1f} kB of module and style"


if __name__ == "__main__":
    for line in first_pictures():
        print(line, flush=True)
