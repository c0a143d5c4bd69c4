"""`%bloom` parses a line, calls one method of the lab and returns what it returned."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import bloomlab
from bloomlab import load_ipython_extension, unload_ipython_extension
from bloomlab.errors import GenerationError
from bloomlab.lab import Lab
from bloomlab.notebook import magics
from bloomlab.notebook.commands import COMMANDS, overview
from tests.notebook.echo_lab import EchoLab
from tests.tiny_random import byte_tokenizer, random_model


@pytest.fixture(scope="module")
def ipython(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """IPython, without its history file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        patch.setattr("IPython.core.history.HistoryManager.enabled", False)
        yield InteractiveShell.instance()
        InteractiveShell.clear_instance()


@pytest.fixture
def shell(ipython: InteractiveShell) -> Iterator[InteractiveShell]:
    """IPython with `%bloom` in it, and a lab that only echoes."""
    load_ipython_extension(ipython)
    ipython.magics_manager.registry["BloomMagics"].lab = EchoLab()
    yield ipython
    unload_ipython_extension(ipython)
    for name in ("story", "name", "generous"):
        ipython.user_ns.pop(name, None)


def run(shell: InteractiveShell, code: str) -> Any:
    """Run a cell as a notebook does, with all of IPython's own rewriting, and give its result."""
    return shell.run_cell(code, store_history=False).result


