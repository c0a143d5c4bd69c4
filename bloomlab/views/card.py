"""What is known about a model, on a page: `lab.card()`."""

from collections.abc import Mapping
from pathlib import Path

from bloomlab import tiny
from bloomlab.heads.named import Heads
from bloomlab.lens.sizes import Info
from bloomlab.text.tokens import visible


class Card(str):
    """A model card: plain text in a terminal, a page in Jupyter."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)


def embedded_card(twins: bool = False) -> Card:
    """How the embedded model, or its twins, were made, what they reach, and what they cannot do."""
    folder = tiny.TWINS_FOLDER if twins else Path(tiny.__file__).parent
    return Card((folder / "README.md").read_text(encoding="utf-8"))


def described(info: Info, heads: Heads, code: str) -> Card:
    """What can be said about any other model: its sizes, how it was opened, which heads it has.

    Names come from outside, so they are shown as code, where nothing is markup.
    """
    config = info.config
    facts = {
        "layer norm before the residual": config.apply_residual_connection_post_layernorm,
        "input and output share one table": config.tie_word_embeddings,
    }
    labels = {name: ", ".join(heads[name].config.id2label.values()) for name in heads}
    return Card(
        "\n\n".join(
            [
                "# A BLOOM checkpoint",
                _block(repr(info)),
                "Opened with",
                _block(code),
                _block(_lines({name: "yes" if value else "no" for name, value in facts.items()})),
                "Task heads" if labels else "It has no task heads; `lab.heads[name] = model` gives it one.",
                *([_block(_lines(labels))] if labels else []),
                "This page is made from the checkpoint's own numbers. How the model was trained, on what, and what it "
                "may be used for is not in them: look for the card of those who made it.",
            ]
        )
    )


def _lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def _block(text: str) -> str:
    """Text that is not read as markup, whatever it says: indented, control characters made visible."""
    lines = (" ".join(visible(word) for word in line.split(" ")) for line in text.split("\n"))
    return "\n".join(f"    {line}" for line in lines)
