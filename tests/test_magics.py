"""`%bloom` parses a line, calls one method of the lab and returns what it returned."""

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import CompletionContext, provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from bloomlab import load_ipython_extension, magics, unload_ipython_extension
from bloomlab.errors import GenerationError


class EchoLab:
    """A lab that answers with the call it got."""

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        return lambda text, **options: (method, text, options)


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


@pytest.mark.parametrize(
    "name, method",
    [("explore", "explore"), ("tokens", "tokens"), ("attention", "explore"), ("generate", "generate")],
)
def test_each_sub_command_calls_one_method_of_the_lab(shell: InteractiveShell, name: str, method: str) -> None:
    assert run(shell, f"%bloom {name} Leo lives in Oslo.") == (method, "Leo lives in Oslo.", {})


def test_options_reach_the_lab_as_numbers(shell: InteractiveShell) -> None:
    line = "%bloom generate --max-new-tokens 5 --temperature=0.7 --top-k 3 --top-p .9 --seed -1 Leo"
    wanted = {"max_new_tokens": 5, "temperature": 0.7, "top_k": 3, "top_p": 0.9, "seed": -1, "do_sample": True}
    assert run(shell, line) == ("generate", "Leo", wanted)


HOSTILE = [
    "{__import__('os').abort()}",
    "$name and ${name} and {name}",
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
    "100 % --seed 3 -o name",
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


def test_bloom_alone_lists_every_sub_command_with_an_example_that_runs(shell: InteractiveShell) -> None:
    page = run(shell, "%bloom")
    for name, command in magics.COMMANDS.items():
        example = f"%bloom {name} {command.example}"
        assert example in page
        assert run(shell, example)[0] == command.method


def test_help_lists_the_options(shell: InteractiveShell) -> None:
    page = run(shell, "%bloom generate -h")
    assert all(option in page for option, _, _ in magics.COMMANDS["generate"].options)
    assert "usage: %bloom generate [options] text" in page


@pytest.mark.parametrize(
    "line, words",
    [
        ("explroe Leo", "no 'explroe'; did you mean 'explore'"),
        ("Leo lives in Oslo.", "no 'Leo'.*it has explore, tokens, attention, generate"),
        ("tokens", "there is no text; try %bloom tokens"),
        ("generate --sead 3 Leo", "no option '--sead'; did you mean '--seed'"),
        ("generate --seed x Leo", "--seed: invalid int value: 'x'"),
        ("generate --seed", "--seed: expected one argument"),
        ("tokens --seed 3 Leo", "no option '--seed'"),
        ("tokens -o 3x Leo", "-o needs a name for a Python variable, and got '3x'"),
        ("tokens -o class Leo", "-o needs a name"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(shell: InteractiveShell, line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        shell.run_line_magic("bloom", line)
    assert "\n" not in str(caught.value)


def test_a_text_both_on_the_line_and_in_the_cell_is_a_mistake(shell: InteractiveShell) -> None:
    with pytest.raises(UsageError, match="put all of it in the cell"):
        shell.run_cell_magic("bloom", "tokens Leo", "lives")


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
    "typed, found",
    [
        ("%bloom ", ["attention", "explore", "generate", "tokens"]),
        ("%bloom ge", ["generate"]),
        ("%%bloom to", ["tokens"]),
        ("%bloom generate --t", ["--temperature", "--top-k", "--top-p"]),
        ("%bloom generate --seed 1 --top-k", ["--top-k"]),
        ("%bloom tokens --", ["--code", "--help"]),
    ],
)
def test_tab_completes_sub_commands_and_options(shell: InteractiveShell, typed: str, found: list[str]) -> None:
    assert completions(shell, typed) == found


def test_completion_leaves_other_cells_alone(shell: InteractiveShell) -> None:
    shell.user_ns["generous"] = 1
    assert "generous" in completions(shell, "gener")
    matcher = shell.magics_manager.registry["BloomMagics"].complete
    other = CompletionContext(token="ge", full_text="x = ge", cursor_position=6, cursor_line=0, limit=None)
    assert matcher(other)["suppress"] is False


def test_loading_twice_adds_everything_once_and_unloading_removes_it(shell: InteractiveShell) -> None:
    load_ipython_extension(shell)
    assert [matcher.__name__ for matcher in shell.Completer.custom_matchers].count("complete") == 1
    assert shell.input_transformers_cleanup.count(magics.keep_question_marks) == 1
    unload_ipython_extension(shell)
    assert "complete" not in [matcher.__name__ for matcher in shell.Completer.custom_matchers]
    assert magics.keep_question_marks not in shell.input_transformers_cleanup
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
    shell.magics_manager.registry["BloomMagics"].lab = None
    results = {name: run(shell, f"%bloom {name} {command.example}") for name, command in magics.COMMANDS.items()}
    assert results["explore"].text == results["attention"].text == "Leo lives in Oslo."
    assert "".join(token.text for token in results["tokens"]) == "Léa habite à Paris."
    assert results["generate"].startswith("Leo lives in ")
    drawn = [run(shell, f"%bloom generate --temperature 0.9 --seed {seed} Leo lives in") for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
