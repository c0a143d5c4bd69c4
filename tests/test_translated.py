"""The lessons in other languages: every word is translated, nothing but words differs, and they run."""

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from bloomlab import Lab, checks, load, views
from bloomlab.cli import main
from bloomlab.editions import edition_of, questions
from bloomlab.errors import InputError
from bloomlab.lessons import copy_to, folder
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tracing.edits import zero
from bloomlab.translated import PLACES, Message, catalogue, catalogue_of, languages, messages, rewritten, translate
from bloomlab.views.cover import WORDS
from bloomlab.views.shared.assets import entry
from docs.make_catalogues import told_sentences, written

LESSONS = sorted(folder().glob("*.ipynb"))
FOREIGN = [
    path for language in languages(folder()) for path in sorted((folder() / "languages" / language).glob("[0-9]*.po"))
]
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
every_catalogue = pytest.mark.parametrize("path", FOREIGN, ids=lambda path: f"{path.parent.name}-{path.stem}")
MARKUP = re.compile(r"\]\([^)]*\)|`[^`]*`|</?\w+>|^```.*|^#+|^\d\.", re.MULTILINE)
EMPHASIS = re.compile(r"\*+")


def lesson_of(path: Path) -> Path:
    return folder() / f"{path.stem}.ipynb"


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def both(path: Path) -> list[tuple[Message, str]]:
    """Each message of a catalogue's lesson, and what it is in that language."""
    words = catalogue_of(lesson_of(path), path.parent.name) or {}
    return [(message, words.get((message.cell, message.text), "")) for message in messages(read(lesson_of(path)))]


