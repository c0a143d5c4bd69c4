"""What the README shows is what happens."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from bloomlab.cli import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_prints_what_the_readme_says() -> None:
    (example, output) = re.findall(r"```python\n(.*?)```\n.*?```text\n(.*?)```", README, re.DOTALL)[0]
    assert len(example.splitlines()) <= 12
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert printed.getvalue() == output


def test_the_map_has_a_line_for_every_folder() -> None:
    (drawn,) = re.findall(r"```\n(bloomlab/\n.*?)```", README, re.DOTALL)
    lines = drawn.splitlines()
    folders = {f"{path.parent.name}/" for path in (ROOT / "bloomlab").glob("[a-z]*/*.py")}
    assert {line.split()[0] for line in lines if line.startswith("  ")} == folders
    for line in lines:
        if not line.startswith("  "):
            assert (ROOT / line.split()[0]).is_dir(), line


def test_the_map_names_every_file_beside_the_folders() -> None:
    (listed,) = re.findall(r"^Beside these rooms .*?\n\n", README, re.DOTALL | re.MULTILINE)
    files = {path.stem for path in (ROOT / "bloomlab").glob("[a-z]*.py")}
    assert files == set(re.findall(r"`(\w+)`", listed))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/teaching.md", "docs/measured.md"])
def test_every_make_that_a_page_names_is_there(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^    )make ([\w-]+)", text, re.MULTILINE))
    assert named and all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named), named


def test_what_make_help_names_is_what_make_has_each_with_one_rule() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    helped = re.findall(r"^# make ([\w-]+)", makefile, re.MULTILINE) + re.findall(r"\(make ([\w-]+): ", makefile)
    assert sorted(rules) == sorted(phony.split())
    assert set(rules) - {"help", "format", "chromium"} == set(helped)


def test_every_command_of_the_terminal_is_one() -> None:
    lines = re.findall(r"^    (?:\.venv.Scripts.)?bloomlab (\w+)(.*)$", README, re.MULTILINE)
    assert len(lines) == 11
    for name, rest in lines:
        cli.commands[name].make_context(name, shlex.split(rest, comments=True))  # raises what a terminal would say


def test_each_heading_stands_once() -> None:
    headings = re.findall(r"^## .+", README, re.MULTILINE)
    assert len(headings) == len(set(headings))
