"""What `make attack` tries: for each kind of input a function that prepares, and gives one that tries an input.

To try is to make the input of a `random.Random`, and use it as a person would. It returns if that went well; it raises
our error, if the input was refused; or `Broken`, if something of SECURITY.md did not hold. Whatever else it raises is
somebody else's error, which nobody should see.
"""

import ast
import io
import json
import os
import pickle
import random
import shutil
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from huggingface_hub import constants

from bloomlab.checks.class_table import class_of
from bloomlab.checks.guesses import report
from bloomlab.checks.handin import FORMAT
from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, InputError
from bloomlab.heads.question_answering import BloomForQuestionAnswering
from bloomlab.heads.sequence_classification import BloomForSequenceClassification
from bloomlab.heads.token_classification import BloomForTokenClassification
from bloomlab.hooks import NamedEdit
from bloomlab.lab import Lab
from bloomlab.lab import finding as read_finding
from bloomlab.lens.cases import Case
from bloomlab.lessons import NOTE, copy_to
from bloomlab.lessons import folder as shipped
from bloomlab.notebook.line_parser import parse
from bloomlab.tiny.train import Run, optimizers, train_step
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import scale, zero
from bloomlab.tracing.record import weights_hash
from bloomlab.tracing.trace import Trace
from bloomlab.translated import catalogue, catalogue_of, translate
from bloomlab.views.cover import Cover
from bloomlab.views.shared.code import code_parts, quoted
from bloomlab.views.tokens.result import Tokens
from bloomlab.views.view import View
from bloomlab.weights.checkpoint import convert
from tests.hostile import test_code, test_lying_pages, test_traces
from tests.hostile.attack import Broken, Try
from tests.hostile.folders import BIN, WEIGHTS, honest_bin, honest_folder, sharded_folder
from tests.hostile.mutations import INTERESTING, MARKUP, changed, changed_bytes, changed_value, text_like_code
from tests.hostile.probe import BYTES, Opener, seconds_at_most
from tests.tiny_random import SIZES, byte_tokenizer, random_model
from tests.weights.fake_hub import REPO, Answer, FakeHub, fake_hub

OPCODES = [each[0] for each in vars(pickle).values() if isinstance(each, bytes) and len(each) == 1]
LAB = Lab(random_model(n_layer=2), byte_tokenizer(), name="small")


def promised(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


# -- files of a model ----


def older_folder(folder: Path) -> Path:
    """The older files: weights in a .bin, a vocabulary and merges."""
    honest_folder(folder)
    (folder / WEIGHTS).unlink()
    (folder / BIN).write_bytes(honest_bin(folder))
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]))
    return folder


def files(folder: Path) -> Try:
    """A file of a model is changed: config, weights in each layout, index, tokenizer, vocabulary, merges."""
    folders = [make(folder / make.__name__) for make in (honest_folder, sharded_folder, older_folder)]
    honest = [path for each in folders for path in sorted(each.iterdir())]
    opener = Opener(honest_folder(folder / "unchanged"))

    def attempt(chance: random.Random) -> None:
        path = chance.choice(honest)
        content = path.read_bytes()
        path.write_bytes(changed(path.name, content, chance))
        try:
            result = opener.open(path.parent)
        finally:
            path.write_bytes(content)
        if result["kind"] == "not ours":
            raise RuntimeError(f"{path.name}: {result['error']}")
        promised(result["unchanged"], f"{path.name}: something else changed")
        promised(result["seconds"] < seconds_at_most(), f"{path.name}: {result['seconds']:.1f} s of computing")
        promised(result["bytes"] < BYTES, f"{path.name}: {result['bytes']} bytes")
        if result["error"]:
            raise CheckpointError(result["error"])

    return attempt


def pickles(folder: Path) -> Try:
    """The instructions in a .bin are changed, and the file is converted."""
    honest_folder(folder)
    (folder / WEIGHTS).unlink()
    with zipfile.ZipFile(io.BytesIO(honest_bin(folder))) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    name = next(name for name in parts if name.endswith("data.pkl"))

    def attempt(chance: random.Random) -> None:
        table = bytearray(parts[name])
        for _ in range(chance.choice((1, 1, 2, 4))):
            place = chance.randrange(2, len(table))
            if chance.random() < 0.5:
                table[place] = chance.choice(OPCODES)
            else:
                table[place : place + chance.choice((0, 1, 1, 5))] = chance.randbytes(chance.choice((0, 1, 1, 5)))
        with zipfile.ZipFile(folder / BIN, "w") as out:
            for part, content in parts.items():
                out.writestr(part, bytes(table) if part == name else content)
        for path in convert(folder):
            path.unlink()

    return attempt


