"""Write a gallery: a page for each view, interactive, and one that leads to them; no network, no server, no Python.

python docs/make_gallery.py [FOLDER]      into gallery/, unless another folder is named
"""

import sys
from html import escape
from pathlib import Path
from typing import Any

import bloomlab
from bloomlab.lab import FIRST_TEXT
from bloomlab.site import GALLERY
from bloomlab.views.shared.assets import style_text

PAGES = GALLERY | {  # and what a site has no page of: it needs Python
    "predictions": ("Predictions", "What three task heads make of a text, at every layer.", "Leo lives in Oslo."),
    "write": ("Writing", "Why this token, what if another, and the cache at work. Choose a branch.", FIRST_TEXT),
}

INDEX = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bloomlab: gallery</title>
<style>{style}
.bloomlab-index {{ font-size: var(--bl-normal); }}
.bloomlab-index h1 {{ font-size: var(--bl-large); }}
.bloomlab-index dt {{ margin-top: calc(2 * var(--bl-unit)); font-weight: var(--bl-strong); }}
.bloomlab-index dd {{ margin: 0; }}
.bloomlab-index a {{ color: var(--bl-accent); }}
</style>
</head>
<body class="bloomlab-page">
<main class="bloomlab bloomlab-index">
<h1>bloomlab: what a language model does with a text</h1>
<p>{about}</p>
<dl>
{entries}
</dl>
</main>
</body>
</html>
"""


def make(place: Path) -> list[Path]:
    """Write all pages; the first leads to the others."""
    place.mkdir(parents=True, exist_ok=True)
    lab = bloomlab.load()
    pages = [_shown(lab, verb, text).save(place / f"{verb}.html") for verb, (_, _, text) in PAGES.items()]
    entries = [
        f'<dt><a href="{verb}.html">{escape(title)}</a></dt><dd>{escape(words)}</dd>'
        for verb, (title, words, _) in PAGES.items()
    ]
    about = escape(
        f"Made by bloomlab {bloomlab.__version__} with its embedded model: a BLOOM of {lab.model.num_parameters():,} "
        "parameters, trained on a small world in ten languages. Each page holds one text; in Jupyter, type your own."
    )
    index = place / "index.html"
    style = style_text()
    index.write_text(INDEX.format(style=style, about=about, entries="\n".join(entries)), encoding="utf-8")
    return [index, *pages]


def _shown(lab: bloomlab.Lab, verb: str, text: str) -> Any:
    """What a verb of the lab shows of a text; of a writing, with a branch, since a page cannot write."""
    if verb != "write":
        return getattr(lab, verb)(text)
    writing = lab.write(text, do_sample=True, seed=1, temperature=0.8).play(9).back(8)
    second = int(writing.choice_at(writing.at).ids[1])
    return writing.branch(second).play(8)


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "gallery")
    for path in make(folder):
        print(f"{path.stat().st_size / 1e6:5.1f} MB  {path}")
