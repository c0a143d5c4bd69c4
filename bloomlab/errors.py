"""The errors a person can cause, as one family.

BloomlabError                the family: catch this to catch them all
├── InputError               a text, ids, a mask or an argument does not fit (also a ValueError)
├── ConfigError              a config.json or a BloomConfig does not describe a BLOOM (also a ValueError)
├── CheckpointError          files of weights are missing, broken or of another model (also an OSError)
├── DownloadError            offline, no such model, not allowed, a broken file or no space (also an OSError)
├── TokenizerError           files of a tokenizer are missing, broken or not BLOOM's (also a ValueError)
├── HookError                a spot does not exist, or an edit does not fit its tensor (also a ValueError)
├── GenerationError          a generation setting makes no sense, or the logits are not finite (also a ValueError)
├── MemoryLimitError         this machine cannot hold what was asked for (also a MemoryError)
├── PartsError               a process that holds a part of a model failed, is gone or hangs (also a RuntimeError)
└── MissingPackageError      a part of bloomlab needs a package that is not installed (also an ImportError)

Every message says what was expected, what came (with the numbers) and what to do.
"""

from abc import ABCMeta
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

LONGEST = 400  # characters of a message


class BloomlabError(Exception):
    r"""The family: catch this to catch every error of this package.

    A message has at most 400 characters, whatever it quotes: of a longer one the middle is left out, for its end says
    what to do. Half a character, which no screen and no file takes, is written as Python would.

    >>> str(BloomlabError("cannot read \ud800"))
    'cannot read \\ud800'
    """

    def __init__(self, message: object = "", *more: object) -> None:
        text = str(message).encode("utf-8", "backslashreplace").decode()
        if len(text) > LONGEST:
            text = f"{text[: LONGEST - 133]} … {text[-130:]}"
        super().__init__(text, *more)


class InputError(BloomlabError, ValueError):
    """A text, ids, a mask or an argument does not fit."""


class ConfigError(BloomlabError, ValueError):
    """A configuration does not describe a BLOOM."""


class CheckpointError(BloomlabError, OSError):
    """Files of weights are missing, broken or of another model."""


class DownloadError(BloomlabError, OSError):
    """A model could not be fetched from the hub: offline, no such model, not allowed, a broken file, or no space."""


class TokenizerError(BloomlabError, ValueError):
    """Files of a tokenizer are missing, broken or not BLOOM's."""


class HookError(BloomlabError, ValueError):
    """A spot does not exist, or an edit does not fit its tensor."""


class GenerationError(BloomlabError, ValueError):
    """A generation setting makes no sense, or the logits are not finite; then `.ids` is what was written so far."""

    def __init__(self, message: str, ids: Any = None) -> None:
        super().__init__(message)
        self.ids = ids


class MemoryLimitError(BloomlabError, MemoryError):
    """This machine cannot hold what was asked for."""


class PartsError(BloomlabError, RuntimeError):
    """A process that holds a part of the model failed, is gone or does not answer."""


class MissingPackageError(BloomlabError, ImportError):
    """A part of bloomlab needs a package that is not installed."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The end of an error about an unknown name: names like it, or nothing.

    >>> did_you_mean("h.0.attn.prob", ["h.0.attn.probs", "embed"])
    "; did you mean 'h.0.attn.probs'?"
    >>> did_you_mean("xyz", ["h.0.attn.probs", "embed"])
    ''
    """
    near = get_close_matches(str(name), list(candidates), n=3, cutoff=0.6) if len(str(name)) <= LONGEST else []
    return f"; did you mean {' or '.join(repr(match) for match in near)}?" if near else ""


def check_attribute(thing: object, name: str, settable: Iterable[str]) -> None:
    """Refuse to set an attribute that an object does not have: a misspelt name would change nothing, in silence.

    Raises:
        AttributeError: with names like it.
    """
    if not (name.startswith("_") or name in thing.__dict__ or hasattr(type(thing), name)):
        raise AttributeError(f"{type(thing).__name__} has no {shorten(name)} to set{did_you_mean(name, settable)}")


def no_attribute(owner: object, name: str, more: Iterable[str] = ()) -> str:
    """The message about a name that an object does not have, with its public names that are like it.

    >>> no_attribute("a text", "stripp")
    "a str has no 'stripp'; did you mean 'strip' or 'rstrip' or 'lstrip'?"
    """
    if name.startswith("_"):  # programs ask for these, by the hundred; nobody has misspelt one
        return f"a {type(owner).__name__} has no {shorten(name)}"
    if name in (elsewhere := getattr(type(owner), "_elsewhere", {})):  # what other libraries call it
        return f"a {type(owner).__name__} has no {shorten(name)}; here that is {elsewhere[name]}"
    names = [*dir(type(owner)), *getattr(owner, "__dict__", ()), *more]
    names = [each for each in names if not each.startswith("_")]
    return f"a {type(owner).__name__} has no {shorten(name)}{did_you_mean(name, dict.fromkeys(names))}"


class _Made(ABCMeta):
    """Marks an object once it is made: from then on it takes no new names."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        thing = super().__call__(*args, **kwargs)
        thing.__dict__["_made"] = True
        return thing


class NearMatches:
    """An object that names what it has when it is asked for what it does not have.

    `_elsewhere` says what does here what a name of another library does there (see bloomlab/elsewhere.py).
    """

    _elsewhere: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:  # for a type checker such a name is an error

        def __getattr__(self, name):
            raise AttributeError(no_attribute(self, name))


class NearNames(NearMatches, metaclass=_Made):
    """The same of an object that takes no new names either: a misspelt one would change nothing, in silence."""

    def __setattr__(self, name: str, value: object) -> None:
        if "_made" in self.__dict__:
            check_attribute(self, name, [each for each in self.__dict__ if not each.startswith("_")])
        super().__setattr__(name, value)


def shorten(value: object, limit: int = 80) -> str:
    """A value as an error message shows it: cut short, since a file or a person may have sent something huge."""
    try:
        text = repr(value[: limit + 1] if isinstance(value, str | bytes | bytearray) else value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists in lists
        text = f"a value of the type {type(value).__name__} that is too long to show"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shorten_path(path: object, limit: int = 160) -> str:
    """A path as an error message shows it: its end, which tells one file from another, with what cannot be printed
    written as Python would.

    >>> shorten_path("a/b"), shorten_path("a" * 200 + "/b", 9)
    ('a/b', '…aaaaaa/b')
    """
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(path))
    return text if len(text) <= limit else "…" + text[len(text) - limit + 1 :]