# -- traces, and what is drawn of them ----


def traces(folder: Path) -> Try:
    """The description of a saved trace is changed, often to markup; what opens is shown in a view and on a page."""
    said = test_traces.description()
    places = list(test_traces.leaves(said))

    def attempt(chance: random.Random) -> None:
        value = chance.choice([MARKUP, [MARKUP], {MARKUP: MARKUP}, *INTERESTING])
        match chance.randrange(4):
            case 0:
                now = changed_value(said, chance)
            case 1:
                now = test_traces.with_key(said, chance.choice(places), MARKUP) or changed_value(said, chance)
            case _:
                now = test_traces.with_value(said, chance.choice(places), value)
        trace = Trace.load(test_traces.saved(folder / "trace.safetensors", now))
        repr(trace)
        show(LAB, trace, chance, folder)

    return attempt


def show(lab: Lab, what: Any, chance: random.Random, folder: Path) -> None:
    """One view of it, as a cell and as a page; nothing of them may run."""
    made = getattr(lab, chance.choice(test_traces.VIEWS))(what)
    view = made.view if isinstance(made, Tokens) else made
    html = view._repr_mimebundle_()[0]["text/html"]
    html += view.save(folder / "page.html").read_text(encoding="utf-8") if chance.random() < 0.3 else ""
    html += made._repr_html_() if isinstance(made, Tokens) else ""
    promised(not test_traces.would_run(html), f"code in {type(made).__name__}")
    repr(view), compile(view.code, "code", "exec")


def written(lab: Lab, text: str, folder: Path) -> None:
    """A writing, a branch of it, and its page."""
    writing = lab.write(text)
    writing.play(1)
    html = writing.save(folder / "writing.html").read_text(encoding="utf-8")
    promised(not test_traces.would_run(html), "code in a saved writing")


def texts(folder: Path) -> Try:
    """A text is asked of every verb, and is the name of the model, of labels and of a cover."""
    verbs: dict[str, Callable[[Lab, str], Any]] = {
        "receipt": lambda lab, text: lab.receipt(text),
        "lens": lambda lab, text: lab.lens(text),
        "ablate": lambda lab, text: lab.ablate(text, "h.0.attn.mixed", head=1),
        "refute": lambda lab, text: lab.refute(text, {"embed": scale(0.5)}, n=1),
        "keep": lambda lab, text: lab.keep(text, ["1.1"], n=1),
        "without": lambda lab, text: lab.without(text, ["1.1"], n=1),
        "effects": lambda lab, text: lab.effects(text, text[::-1]),
        "attribution": lambda lab, text: lab.attribution(text),
        "direction": lambda lab, text: lab.direction([text], ["Leo"], "h.0.resid_post", text, n=1, max_new_tokens=1),
        "cases": lambda lab, text: lab.cases(f"{{name}} {text}", n=1, name=[text, "Leo"]),
        "like": lambda lab, text: lab.like(text, 2),
        "stream": lambda lab, text: list(lab.stream(text, 2)),
        "tokens": lambda lab, text: lab.tokens(text),
        "write": lambda lab, text: lab.write(text).play(2),
        "a saved writing": lambda lab, text: written(lab, text, folder),
        "card": lambda lab, text: lab.card(),
        "cover": lambda lab, text: Cover(text, text, because=text, unit=text),
        "info": lambda lab, text: lab.info(),
        "generate": lambda lab, text: lab.generate(text, max_new_tokens=2),
    }

    def attempt(chance: random.Random) -> None:
        text = chance.choice([MARKUP, text_like_code(chance), text_like_code(chance)])
        lab = Lab(LAB.model, LAB.tokenizer, name=chance.choice(["small", MARKUP, text]))
        if chance.random() < 0.4:
            return show(lab, text, chance, folder)
        _shows(verbs[chance.choice(list(verbs))](lab, text), chance, folder)

    return attempt


