"""What each view sends before its first picture, of 64 tokens on the embedded model.

python -m tests.benchmarks.views
"""

from collections.abc import Iterator

import bloomlab
from tests.benchmarks.explorer import sent

MOST = 300  # kB of data
TEXT = "Leo lives in Oslo. He has a cat. Leo eats bread. " * 5


def first_pictures() -> Iterator[str]:
    lab = bloomlab.load()
    text = "".join(token.text for token in lab.tokens(TEXT)[:64])
    views = {
        "tokens": lab.tokens(text).view,
        "attention": lab.attention(text),
        "alibi": lab.alibi(text),
        "hidden states": lab.hidden_states(text),
        "predictions": lab.predictions(text),
    }
    for name, view in views.items():
        data, code = sent(view)
        what = f"first picture of {name}, {len(view.picture['tokens'])} tokens"
        yield f"{what:<62}{data / 1e3:9.1f} kB of {MOST}, and {code / 1e3:.1f} kB of module and style"


if __name__ == "__main__":
    for line in first_pictures():
        print(line, flush=True)
