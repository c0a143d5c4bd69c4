"""The table of `%bloom` against the lab and against its own help: none has what the others lack."""

import inspect
from importlib import import_module
from typing import Any

import pytest

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.notebook.commands import COMMANDS, Command, Page, overview

NOT_FOR_A_LINE = {
    *("trace", "fits", "stream"),  # tensors and pieces are for Python; `%bloom info` says what fits
    "lengths",  # of several models
    *("refute", "keep", "without", "cases", "like", "direction", "finding"),  # edits, and several texts
}


def function(command: Command) -> Any:
    owner, _, name = command.call.rpartition(".")
    return getattr(Lab if owner == "lab" else import_module(owner), name)


def test_every_verb_of_the_lab_has_a_sub_command_and_the_other_way_round() -> None:
    verbs = {name for name, verb in vars(Lab).items() if inspect.isroutine(verb) and not name.startswith("_")}
    called = {command.call.removeprefix("lab.") for command in COMMANDS.values() if command.call.startswith("lab.")}
    assert called == verbs - NOT_FOR_A_LINE


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_sub_command_calls_takes_its_text_and_its_options(name: str) -> None:
    command = COMMANDS[name]
    verb = vars(Lab).get(command.call.removeprefix("lab."))
    lab_argument = [] if verb is None or isinstance(verb, staticmethod) else ["lab"]
    words = {"text": 1, "question text": 2, "[name]": 1, "": 0}[command.takes]
    options = {option.flag.removeprefix("--").replace("-", "_"): 1 for option in command.options}
    signature = inspect.signature(function(command))
    signature.bind(*lab_argument, *["x"] * words, **options)  # raises TypeError where they differ
    if command.takes == "[name]":
        signature.bind(*lab_argument, **options)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_does_what_it_calls_and_lists_the_options(name: str) -> None:
    command = COMMANDS[name]
    page = overview(name)
    assert f"usage: %bloom {name} [options] {command.takes}".rstrip() in page
    words = " ".join(page.split())
    assert command.help in words and f"{command.call}(" in words
    assert all(option.flag in page and option.help in words for option in command.options)


def test_the_overview_lists_every_sub_command_with_an_example_in_lines_that_fit() -> None:
    page = overview()
    assert isinstance(page, Page) and repr(page) == str(page)
    for name, command in COMMANDS.items():
        assert f"  %bloom {name} {command.example}".rstrip() in page and command.help in page
    assert max(map(len, page.splitlines())) <= 120


def test_help_about_nothing_that_exists_suggests_a_name() -> None:
    with pytest.raises(InputError, match="%bloom has no 'tokns'; did you mean 'tokens'"):
        overview("tokns")