HOSTILE = [
    "{__import__('os').abort()}",
    "$name and ${nothing} and {nothing}",
    "don't",
    "l'été",
    'an "unbalanced quote',
    "two  spaces\tand a tab",
    "Where does Leo live?",
    "Really??",
    "<img src=x onerror=alert(1)>",
    "</script>",
    "a\u202eb\u200b",
    "back\\slash \\n",
    "100 % --seed 3 --name",
    "# not a comment",
    "\N{GRINNING FACE} é अ 世",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_text_of_a_line_arrives_untouched(shell: InteractiveShell, text: str) -> None:
    shell.user_ns["name"] = "expanded"
    assert run(shell, f"%bloom tokens {text}") == ("tokens", text, {})


@pytest.mark.parametrize("text", [*HOSTILE, "--seed 3", "-o name", "  indented", "two\n\nlines", '"quoted"', "!ls"])
def test_the_text_of_a_cell_arrives_untouched(shell: InteractiveShell, text: str) -> None:
    assert run(shell, f"%%bloom tokens\n{text}") == ("tokens", text, {})


def test_a_text_that_begins_with_a_dash_follows_two_dashes(shell: InteractiveShell) -> None:
    assert run(shell, "%bloom tokens -- -5 degrees") == ("tokens", "-5 degrees", {})


def test_a_result_can_be_kept_under_a_name(shell: InteractiveShell) -> None:
    result = run(shell, "%bloom generate -o story --seed 1 Leo")
    assert shell.user_ns["story"] is result


def test_code_shows_python_that_makes_the_same_call(shell: InteractiveShell) -> None:
    code = run(shell, '%%bloom generate --code --seed 1 -o story\nLeo\'s "house"\n{x}')
    assert repr(code) == str(code) and "story" not in shell.user_ns
    names: dict[str, Any] = {}
    exec(code.replace("lab = bloomlab.load()", "lab = EchoLab()"), {"EchoLab": EchoLab}, names)
    assert names["story"] == ("generate", 'Leo\'s "house"\n{x}', {"seed": 1, "do_sample": True})


def test_bloom_alone_is_help(shell: InteractiveShell) -> None:
    assert run(shell, "%bloom") == run(shell, "%bloom help") == overview()
    assert run(shell, "%bloom generate -h") == run(shell, "%bloom help generate") == overview("generate")


@pytest.mark.parametrize("line", ["explroe Leo", "tokens", "tokens --seed 3 Leo", "help tokns", "load /no/such/folder"])
def test_a_mistake_is_a_usage_error_of_one_line(shell: InteractiveShell, line: str) -> None:
    with pytest.raises(UsageError, match=r"^%bloom") as caught:
        shell.run_line_magic("bloom", line)
    assert "\n" not in str(caught.value)


def test_after_load_all_lines_use_the_other_model(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    other = EchoLab()
    other.code = "lab = bloomlab.load('560m')"
    monkeypatch.setattr("bloomlab.load", lambda *names, **options: other)
    assert run(shell, "%bloom load -o name 560m") is other is shell.user_ns["name"]
    assert shell.magics_manager.registry["BloomMagics"].lab is other
    assert run(shell, "%bloom tokens --code Leo") == f"import bloomlab\n\n{other.code}\nlab.tokens('Leo')"


def test_a_model_that_cannot_be_opened_leaves_the_one_before(shell: InteractiveShell) -> None:
    before = shell.magics_manager.registry["BloomMagics"].lab
    with pytest.raises(UsageError, match=r"^%bloom load: "):
        shell.run_line_magic("bloom", "load -o name no/such/folder/here")
    assert shell.magics_manager.registry["BloomMagics"].lab is before and "name" not in shell.user_ns


def test_an_error_of_bloomlab_is_shown_in_one_line_without_a_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    def generate(text: str, **settings: Any) -> None:
        raise GenerationError("temperature is -1.0; it must be 0 or more")

    shell.magics_manager.registry["BloomMagics"].lab.generate = generate
    run(shell, "%bloom generate -o story --temperature -1 Leo")
    shown = capsys.readouterr()
    assert (shown.out + shown.err).strip() == ("UsageError: %bloom generate: temperature is -1.0; it must be 0 or more")
    assert "story" not in shell.user_ns


def completions(shell: InteractiveShell, text: str) -> list[str]:
    with provisionalcompleter():
        return sorted(item.text for item in shell.Completer.completions(text, len(text)))


@pytest.mark.parametrize(
    "typed, words",
    [
        ("%bloom ", sorted(COMMANDS)),
        ("%bloom ge", ["generate"]),
        ("%%bloom to", ["tokens"]),
        ("%bloom generate --t", ["--temperature", "--top-k", "--top-p"]),
        ("%bloom generate --seed 1 --top-k", ["--top-k"]),
        ("%bloom tokens --", ["--code", "--help"]),
        ("%bloom load --dtype bf", ["bfloat16"]),
    ],
)
def test_tab_completes_sub_commands_and_options(shell: InteractiveShell, typed: str, words: list[str]) -> None:
    assert completions(shell, typed) == words


def test_tab_after_spot_completes_the_spots_of_the_open_model(shell: InteractiveShell) -> None:
    shell.magics_manager.registry["BloomMagics"].lab = Lab(random_model(), byte_tokenizer())
    assert completions(shell, "%bloom ablate --spot h.2.attn.m") == ["h.2.attn.mixed"]


@pytest.mark.slow
def test_completion_leaves_other_cells_alone(shell: InteractiveShell) -> None:
    shell.user_ns["generous"] = 1
    assert "generous" in completions(shell, "gener")
    matcher = shell.magics_manager.registry["BloomMagics"].complete
    other = CompletionContext(token="ge", full_text="x = ge", cursor_position=6, cursor_line=0, limit=None)
    assert matcher(other)["suppress"] is False


def test_loading_twice_adds_everything_once_and_unloading_removes_it(shell: InteractiveShell) -> None:
    load_ipython_extension(shell)
    assert [matcher.__name__ for matcher in shell.Completer.custom_matchers].count("complete") == 1
    assert shell.input_transformers_cleanup.count(magics.as_typed) == 1
    unload_ipython_extension(shell)
    assert "complete" not in [matcher.__name__ for matcher in shell.Completer.custom_matchers]
    assert magics.as_typed not in shell.input_transformers_cleanup
    assert shell.find_line_magic("bloom") is None and shell.find_cell_magic("bloom") is None
    unload_ipython_extension(shell)  # once more changes nothing


def test_question_marks_still_ask_ipython_for_help(shell: InteractiveShell) -> None:
    assert "pinfo" in shell.transform_cell("%bloom?")
    assert "pinfo" in shell.transform_cell("load?")


def test_the_lab_is_loaded_at_the_first_use_and_kept(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    labs: list[EchoLab] = []

    def load() -> EchoLab:
        labs.append(EchoLab())
        return labs[-1]

    monkeypatch.setattr("bloomlab.lab.load", load)
    shell.magics_manager.registry["BloomMagics"].lab = None
    run(shell, "%bloom")
    assert labs == []
    run(shell, "%bloom tokens Leo")
    run(shell, "%bloom tokens Oslo")
    assert len(labs) == 1


@pytest.mark.slow
def test_every_example_runs_on_the_embedded_model(shell: InteractiveShell) -> None:
    shell.magics_manager.registry["BloomMagics"].lab = bloomlab.load()
    results = {name: run(shell, f"%bloom {name} {command.example}") for name, command in COMMANDS.items()}
    assert all(result is not None for result in results.values())
    assert results["explore"].text == results["attention"].text == "Leo lives in Oslo."
    assert run(shell, "%bloom explore --level first Leo lives in Oslo.").attention.level == "first"
    assert "".join(token.text for token in results["tokens"]) == "Léa habite à Paris."
    assert results["generate"].startswith("Leo lives in ")
    assert results["ask"].question == "Where does Leo live?" and results["ask"].context == "Leo lives in Oslo."
    assert results["ablate"].edit == "zero(head=3)"
    assert len(results["lens"].tokens) == len("Leo lives in Oslo".split()) + 1
    assert results["load"] is shell.magics_manager.registry["BloomMagics"].lab
    drawn = [run(shell, f"%bloom generate --temperature 0.9 --seed {seed} Leo lives in") for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_variable_in_braces_is_its_text(shell: InteractiveShell) -> None:
    shell.user_ns["story"] = "Leo lives in Oslo."
    for line in ("tokens {story}", 'tokens "{story}"', "tokens -- {story}"):
        said = run(shell, f"%bloom {line}")
        assert "Leo lives in Oslo." in repr(said) and "{story}" not in repr(said)
    said = run(shell, '%bloom ask "Where does Leo live?" {story}')
    assert said == ("answer", "Where does Leo live?", "Leo lives in Oslo.", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{stroy}", "there is no variable 'stroy' here; did you mean 'story'"),
        ("{several}", "several holds a list, not a text"),
        ("{story} and more", "{story} is a variable here, but stands among other words"),
    ],
)
def test_braces_that_may_mean_a_variable_are_not_guessed_at(shell: InteractiveShell, text: str, message: str) -> None:
    shell.user_ns.update(story="Leo lives in Oslo.", several=["a", "b"])
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        shell.run_line_magic("bloom", f"tokens {text}")
    assert "%%bloom takes braces as they stand" in str(caught.value) and "\n" not in str(caught.value)
    assert text in repr(run(shell, f"%%bloom tokens\n{text}"))


@pytest.mark.parametrize(
    "text", ["{__name__.upper()}", "{story[0]}", "{0}", "{}", "{a b}", "$story", "{unknown} and more"]
)
def test_nothing_else_in_braces_is_anything(shell: InteractiveShell, text: str) -> None:
    shell.user_ns["story"] = "Leo lives in Oslo."
    assert text in repr(run(shell, f"%bloom tokens {text}"))


def test_a_terminal_shows_a_text_as_it_is_written_and_once(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="random")
    shell.magics_manager.registry["BloomMagics"].lab = lab
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    line = "%bloom generate -o story --max-new-tokens 6 --seed 3 Leo"
    result = run(shell, line)
    expected = lab.generate("Leo", max_new_tokens=6, do_sample=True, seed=3)
    shown = capsys.readouterr().out
    assert shown.startswith(f"{expected}\n") and shown.count(expected) == 1 and "(the text above)" in shown
    assert result == expected == shell.user_ns["story"] and isinstance(result, str)
    pieces = iter(["Leo", " li"])

    def interrupted(text: str, **settings: Any) -> Iterator[str]:
        yield from pieces
        raise KeyboardInterrupt

    monkeypatch.setattr(lab, "stream", interrupted)
    with pytest.warns(UserWarning, match="interrupted; here is what was written"):
        assert run(shell, line) == "Leo li"
