"""What `.save("x.png")` and "x.svg" of every view have in common."""

import html
import re
from pathlib import Path

import pytest

import bloomlab
from bloomlab.lab import Lab
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.views.attention import payload as attention
from bloomlab.views.hidden import payload as hidden
from bloomlab.views.predictions import payload as predictions
from bloomlab.views.shared.figure import wrapped
from tests.tiny_random import byte_tokenizer, random_model

VIEWS = ["tokens", "attention", "alibi", "hidden_states", "predictions"]
NAME = "<!-- --><script>window.canary=1</script> $x_1$ \u202e القطة"


def written(svg: Path) -> str:
    """The texts of an SVG whose letters are shapes: matplotlib writes each down beside them, as a comment."""
    source = svg.read_text(encoding="utf-8")
    return " ".join(html.unescape(found).strip() for found in re.findall(r"<!-- (.*?) -->", source, re.DOTALL))


EDITED = {"attn.mixed": "head", "mlp.out": "pos"}


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name=NAME)


@pytest.fixture(scope="module")
def edited(lab: Lab) -> Trace:
    """Of a text that is no markup, with several edits: more than fit into one line."""
    edits = {f"h.{layer}.{spot}": zero(**{axis: layer}) for layer in range(3) for spot, axis in EDITED.items()}
    return lab.trace("<b> $x$ القطة 猫", read=[*attention.READ, *hidden.READ, *predictions.READ], edit=edits)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_every_picture_is_signed_with_model_weights_seed_and_edits(
    lab: Lab, edited: Trace, tmp_path: Path, view: str
) -> None:
    shown = getattr(lab, view)(edited)
    said = re.sub(r"\s+", " ", written(shown.save(tmp_path / "x.svg"))).replace(r"\$", "$")
    assert "<script>window.canary=1</script> $x_1$ ⟨U+202E⟩ القطة · weights " in said
    assert "float32 · no seed · edited: h.0.attn.mixed zero(head=0), " in said
    assert said.endswith("h.2.mlp.out zero(pos=2)")
    assert shown.save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_a_letter_that_no_font_has_is_no_warning(lab: Lab, tmp_path: Path, view: str) -> None:
    getattr(lab, view)("\U00010fff 😀").save(tmp_path / "x.png")  # warnings are errors


def test_a_long_line_is_broken_where_the_figure_ends() -> None:
    from matplotlib.figure import Figure

    lines = wrapped("one $two " * 40, Figure(figsize=(4, 1)), 7).split("\n")
    assert len(lines) > 3 and all(len(line.replace("\\$", "$")) <= 64 for line in lines)
    assert " ".join(lines).count(r"\$") == 40


OPENED = [
    ("predictions", {"explaining": "total", "receipt_over": "texts"}, ["the difference", "total, nats: what one of 2"]),
    (
        "hidden",
        {"map_what": "heads", "map_over": "texts", "mapping": "open"},
        ["share of the lead", "head 7"],
    ),
    ("attention", {"look_over": "texts", "explaining": "open"}, ["parts of the key, nats", "embedding × embedding"]),
    ("tokens", {"mattered_over": "texts", "attributing": "open"}, ["integrated gradients, nats", "left out, nats"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("tab", "settings", "words"), OPENED)
def test_what_is_open_is_the_picture_that_is_saved(
    tmp_path: Path, tab: str, settings: dict[str, str], words: list[str]
) -> None:
    """The receipt, the map of effects, the parts of a look, and which tokens mattered: with mean and spread."""
    text = "Leo lives in Oslo. Let us say it again. Leo lives in"
    lab = bloomlab.load()
    view = lab.explore(text, texts=lab.like(text, 2))
    view.tab, view.layer = tab, 0
    before = written(view.save(tmp_path / "x.svg"))
    for name, value in settings.items():
        setattr(getattr(view, tab), name, value)
    said = re.sub(r"\s+", " ", written(view.save(tmp_path / "x.svg")))
    for one in words:
        assert one in said and one not in before
    assert "± " in said or tab == "hidden"
    assert "weights ee93f3e7af4d" in said
    assert view.save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