def foreign(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(edition_of(lesson_of(path), None, path.parent.name))
    return notebook


@pytest.mark.slow
@every_lesson
def test_a_lesson_said_in_its_own_words_is_that_lesson(path: Path) -> None:
    cells = [{**cell, "source": "".join(cell["source"])} for cell in read(path)["cells"]]
    assert rewritten(read(path), lambda message: message.text)["cells"] == cells


def test_each_language_has_the_same_lessons_and_the_same_words_of_them() -> None:
    assert languages(folder()) == ("es", "fr")
    each = [
        {
            path.stem: set(catalogue_of(lesson_of(path), language) or {})
            for path in FOREIGN
            if path.parent.name == language
        }
        for language in languages(folder())
    ]
    assert each[0] == each[1] and each[0]


@pytest.mark.slow
@every_catalogue
def test_every_message_is_translated_and_no_other_is_kept(path: Path) -> None:
    said = both(path)
    missing = [message for message, words in said if message.needed and not words]
    assert not missing, missing[:3]
    same = [words for message, words in said if words == message.text and not message.code and words.count(" ") > 1]
    assert not same
    kept = set(catalogue_of(lesson_of(path), path.parent.name) or {})
    assert kept <= {(message.cell, message.text) for message, _ in said}
    text = written(lesson_of(path), path.parent.name, catalogue_of(lesson_of(path), path.parent.name) or {})
    assert path.read_text(encoding="utf-8") == text, "run python -m docs.make_catalogues"


@every_catalogue
def test_links_code_and_numbers_in_braces_are_those_of_the_english_lesson(path: Path) -> None:
    for message, words in both(path):
        if not words:
            continue
        if message.code:
            assert Counter(PLACES.findall(words)) == Counter(PLACES.findall(message.text)), words
            assert words.count("\\") == words.count("\\n") and '"' not in PLACES.sub("", words), words
        else:
            assert Counter(MARKUP.findall(words)) == Counter(MARKUP.findall(message.text)), words
            assert len(EMPHASIS.findall(MARKUP.sub("", words))) % 2 == 0, words


@pytest.mark.slow
@every_catalogue
def test_nothing_of_a_cell_differs_but_its_words(path: Path) -> None:
    english, other = read(lesson_of(path)), foreign(path)
    assert {**english, "cells": 0} == {**other, "cells": 0}
    assert len(english["cells"]) == len(other["cells"])
    named = 0
    for one, two in zip(english["cells"], other["cells"], strict=True):
        assert {**one, "source": ""} == {**two, "source": ""}
        if one["cell_type"] == "code":
            said = two["source"].replace(f'\nchecks.language("{path.parent.name}")\n', "\n")
            named += said != two["source"]
            assert bare("".join(one["source"])) == bare(said), one["id"]
    assert named == 1
    assert len(questions(lesson_of(path), path.parent.name)) == len(questions(lesson_of(path)))


def bare(source: str) -> str:
    """Code without what it says to people: its texts, the words of a magic; the dots of an exercise stay."""
    tree = ast.parse(re.sub(r"^(\s*)[%!][^\n]*", r"\1pass", source, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        if isinstance(node, ast.JoinedStr):
            node.values = [value for value in node.values if not isinstance(value, ast.Constant)]
            node.values.sort(key=ast.dump)  # other languages have another order of words
    return ast.dump(tree)


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.?]+[.?]", text.replace("\\n", " "))


@pytest.mark.slow
@every_catalogue
def test_the_stories_are_told_in_the_models_own_sentences(path: Path) -> None:
    language, found = LANGUAGES[path.parent.name], 0
    for message, words in both(path):
        told = [LANGUAGES["en"].says(sentence.strip()) for sentence in sentences(message.text)] if message.code else []
        if told and all(told) and words not in ("", message.text):  # one that is kept in English says so in its lesson
            found += 1
            assert all(language.says(sentence.strip()) for sentence in sentences(words)), words
    assert found


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [  # that nothing but words differs is tested of each; that they run, of one language and of one lesson of another
        pytest.param(path, marks=[] if path.parent.name == "fr" or path.stem.startswith("00") else pytest.mark.long)
        for path in FOREIGN
    ],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_a_lesson_runs_in_its_language_and_its_solutions_solve_it(path: Path) -> None:
    notebook = nbformat.reads(json.dumps(foreign(path)), as_version=4)
    pages = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    hidden = re.findall(r"<details>(?:(?!</details>).)*</details>", pages, re.DOTALL)
    answers = [code for text in hidden for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    lines = [
        (cell, line)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for line in re.findall(r"^.*= \.\.\.$", cell.source, re.MULTILINE)
    ]
    for (cell, line), answer in zip(lines, answers, strict=True):
        cell.source = cell.source.replace(line, answer)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(folder()))
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "\n".join(str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert len(re.findall("well done|bravo|muy bien", said, re.IGNORECASE)) == len(answers) > 0, said[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("language", languages(folder()))
def test_what_lesson_03_says_of_its_head_is_true_of_the_story_in_each_language(language: str) -> None:
    """At the last word it looks at the city, and at hardly anything else. The control: nothing is told again."""
    words = catalogue_of(folder() / "03_attention.ipynb", language) or {}
    (story,) = [said for (cell, _), said in words.items() if cell == "look-first"]
    layer, head = 3, 5
    looks = []
    for text in (story.replace("\\n", "\n"), story.replace("\\n", " ")):
        place = [token.text for token in tiny_lab().tokens(text)].index(" Oslo")
        looks.append(float(tiny_lab().trace(text, read=["attn.probs"])[f"h.{layer}.attn.probs"][0, head, -1, place]))
    assert looks[0] > 0.9 and looks[1] < 0.4, looks


@cache
def tiny_lab() -> Lab:
    return load()


def test_one_word_has_to_be_said_where_a_reader_sees_it() -> None:
    source = 'checks.cover("How many?", 3, unit="rows")\nplt.plot({"rows": 1}["rows"], label="how", color="black")'
    notebook = {"cells": [{"cell_type": "code", "id": "a", "source": source}]}
    needed = {message.text: message.needed for message in messages(notebook)}
    assert needed == {"How many?": True, "rows": True, "how": True, "black": False}


def test_what_is_not_words_is_left_alone() -> None:
    source = '# read it\nspot = f"h.{layer}.attn.q"\nprint("read", f"{n} it")\n%bloom tokens Leo reads\n!pip install it'
    notebook = {"cells": [{"cell_type": "code", "id": "a", "source": source}]}
    words = {
        ("a", "read it"): "lis",
        ("a", "{n} it"): "le {n}",
        ("a", "%bloom tokens Leo reads"): "%bloom tokens Leo lit",
    }
    told = translate(notebook, words, "fr")["cells"][0]["source"]
    assert told == '# lis\nspot = f"h.{layer}.attn.q"\nprint("read", f"le {n}")\n%bloom tokens Leo lit\n!pip install it'
    needed = {message.text for message in messages(notebook) if message.needed}
    assert needed == {text for _, text in words}


SOURCE = '# read it\nprint("it", f"{a} and {b}")\n%bloom tokens Leo reads\n%matplotlib inline'


@pytest.mark.parametrize(
    ("message", "translation"),
    [
        ("it", 'il", print("more"), "'),
        ("it", 'il"); print("more'),
        ("it", "il\\"),
        ("read it", "lis\nprint(1)"),
        ("read it", "lis\rprint(1)"),
        ("{a} and {b}", "{a} et {b.c}"),
        ("{a} and {b}", "{a} et {b} {exit()}"),
        ("{a} and {b}", "{a}"),
        ("%bloom tokens Leo reads", "!echo"),
        ("%bloom tokens Leo reads", "%bloom write Leo lit"),
        ("%bloom tokens Leo reads", "%bloom tokens Leo\n!echo"),
        ("%bloom tokens Leo reads", "%bloom tokens Leo\u2028!echo"),
    ],
)
def test_a_catalogue_changes_words_and_no_code(message: str, translation: str) -> None:
    notebook = {"cells": [{"cell_type": "code", "id": "a", "source": SOURCE}]}
    honest = {
        ("a", "{a} and {b}"): "{b} et {a}",
        ("a", "it"): "il",
        ("a", "%bloom tokens Leo reads"): "%bloom tokens Leo lit",
    }
    assert "{b} et {a}" in translate(notebook, honest, "fr")["cells"][0]["source"]
    with pytest.raises(InputError, match="changes the code of cell 'a', not its words alone"):
        translate(notebook, {**honest, ("a", message): translation}, "fr")


def test_all_that_every_cover_says_can_be_translated() -> None:
    sources = [Path(str(views.cover.__file__)), entry("cover")]
    said = [phrase for path in sources for phrase in re.findall(r"""say\(['"](.+?)['"]\)""", path.read_text("utf-8"))]
    assert {*said, "yes", "no"} == set(WORDS)
    for language in languages(folder()):
        words = catalogue_of(folder() / "cover", language) or {}
        assert {phrase for _, phrase in words} == set(WORDS)
        for (_, phrase), translation in words.items():
            assert Counter(PLACES.findall(phrase)) == Counter(PLACES.findall(translation)), translation
        path = catalogue(folder() / "cover", language)
        assert path.read_text(encoding="utf-8") == written(folder() / "cover", language, words)


def test_all_that_the_checks_of_translated_lessons_say_can_be_translated() -> None:
    for language in languages(folder()):
        words = catalogue_of(folder() / "checks", language) or {}
        assert {sentence for _, sentence in words} == set(told_sentences())
        for (_, sentence), said in words.items():
            assert Counter(PLACES.findall(sentence)) == Counter(PLACES.findall(said)), said
            assert said != sentence and re.findall(r"[.:;?]$", said) == re.findall(r"[.:;?]$", sentence), said
            assert set(re.findall(r"[\w.]+\([^)]*\)|q\[-1\]", sentence)) == set(
                re.findall(r"[\w.]+\([^)]*\)|q\[-1\]", said)
            )
        path = catalogue(folder() / "checks", language)
        assert path.read_text(encoding="utf-8") == written(folder() / "checks", language, words)


def test_the_checks_of_a_lesson_speak_its_language() -> None:
    """Nothing that such a check says is left in English: each sentence is one of the catalogue's."""
    lab, story = load(), "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
    q, k, v = (torch.arange(12.0).reshape(3, 4) / part for part in (7, 5, 3))
    answers: list[Callable[[], checks.Verdict]] = [
        lambda: checks.half_weight(20, ...),
        lambda: checks.half_weight(20, "a"),
        lambda: checks.half_weight(20, 0.25),
        lambda: checks.half_weight(20, math.log(2) / 20),
        lambda: checks.head_line("scores", q, k, v, None, k @ q[-1]),
        lambda: checks.head_line("mix", q, k, v, 0.5, q),
        lambda: checks.head_line("softmax", q, k, v, 0.5, torch.rand(3)),
        lambda: checks.attention(lambda q, k, v, slope: v),
        lambda: checks.attention(lambda q, k, v, slope: 1 / 0),
        lambda: checks.says_instead(lab, story, " Lima", 16, {"h.0.attn.mixed": zero(head=1, query=16)}),
        lambda: checks.says_instead(lab, story, " Lima", 8, {"h.0.attn.mixed": zero(query=16)}),
    ]
    english = [repr(answer()) for answer in answers]
    assert english[0] == "Not yet: put a number in place of the three dots, and run the cell again."
    spoken = set()
    for language, begins in (("fr", ("Pas encore: ", "Bravo: ")), ("es", ("Todavía no: ", "Muy bien: "))):
        try:
            checks.language(language)
            said = [repr(answer()) for answer in answers]
        finally:
            checks.language("en")
        assert all(one.startswith(begins) for one in said)
        assert not [one for one in said if re.search(r"\b(the|with|expected|your|must)\b", one)], said
        spoken.add(tuple(said))
    assert len(spoken) == 2 and [repr(answer()) for answer in answers] == english


def test_the_covers_of_a_lesson_speak_its_language() -> None:
    try:
        checks.language("fr")
        cover = checks.cover("Le trouve-t-il ?", True, because="Il le copie.")
        assert (cover.choices, cover.answer) == (["oui", "non"], "oui")
        assert "Prédisez" in cover._still("non") and "vous avez dit: <bdi>non</bdi>" in cover._still("non")
        assert cover.saved_state()["words"]["reveal"] == "dévoiler"
        with pytest.raises(InputError, match="'en' or 'es' or 'fr'"):
            checks.language("tlh")
    finally:
        checks.language("en")
    assert checks.cover("Does it?", True).choices == ["yes", "no"]


def test_a_long_text_is_broken_between_words_and_says_the_same() -> None:
    source = 'because = (\n    "one "\n    f"{two}"\n)'
    notebook = {"cells": [{"cell_type": "code", "id": "a", "source": source}]}
    long = "trente mots, " * 30 + "{two}"
    told = translate(notebook, {("a", "one {two}"): long}, "fr")["cells"][0]["source"]
    assert max(map(len, told.splitlines())) <= 110 and len(told.splitlines()) > 4
    values: dict[str, Any] = {"two": "deux"}
    exec(told, values)
    assert values["because"] == "trente mots, " * 30 + "deux"


@pytest.mark.slow
def test_the_command_copies_the_lessons_of_a_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lessons", "--language", "fr"]) == 2
    assert main(["lessons", str(tmp_path), "--language", "fr", "--edition", "student", "--sheets"]) == 0
    assert "04_alibi.ipynb" in capsys.readouterr().out
    text = (tmp_path / "04_alibi.ipynb").read_text(encoding="utf-8")
    assert "À vous" in text and "Une solution" not in text and "slope = ..." in text
    assert (tmp_path / "01_tokens.ipynb").read_bytes() == edition_of(folder() / "01_tokens.ipynb", "student")
    assert 'lang="fr"' in (tmp_path / "predictions.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="'es' or 'fr'"):
        copy_to(tmp_path, language="tlh")


def test_a_catalogue_that_is_broken_is_said_to_be(tmp_path: Path) -> None:
    lesson = tmp_path / LESSONS[0].name
    assert catalogue_of(lesson, "fr") is None
    catalogue(lesson, "fr").parent.mkdir(parents=True)
    nobodys = b'msgid ""\nmsgstr "Content-Type: text/plain; charset=nobodys\\n"\n\nmsgid "a"\nmsgstr "b"\n'
    for broken in (b"\xff", b"hello", nobodys):
        catalogue(lesson, "fr").write_bytes(broken)
        with pytest.raises(InputError, match="no catalogue of gettext"):
            catalogue_of(lesson, "fr")