def labels(folder: Path) -> Try:
    """Labels of task heads, and the questions they are asked, are made-up texts."""
    kinds = (BloomForSequenceClassification, BloomForTokenClassification, BloomForQuestionAnswering)

    def attempt(chance: random.Random) -> None:
        word = chance.choice([MARKUP, text_like_code(chance)])
        text, lab = chance.choice(["Leo", word]), Lab(LAB.model, LAB.tokenizer, name=word)
        for name, kind in zip(("language", "tags", "answer"), kinds, strict=True):
            config = BloomConfig(**{**SIZES, "n_layer": 2}, id2label={0: f"a{word}", 1: word})
            lab.heads[name] = kind(config).eval()
        match chance.randrange(5):
            case 0:
                made: Any = chance.choice([lab.classify, lab.tag])(text)
            case 1:
                made = lab.answer(word, text)
            case 2:
                made = lab.receipt(text, chance.choice([None, word, "x"]), head="language")
            case 3:
                made = lab.receipt(f"{word}\n{text}", head="answer")
            case _:
                made = lab.predictions(text, question=word)
                _holds(made.code, text, 1)
        _shows(made, chance, folder)

    return attempt


def edits(folder: Path) -> Try:
    """Edits that read made-up texts: in views, pages, tables and a writing, in code, and kept as a finding."""
    made_of: list[Callable[[str, str], NamedEdit]] = [
        *(lambda a, b: usual([a, b], per="all"), lambda a, b: drawn([a, b]), lambda a, b: steer([a], [b], 0.5)),
        *(lambda a, b: copied(b, columns=0, pos=0), lambda *_: zero(pos=0), lambda *_: hold(pos=0)),
    ]
    views = ("attention", "hidden_states", "predictions", "explore")

    def attempt(chance: random.Random) -> None:
        text, other = (chance.choice([MARKUP, text_like_code(chance), "Leo"]) for _ in range(2))
        lab = Lab(LAB.model, LAB.tokenizer, name=chance.choice(["small", MARKUP, text]))
        edit: Any = {chance.choice(["h.0.resid_post", "h.1.mlp.out", "embed"]): chance.choice(made_of)(text, other)}
        match chance.randrange(7):
            case 0:
                made: Any = lab.refute(text, edit, n=1)
            case 1:
                made = lab.write(text, edit=edit)
                made.play(1)
                _holds(made.code, text, 1)
            case 2:
                made = lab.receipt(text, texts=[other, f"{text}a"])
            case 3:
                made = lab.explore(text, edit=edit, texts=[other, Case(text, other)])
            case 4:
                made = read_finding(lab.finding(MARKUP, text, edit, n=1).save(folder / "finding.json"), lab)
            case 5:
                page = lab.attention(text, edit=edit).save(folder / "live.html", live=True).read_text(encoding="utf-8")
                return promised(not test_traces.would_run(page), "code in a live page")
            case _:
                made = getattr(lab, chance.choice(views))(text, edit=edit)
                _holds(made.code, text, 1)
        _shows(made, chance, folder)

    return attempt


def _shows(made: Any, chance: random.Random, folder: Path) -> None:
    """What is shown of it, in a cell and sometimes on a page, holds nothing that would run."""
    bundle: Any = getattr(made, "_repr_mimebundle_", dict)()
    html = str((bundle[0] if isinstance(bundle, tuple) else bundle).get("text/html", ""))
    html += made._repr_html_() if hasattr(made, "_repr_html_") else ""
    if isinstance(made, View) and chance.random() < 0.3:
        html += made.save(folder / "page.html").read_text(encoding="utf-8")
    promised(not test_traces.would_run(html), f"code in {type(made).__name__}")
    repr(made), compile(getattr(made, "code", ""), "code", "exec")


# -- pages ----


def pages(folder: Path) -> Try:
    """A message that no page of ours would send, or one that it would, to a view; then the view is used."""
    views: dict[str, View] = {}
    sent: dict[str, int] = {}

    def attempt(chance: random.Random) -> None:
        name = chance.choice(list(test_lying_pages.VIEWS))
        if sent.get(name, 0) % 100 == 0:
            views[name] = test_lying_pages.VIEWS[name]()
        sent[name] = sent.get(name, 0) + 1
        view = views[name]
        try:
            view.__class__._handle_msg(view, test_lying_pages.message(view, chance))
            promised(view.picture and view.trace is not None, f"{name} has no picture")
            promised(view.state in ("ready", "error", "empty") and not _is_others(view.message), view.message)
            troubles = getattr(view, "troubles", {})
            promised(not any(map(_is_others, troubles.values())), str(troubles))
            tree = getattr(view, "tree", None) or getattr(view, "writing_tree", None) or {}
            promised(not _is_others(str(tree.get("message", ""))), str(tree.get("message")))
            repr(view), compile(view.code, name, "exec")
            if chance.random() < 0.05:
                view.show("Leo lives")
                promised(view.state == "ready" and view.text == "Leo lives", f"{name} no longer shows a text")
                promised(not test_traces.would_run(view._repr_mimebundle_()[0]["text/html"]), f"code in {name}")
        except BaseException:
            sent[name] = 0  # the next begins with a new one
            raise
        if view.state == "error":
            raise BloomlabError(view.message)

    return attempt


