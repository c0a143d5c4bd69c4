"""Bring the lessons' catalogues up to date: `python -m docs.make_catalogues` after a lesson has changed.

What has been translated stays, where the English is still the same; what is new stands there without a translation,
and tests/test_translated.py names it. To translate another lesson, or into another language, name it:
`python -m docs.make_catalogues fr 05_residual_stream`. Besides the lessons there are `cover`, what every cover says,
and `checks`, what the checks of translated lessons say.
"""

import ast
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from bloomlab import checks
from bloomlab.lessons import folder
from bloomlab.translated import Catalogue, Message, catalogue, catalogue_of, messages
from bloomlab.views.cover import WORDS

HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def messages_of(lesson: Path) -> list[Message]:
    """What a catalogue has to say: the messages of a lesson; of `cover` and `checks`, what all of these say."""
    if lesson.name == "cover":
        return [Message("cover", phrase) for phrase in WORDS]
    if lesson.name == "checks":
        return [Message("checks", sentence, code=True) for sentence in dict.fromkeys(told_sentences())]
    return messages(json.loads(lesson.read_text(encoding="utf-8")))


def told_sentences() -> Iterator[str]:
    """What checks say in the lesson's language: all that is `told`; and of the checks in translated lessons, with what
    they use of their files, what they expect and the usual slips, which are the keys of a dictionary.
    """
    lessons = [folder() / f"{path.stem}.ipynb" for path in (folder() / "languages").glob("*/[0-9]*.po")]
    asked = {name for lesson in lessons for name in re.findall(r"checks\.(\w+)\(", lesson.read_text(encoding="utf-8"))}
    for file in sorted(Path(str(checks.__file__)).parent.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        yield from _first_texts(tree, "told")
        made = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        used = made.keys() & asked
        while more := {name for each in used for name in _names(made[each]) & made.keys()} - used:
            used |= more
        for each in (made[name] for name in made if name in used):
            yield from _first_texts(each, "exercise")
            keys = [key for node in ast.walk(each) if isinstance(node, ast.Dict) for key in node.keys]
            yield from (str(key.value) for key in keys if isinstance(key, ast.Constant) and " " in str(key.value))


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _first_texts(tree: ast.AST, function: str) -> Iterator[str]:
    """What each call of a function gets first, where that is a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function and node.args:
            if isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def written(lesson: Path, language: str, words: Catalogue) -> str:
    """The catalogue of a lesson: each message that needs a translation, and each other one that has one."""
    catalog = Catalog(locale=language)
    for message in messages_of(lesson):
        said = words.get((message.cell, message.text), "")
        if message.needed or said:
            catalog.add(message.text, said, context=message.cell)
    file = io.BytesIO()
    write_po(file, catalog, width=110, omit_header=True)
    text = re.sub(r"^#, python-(?:brace-)?format\n", "", file.getvalue().decode(), flags=re.MULTILINE)
    return HEADER.format(language=language) + text.strip() + "\n"


def main(asked: list[str]) -> None:
    """Write each catalogue that there is, and the one that is asked for."""
    paths = sorted((folder() / "languages").glob("*/*.po"))
    if asked:
        paths.append(catalogue(folder() / f"{asked[1]}.ipynb", asked[0]))
    for path in paths:
        lesson = folder() / (path.stem if path.stem in ("cover", "checks") else f"{path.stem}.ipynb")
        language = path.parent.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written(lesson, language, catalogue_of(lesson, language) or {}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
