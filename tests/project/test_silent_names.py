"""A misspelt attribute is an error with a name like it, for every object of which a person can set something."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest

import bloomlab
from bloomlab.views.cover import Cover
from docs.make_api import CONTENTS

pytestmark = pytest.mark.slow  # it makes one of everything

LAB = bloomlab.load()
TEXT = "Leo lives in Oslo."
MADE: dict[str, Callable[[], Any]] = {
    "lab.Lab": lambda: bloomlab.load(),
    "hooks.Hooks": lambda: bloomlab.Hooks(),
    "tracing.trace.Trace": lambda: LAB.trace(TEXT),
    "text.tokenizer.BloomTokenizerFast": lambda: bloomlab.load().tokenizer,
    "heads.named.Heads": lambda: LAB.heads,
    "views.view.View": lambda: LAB.explore(TEXT),
    "views.cover.Cover": lambda: Cover(TEXT, "an answer"),
    "views.tokens.result.Tokens": lambda: LAB.tokens(TEXT),
    "views.writing.writing.Writing": lambda: LAB.write(TEXT),
    "views.logit_lens.LogitLens": lambda: LAB.lens(TEXT),
    "views.ablation.Ablation": lambda: LAB.ablate(TEXT, "h.2.attn.mixed", head=3),
    "views.receipt.ReceiptTable": lambda: LAB.receipt(TEXT),
    "views.attribution.TokenAttribution": lambda: LAB.attribution(TEXT),
}
OPEN = {  # by the start of its name
    "config.BloomConfig": "a config.json may hold keys that nobody knows, and transformers takes them as attributes",
    "jax.": "as the models in torch, on which whoever builds sets what they like",
    "outputs.": "as those of transformers, which code that was written for it adds to",
    "text.encoding.BatchEncoding": "a dictionary, as in transformers",
}


def names_of(thing: Any) -> list[str]:
    """What a person can set of it."""
    found = list(thing.traits()) if hasattr(thing, "traits") else list(thing.__dict__)
    return [name for name in found if not name.startswith("_") and len(name) > 3]


@pytest.mark.parametrize("name", MADE)
def test_a_misspelt_attribute_is_refused_with_the_right_one(name: str) -> None:
    thing = MADE[name]()
    for right in names_of(thing):
        wrong = right[:1] + right[2:]  # lyer
        if hasattr(thing, wrong):
            continue
        with pytest.raises(AttributeError, match=f"{wrong}.*did you mean.*{right}"):
            setattr(thing, wrong, 2)
        assert wrong not in vars(thing)
    with pytest.raises(AttributeError, match=r"no 'something'"):
        thing.something = 1


@pytest.mark.parametrize("panel", LAB.explore(TEXT).panels)
def test_so_is_a_misspelt_setting_of_a_panel(panel: str) -> None:
    shown = getattr(LAB.explore(TEXT), panel)
    for right in shown._panel.settings():
        with pytest.raises(AttributeError, match=f"did you mean '{right}'"):
            setattr(shown, right[:1] + right[2:], 2)


def test_every_public_class_refuses_is_frozen_or_is_said_to_be_open() -> None:
    silent = []
    public = [(home, name) for section in CONTENTS.values() for home, names in section.items() for name in names]
    assert len(public) > 100
    for home, name in public:
        kind = getattr(importlib.import_module(f"bloomlab.{home}"), name, None)
        if not isinstance(kind, type) or issubclass(kind, BaseException | str | tuple):
            continue
        frozen = getattr(kind, "__dataclass_params__", None) is not None and kind.__dataclass_params__.frozen
        refuses = kind.__setattr__ is not object.__setattr__
        if not (frozen or refuses or hasattr(kind, "__slots__") or f"{home}.{name}".startswith(tuple(OPEN))):
            silent.append(f"{home}.{name}")
    assert silent == []