def _is_others(words: str) -> bool:
    """Whether a sentence on a page is another library's: it begins with the name of its error."""
    return words.split(":")[0].endswith(("Error", "Exception"))


# -- texts as code ----


def code(folder: Path) -> Try:
    """A text in `.code`, in a question, in `--code` and on a line of `%bloom`: the same text and nothing more."""

    def attempt(chance: random.Random) -> None:
        text = text_like_code(chance)
        edits = {"embed": f"scale(0.5, pos={text!r})", text: "scale(2)"}
        template = chance.choice(test_code.TEMPLATES)
        parts = code_parts(template, test_code.trace_of(text, edits))
        _holds("".join("0" if place % 2 else part for place, part in enumerate(parts)), text, 2)
        _holds(f"ask({quoted(text)})\n", text, 1)
        line = text.replace("\n", " ").strip()
        if line and not set(line) <= {"?"}:
            made = ast.parse(test_code.cell(f"x = 1\n%bloom tokens {line}", "y = 2\n"))
            promised(len(made.body) == 3, f"{len(made.body)} statements")
            typed = test_code.strings(ast.unparse(made))[-1]
            promised(typed.split() == f"tokens {line}".split(), f"{typed!r} is not what was typed")
        if line and line[0] not in "-\"'":
            _holds(parse(f"generate {line}").python(f"lab = bloomlab.load({line!r})"), line, 2)

    return attempt


def _holds(shown: str, text: str, times: int) -> None:
    found = test_code.strings(shown).count(text)
    promised(found >= times, f"{found} of {times} times the text in {shown!r}")
    promised(not test_code.lines_that_ipython_changes(shown), f"IPython changes {shown!r}")


# -- other files ----


def findings(folder: Path) -> Try:
    """A saved finding is changed; one that opens is shown, and sometimes measured again."""
    case = Case("Leo has", "Bo has", " a", " b")
    edit: Any = {
        "h.0.attn.mixed": [scale(0.5, head=1), usual(["Leo", "Bo"], per="all")],
        "h.1.mlp.out": [copied("Bo", columns=[0, 1], pos=[1, 2]), hold(pos=[0])],
        "h.1.resid_post": steer(["Leo vit"], ["Leo eats"], 2.0),
    }
    found = LAB.finding("so", "Leo lives", edit, texts=["Bo lives!", "Al lives!"], n=1)
    found.texts = [*found.texts, case]
    said = json.loads(found.save(folder / "finding.json").read_text(encoding="utf-8"))

    def attempt(chance: random.Random) -> None:
        now = changed_value(said, chance)
        if chance.random() < 0.3:
            now = test_traces.with_value(said, chance.choice(list(test_traces.leaves(said))), MARKUP)
        (folder / "finding.json").write_text(json.dumps(now), encoding="utf-8")
        opened = read_finding(folder / "finding.json", LAB)
        repr(opened), opened.save(folder / "again.json")
        promised(not test_traces.would_run(str(getattr(opened, "_repr_html_", str)())), "code in a finding")
        if chance.random() < 0.2:
            repr(opened.check(LAB))

    return attempt


def notebooks(folder: Path) -> Try:
    """The note beside the lessons, and a student's notebook, are changed; lessons are copied, guesses are read."""
    copy_to(folder / "lessons")
    note = folder / "lessons" / NOTE
    honest = note.read_bytes()
    about = {"question": "How many?", "prediction": "4", "answer": "3"}
    cells = [{"cell_type": "code", "outputs": [{"metadata": {"bloomlab": about}}]}] * 3
    book = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()

    def attempt(chance: random.Random) -> None:
        if chance.random() < 0.3:
            note.write_bytes(changed("note.json", honest, chance))
            try:
                copied = copy_to(note.parent)
            finally:
                note.write_bytes(honest)
            repr(copied)
            promised(copied.kept == () and not copied.new, f"lessons were copied that are there: {copied}")
        else:
            path = folder / "lesson.ipynb"
            path.write_bytes(changed("lesson.json", book, chance))
            repr(report(path))

    return attempt


