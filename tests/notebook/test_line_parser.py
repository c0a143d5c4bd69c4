"""A line of `%bloom` becomes one call; a mistake in it is one line that says what to do."""

import contextlib
import time
from typing import Any

import pytest

from bloomlab.errors import InputError
from bloomlab.notebook.commands import COMMANDS, Command
from bloomlab.notebook.line_parser import complete, parse
from bloomlab.notebook.magics import as_typed
from bloomlab.views.attention.panel import LEVELS
from tests.notebook.echo_lab import EchoLab


@pytest.mark.parametrize(
    "line, call",
    [
        ("explore Leo lives in Oslo.", ("explore", "Leo lives in Oslo.", {})),
        ("explore --level first Leo lives", ("explore", "Leo lives", {"level": "first"})),
        ("hidden Leo", ("hidden_states", "Leo", {})),
        ("lens --top 3 Leo", ("lens", "Leo", {"top": 3})),
        (
            "ablate --spot h.2.attn.mixed --head 3 Leo lives",
            ("ablate", "Leo lives", {"spot": "h.2.attn.mixed", "head": 3}),
        ),
        ("ablate --spot=mlp.out --pos 0,2 Leo", ("ablate", "Leo", {"spot": "mlp.out", "pos": [0, 2]})),
        ("generate --seed 1 Leo", ("generate", "Leo", {"seed": 1, "do_sample": True})),
        (
            'predict --question "Where does Leo live?" Leo lives',
            ("predictions", "Leo lives", {"question": "Where does Leo live?"}),
        ),
        ("generate --max-new-tokens 3 Leo", ("generate", "Leo", {"max_new_tokens": 3})),
        ("ask Where does Leo live? Leo lives in Oslo.", ("answer", "Where does Leo live?", "Leo lives in Oslo.", {})),
        ("info", ("info", {})),
        ("info 7b1", ("info", "7b1", {})),
    ],
)
def test_a_line_is_one_call_of_the_lab(line: str, call: Any) -> None:
    parsed = parse(line)
    assert parsed.run(EchoLab()) == call
    opened = parsed.python("lab = EchoLab()").replace("import bloomlab\n", "")
    *setup, last = opened.splitlines()
    names = {"EchoLab": EchoLab}
    exec("\n".join(setup), names)
    assert eval(last, names) == call  # the Python that is shown makes the same call


@pytest.mark.parametrize(
    "line, cell, arguments",
    [
        ("tokens", "  Leo lives\n\nin Oslo.  \n", ["  Leo lives\n\nin Oslo.  "]),
        ("tokens", "--code -o name", ["--code -o name"]),
        ("ask Où habite Leo ?", "Leo habite à Oslo. Et toi ?\n", ["Où habite Leo ?", "Leo habite à Oslo. Et toi ?"]),
        ("ask", "Where does Leo live\nin Oslo?", ["Where does Leo live", "in Oslo?"]),
        ("ask", "أين يعيش ليو؟ يعيش ليو في أوسلو.", ["أين يعيش ليو؟", "يعيش ليو في أوسلو."]),
        ("info", "  7b1 \n", ["7b1"]),
    ],
)
def test_the_body_of_a_cell_is_the_text(line: str, cell: str, arguments: list[str]) -> None:
    assert parse(line, cell).arguments == arguments


@pytest.mark.parametrize(
    "line, opening",
    [
        ("load", "lab = bloomlab.load()"),
        ("load -o big --dtype bfloat16 560m", "big = bloomlab.load('560m', dtype='bfloat16')"),
        ("load my models/the first", "lab = bloomlab.load('my models/the first')"),
    ],
)
def test_opening_a_model_is_shown_as_python(line: str, opening: str) -> None:
    assert parse(line).python("lab = bloomlab.load()") == f"import bloomlab\n\n{opening}"


