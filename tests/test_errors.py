"""One family of errors: each is also the Python error that a caller would expect."""

import importlib
import inspect
from typing import Any

import pytest

import bloomlab
from bloomlab import errors
from bloomlab.errors import BloomlabError, GenerationError, did_you_mean
from bloomlab.hooks import Hooks
from bloomlab.lens.refute import Refutation
from docs.make_api import CONTENTS

ALSO = {
    "InputError": ValueError,
    "ConfigError": ValueError,
    "CheckpointError": OSError,
    "DownloadError": OSError,
    "TokenizerError": ValueError,
    "HookError": ValueError,
    "GenerationError": ValueError,
    "MemoryLimitError": MemoryError,
    "PartsError": RuntimeError,
    "MissingPackageError": ImportError,
}


def test_nothing_is_looked_for_that_only_programs_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A widget is asked for names with an underscore at every assignment, so this must cost nothing."""
    lab = bloomlab.load()
    view = lab.explore()
    monkeypatch.setattr("bloomlab.errors.get_close_matches", lambda *_, **__: pytest.fail("it was looked for"))
    assert not hasattr(lab, "_nothing") and not hasattr(view, "_nothing")
    view.layer, view.tab = 1, "hidden"


def test_every_error_of_the_module_is_in_the_family_and_in_the_drawn_tree() -> None:
    found = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and name.endswith("Error")}
    assert found.keys() == {"BloomlabError", *ALSO}
    for name, kind in found.items():
        assert issubclass(kind, BloomlabError)
        assert name in (errors.__doc__ or "")


@pytest.mark.parametrize(("name", "builtin"), ALSO.items())
def test_an_error_can_be_caught_as_pythons_own(name: str, builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="what came"):
        raise getattr(errors, name)("what came")


def test_a_generation_error_carries_what_was_written_so_far() -> None:
    assert GenerationError("stopped").ids is None
    assert GenerationError("stopped", [1, 2]).ids == [1, 2]


def test_near_matches_come_nearest_first_and_at_most_three() -> None:
    assert did_you_mean("h.0.attn.prob", [f"h.{i}.attn.probs" for i in range(9)]).count("'") == 2 * 3
    assert did_you_mean("probs", ["scores", "mixed"]) == ""
    assert did_you_mean("top_p", ["top_k", "seed", "top_p2"]) == "; did you mean 'top_p2' or 'top_k'?"


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in ALSO])
def test_no_message_is_longer_than_400_characters(kind: type[BloomlabError]) -> None:
    long = f"expected a text, but got {'x' * 10_000}; shorten it"
    assert len(str(kind(long))) == 400
    assert str(kind(long)).startswith("expected a text") and str(kind(long)).endswith("; shorten it")
    assert str(kind("short")) == "short"


@pytest.mark.slow
def test_every_public_object_knows_names_like_the_one_that_is_asked_for() -> None:
    lab = bloomlab.load()
    trace, view = lab.trace("Leo", read="*"), lab.explore("Leo")
    wrong: list[tuple[Any, str, str]] = [
        *((bloomlab, "lod", "load"), (lab, "attenton", "attention"), (lab.tokenizer, "encod", "encode")),
        *((trace, "tokns", "tokens"), (view, "attenton", "attention"), (view, "sav", "save")),
        *((view.attention, "layr", "layer"), (lab.attention("Leo"), "tracce", "trace")),
        *((lab.tokens("Leo"), "idz", "ids"), (lab.lens("Leo"), "word", "words")),
        *((lab.ablate("Leo", "h.0.mlp.out"), "efect", "effect"), (Hooks(), "reed", "read")),
        (lab.model.config, "hidden_siz", "hidden_size"),
    ]
    for owner, name, near in wrong:
        with pytest.raises(AttributeError, match=rf"{name}.*did you mean .*'{near}'"):
            getattr(owner, name)
        assert not hasattr(owner, "_repr_nothing_")
    encoding, long = lab.tokenizer("Leo"), "layer" * 2_000
    several = {f"{panel}": getattr(view, panel) for panel in ("attention", "hidden", "predictions", "tokens")}
    owners = [owner for owner, *_ in wrong] + [encoding, bloomlab.tiny, *several.values()]
    for owner in owners:
        for name in (long, f"_{long}", "é" * 70 + "layer"):
            with pytest.raises(AttributeError) as caught:
                getattr(owner, name)
            assert len(str(caught.value)) <= 400, (owner, str(caught.value)[:100])
    for panel in several.values():
        with pytest.raises(AttributeError) as caught:
            setattr(panel, long, 1)
        assert len(str(caught.value)) <= 400


def test_every_public_class_has_near_matches() -> None:
    """But for plain rows, which are tuples, and what belongs to JAX."""
    without = []
    for section, modules in CONTENTS.items():
        for module, names in modules.items() if section not in ("In JAX", "Errors") else ():
            for name in names:
                kind = getattr(importlib.import_module(f"bloomlab.{module}"), name)
                if isinstance(kind, type) and not hasattr(kind, "__getattr__") and not hasattr(kind, "_fields"):
                    without.append(name)
    assert without == []
    with pytest.raises(AttributeError, match="a Refutation has no 'sentense'; did you mean 'sentence'"):
        attribute = "sentense"
        getattr(Refutation("", "", "", "", 0, 0, (), {}), attribute)