def handins(folder: Path) -> Try:
    """One of two files that were handed in is changed; the class is read, and its table printed and saved."""
    tries = [
        {"exercise": "04 half_weight", "seconds": 3.5, "done": done, "says": "too much", "answer": "0.5"}
        for done in (False, True)
    ]
    guesses = [{"question": "How many?", "seconds": 9, "prediction": "4", "answer": "3"}]
    said = {"format": FORMAT, "name": "Ana", "began": "2026-11-30 09:00", "tries": tries, "guesses": guesses}
    place = folder / "handed-in"
    place.mkdir()
    (place / "ana.json").write_text(json.dumps(said))

    def attempt(chance: random.Random) -> None:
        now = {**said, "name": "Leo"}
        if chance.random() < 0.5:
            now = test_traces.with_value(now, chance.choice(list(test_traces.leaves(now))), MARKUP)
        (place / "leo.json").write_bytes(changed("leo.json", json.dumps(now).encode(), chance))
        table = class_of(place)
        repr(table).encode()
        promised("Ana" in [one.name for one in table.people], "an honest hand-in was lost")
        promised(len(table.people) + len(table.refused) == 2, "a hand-in is neither read nor refused")
        page = table.save(folder / "class.html").read_text(encoding="utf-8")
        promised(not test_traces.would_run(page), "code in the page of a class")
        if table.refused:
            raise InputError(table.refused[0][1])

    return attempt


def hub(folder: Path) -> Try:
    """What a hub says of a model, or what is kept of it here, is changed; the model is opened by its name."""
    published, whole, cache = sharded_folder(folder / "published"), folder / "whole", folder / "cache"
    with fake_hub(published) as there:
        expected = weights_hash(_fetched(there, whole).model)

    def attempt(chance: random.Random) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        with fake_hub(published) as there:
            match chance.randrange(3):
                case 0:
                    listed = changed("list.json", json.dumps(there.about()).encode(), chance)
                    there.fault = lambda answer: answer.name == "info" and not answer.say(200, listed)
                case 1:
                    listed = json.dumps(there.about()).encode()
                    if chance.random() < 0.3:  # it lists a file that it does not have
                        del there.files[chance.choice(list(there.files))]
                    there.fault = lambda answer: _says_otherwise(answer, listed, [*HEADERS, f"{folder}/x"], chance)
                case _:
                    shutil.copytree(whole, cache, symlinks=True)
                    kept = chance.choice(sorted(path for path in cache.rglob("*") if path.is_file()))
                    kept.write_bytes(changed(kept.name, kept.read_bytes(), chance))
            try:
                lab = _fetched(there, cache, asks=chance.random() < 0.7)
            finally:
                elsewhere = [path for path in folder.iterdir() if path not in (published, whole, cache)]
                for path in elsewhere:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                promised(not elsewhere, f"{elsewhere} beside the cache")
        promised(weights_hash(lab.model) == expected, "it opened as another model")

    return attempt


def _fetched(there: FakeHub, cache: Path, asks: bool = True) -> Lab:
    """The model by its name, if need be from what is kept: the other kinds ask nobody."""
    import bloomlab

    now = {"HF_ENDPOINT": there.address, "HF_HUB_OFFLINE": "" if asks else "1"}
    with patch.dict(os.environ, now), patch.object(constants, "HF_HUB_OFFLINE", not asks):
        return bloomlab.load(REPO, cache_dir=cache)


