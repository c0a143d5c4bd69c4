"""The embedded model: a BLOOM small enough to ship, and everything that made it.

Read in this order: world (people and facts), language (how ten languages say them), documents (what the
model reads), train_tokenizer, train, measure, evaluate. The trained files are in `weights/`; README.md is the
model card.
"""

from pathlib import Path


def folder() -> Path:
    """The folder of the shipped model: config.json, model.safetensors and the tokenizer's files."""
    return Path(__file__).parent / "weights"
