"""One family of errors: each is also the Python error that a caller would expect."""

import inspect

import pytest

from bloomlab import errors
from bloomlab.errors import BloomlabError, GenerationError, did_you_mean

ALSO = {
    "InputError": ValueError,
    "ConfigError": ValueError,
    "CheckpointError": OSError,
    "DownloadError": OSError,
    "TokenizerError": ValueError,
    "HookError": ValueError,
    "GenerationError": ValueError,
    "MemoryLimitError": MemoryError,
    "MissingPackageError": ImportError,
}


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