def _says_otherwise(answer: Answer, listed: bytes, others: list[str], chance: random.Random) -> bool:
    """Of what the hub says beside its files something is another."""

    def say(status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        now = dict(headers or {})
        for name in now:
            if chance.random() < 0.2:
                now[name] = chance.choice(others)
        type(answer).say(answer, status, body, now, length)

    answer.say = say  # type: ignore[method-assign]  # of this one connection
    return answer.name == "info" and not say(200, listed)


HEADERS = [
    *(
        "",
        "x",
        "-1",
        "9" * 40,
        "a" * 5000,
        '"../../../elsewhere"',
        "../../..",
        "../../../elsewhere",
        "/".join([".."] * 3),
        '"x"',
        'W/"x"',
        "0" * 40,
        "f" * 64,
    ),
    *('"' + "0" * 64 + '"', "main", "http://localhost:1/", "\xff", "%2e%2e%2felsewhere", "\t", '"' + "a" * 300 + '"'),
]


def catalogues(folder: Path) -> Try:
    """A catalogue of a lesson's words is changed; the lesson that comes of it has the same code."""
    copy_to(folder / "lessons")
    lesson = next((folder / "lessons").glob("03*.ipynb"))
    english = json.loads(lesson.read_text(encoding="utf-8"))
    cells = {cell["id"]: cell["source"] for cell in english["cells"] if cell["cell_type"] == "code"}
    path = catalogue(lesson, "fr")
    path.parent.mkdir(parents=True)
    honest = catalogue(shipped() / lesson.name, "fr").read_bytes()
    words = catalogue_of(shipped() / lesson.name, "fr") or {}
    of_code = [key for key in words if key[0] in cells]

    def attempt(chance: random.Random) -> None:
        if chance.random() < 0.5:
            path.write_bytes(changed_bytes(honest, chance))
            found = catalogue_of(lesson, "fr") or {}
        else:
            found = words | {key: text_like_code(chance) for key in chance.sample(of_code, 3)}
        told = translate(english, found, "fr")
        for cell in told["cells"]:
            if cell["cell_type"] == "code":
                before, now = ("".join(source).splitlines() for source in (cells[cell["id"]], cell["source"]))
                promised(_commands(before) == _commands(now), f"other commands in cell {cell['id']}")

    return attempt


def _commands(lines: list[str]) -> list[str]:
    """What IPython, or a shell, would be told by these lines."""
    return [line.split()[0] for line in lines if line.lstrip()[:1] in ("%", "!")]


def runs(folder: Path) -> Try:
    """The state of a training that was stopped is changed; the training goes on from it."""
    model = random_model(n_layer=1)
    run = Run({"steps": 4, "seed": 0}, model, optimizers(model), [{"loss": 2.5, "seconds": 1.0}])
    ids = torch.randint(4, 250, (2, 8))
    train_step(run, ids, ids, 1.0)
    path = folder / "run.pt"
    run.keep(path, 1)
    honest = path.read_bytes()
    state = torch.load(path, weights_only=True)

    def attempt(chance: random.Random) -> None:
        if chance.random() < 0.5:
            path.write_bytes(changed_bytes(honest, chance))
        else:
            kept = {name: state[name] for name in ("model", "optimizers")}
            torch.save(
                changed_value({name: state[name] for name in ("settings", "done", "history")}, chance) | kept, path
            )
        other = random_model(n_layer=1)
        again = Run({"steps": 4, "seed": 0}, other, optimizers(other), [])
        done = again.restore(path)
        promised(0 <= done <= 4, f"{done} of 4 steps are done")
        train_step(again, ids, ids, 1.0)

    return attempt


def paths(folder: Path) -> Try:
    """A name that no file has, or no file should have: opened, written to, and asked of the hub."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    letters = [*string.ascii_letters, "/", "..", "~", "~nobody", "\x00", "\ud800", "\udcff", " ", "\n", "%s", ":", "\\"]
    trace, view = LAB.trace("Leo"), LAB.attention("Leo")
    doings: list[Callable[[str], object]] = [
        *(Trace.load, read_finding, report, copy_to, LAB.info, LAB.fits),
        *(trace.save, view.save, LAB.model.save_pretrained, LAB.tokenizer.save_pretrained, _load),
        *(lambda name: view.save(f"{name}.html"), lambda name: Cover("How many?", 3).save(f"{name}.html")),
        lambda name: convert(Path(name)),
    ]

    def attempt(chance: random.Random) -> None:
        name = "".join(chance.choice(letters) for _ in range(chance.choice((0, 1, 3, 8, 300, 5000))))
        inside = folder / f"x{name}"
        if ".." not in name:  # what is written stays in this folder
            chance.choice(doings)(str(inside))
        else:
            _load(name)

    return attempt


def _load(name: str) -> None:
    import bloomlab

    bloomlab.load(name)


KINDS: dict[str, Callable[[Path], Try]] = {
    each.__name__: each
    for each in (
        *(files, pickles, traces, texts, labels, edits, pages, code, findings, notebooks, catalogues, runs, handins),
        *(hub, paths),
    )
}