@pytest.mark.parametrize(
    "line, message",
    [
        ("explroe Leo", "no 'explroe'; did you mean 'explore'"),
        ("Leo lives in Oslo.", "no 'Leo'.*it has explore, map, tokens, attention, "),
        ("tokens", "there is no text; try %bloom tokens"),
        ("generate --sead 3 Leo", "no option '--sead'; did you mean '--seed'"),
        ("generate --seed x Leo", "--seed: invalid int value: 'x'"),
        ("generate --seed", "--seed: expected one argument"),
        ("tokens --seed 3 Leo", "no option '--seed'"),
        ("tokens -o 3x Leo", "-o needs the name of a Python variable, but got '3x'"),
        ("tokens -o class Leo", "-o needs the name"),
        ("ablate --head 3 Leo", r"--spot is missing; try %bloom ablate --spot h\.2\.attn\.mixed --head 3"),
        ("ablate --spot embed --head 1,x Leo", "--head: invalid index value: '1,x'"),
        ("ask Where does Leo live?", "it needs a question and a text to look in; try %bloom ask"),
        ("ask Leo lives in Oslo.", "it needs a question"),
        ("generate Leo lives in --seed 1", "--seed after the text would be part of it; options come first"),
        ("tokens Leo lives -o kept", "-o after the text would be part of it"),
        ("tokens Leo lives --code", "--code after the text"),
        ("generate Leo lives in --sed 1", "--sed after the text would be part of it; options come first, or -- before"),
        ("generate Leo lives in --max_new_tokens 3", "--max_new_tokens after the text"),
        ("generate Leo --max-new-tokens=3 lives", "--max-new-tokens after the text"),
        ("tokens Leo lives --seed 1", "--seed after the text"),  # which no option of tokens is
        ("tokens ''", "there is no text"),
        ("help tokns", None),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(line: str, message: str | None) -> None:
    with pytest.raises(InputError, match=message or "did you mean 'tokens'") as caught:
        parse(line).run(None)
    assert "\n" not in str(caught.value)


def test_a_text_after_a_command_without_text_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "quiet", Command("lab.quiet", "nothing", "", ""))
    assert parse("quiet").arguments == []
    with pytest.raises(InputError, match="it takes no text, but got 'Leo'"):
        parse("quiet Leo")


def test_a_text_both_on_the_line_and_in_the_cell_is_a_mistake() -> None:
    with pytest.raises(InputError, match="put all of it in the cell"):
        parse("tokens Leo", "lives")


@pytest.mark.parametrize(
    "typed, words, ending",
    [
        ("%bloom ", list(COMMANDS), ""),
        ("%bloom ge", ["generate"], "ge"),
        ("%%bloom to", ["tokens"], "to"),
        ("%bloom generate --t", ["--temperature", "--top-k", "--top-p"], "--t"),
        ("%bloom generate --seed 1 --top-k", ["--top-k"], "--top-k"),
        ("%bloom generate --seed 1 Leo --", [], ""),
        ("%bloom tokens --", ["--code", "--help"], "--"),
        ("%bloom ablate --spot h.0.m", ["h.0.mlp.out"], "h.0.m"),
        ("%bloom explore --level ", sorted(LEVELS), ""),
        ("%bloom load --dtype b", ["bfloat16"], "b"),
        ("%bloom load bloomz-7", ["bloomz-7b1"], "bloomz-7"),
        ("%bloom info 17", ["176b"], "17"),
        ("%bloom help al", ["alibi"], "al"),
        ("%bloom nothing --", [], ""),
        ("x = 1", [], ""),
    ],
)
def test_the_words_that_can_follow_are_offered(typed: str, words: list[str], ending: str) -> None:
    assert complete(typed, spots=["embed", "h.0.mlp.out"]) == (words, ending)


@pytest.mark.parametrize(
    "line, arguments",
    [
        ('ask "Where does Leo live?" Leo lives in Oslo.', ["Where does Leo live?", "Leo lives in Oslo."]),
        ("ask 'Who is it?' \"Don't ask.\"", ["Who is it?", "Don't ask."]),
        ('tokens "Leo lives -o kept"', ["Leo lives -o kept"]),
        ("tokens -- Leo lives --code", ["Leo lives --code"]),
        ("tokens a well-known -other", ["a well-known -other"]),
    ],
)
def test_quotes_are_a_shells_and_a_text_in_them_may_hold_anything(line: str, arguments: list[str]) -> None:
    assert parse(line).arguments == arguments


@pytest.mark.parametrize(
    "line",
    [
        "tokens" + " -a" * 300_000,
        "tokens Leo -a" + "=" * 300_000 + " b c",
        "ask" + " " * 300_000 + "Leo",
        "ask '" + '"' * 300_000,
        "x" * 300_000,
        "tokens --" + "x" * 300_000 + " Leo",
    ],
)
def test_a_line_of_any_length_is_read_at_once(line: str) -> None:
    """Each of these took time by the square of its length, which is minutes."""
    started = time.process_time()
    with contextlib.suppress(InputError):
        parse(line, "" if line.startswith("ask ") else None)
    assert time.process_time() - started < 2


def test_a_cell_of_any_length_is_read_at_once() -> None:
    started = time.process_time()
    as_typed(["x = %bloom tokens Leo\n", *["!\n"] * 50_000])
    as_typed(["%bloom tokens Leo\x0b"] * 50_000)
    as_typed(["%%bloom tokens\x0b"] * 50_000)
    assert time.process_time() - started < 2
