"""A text that is too long is refused by its length: no door cuts it into tokens first."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bloomlab.errors import BloomlabError, InputError, MemoryLimitError
from bloomlab.hooks import NamedEdit
from bloomlab.lab import Lab
from bloomlab.lens.cases import Case
from bloomlab.notebook.line_parser import parse
from bloomlab.tasks import ask
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import copied, drawn, steer, usual
from bloomlab.tracing.edits import scale, zero
from tests.hostile.probe import forget_peak, peak
from tests.tasks.task_heads import random_head
from tests.tiny_random import byte_tokenizer, random_model

TEXT, LONG = "Leo lives", "Leo lives in Oslo. " * 20_000
EDIT = {"h.0.attn.mixed": zero(head=1)}


def a_lab() -> Lab:
    return Lab(random_model(n_layer=2), byte_tokenizer(), name="small")


FROM_TEXTS: dict[str, Callable[[str], NamedEdit]] = {  # edits that read texts of their own
    "usual": lambda text: usual([TEXT, text]),
    "drawn": lambda text: drawn([TEXT, text]),
    "copied": copied,
    "steer": lambda text: steer([TEXT], [text]),
}
DOORS: dict[str, Callable[[Lab, str], Any]] = {
    "tokens": lambda lab, text: lab.tokens(text),
    "trace": lambda lab, text: lab.trace(text),
    "a second text of trace": lambda lab, text: lab.trace([TEXT, text]),
    "generate": lambda lab, text: lab.generate(text, max_new_tokens=1),
    "stream": lambda lab, text: list(lab.stream(text, 1)),
    "explore": lambda lab, text: lab.explore(text),
    "against": lambda lab, text: lab.attention(TEXT, against=text),
    "explore's texts": lambda lab, text: lab.explore(TEXT, texts=[text]),
    "hidden_states": lambda lab, text: lab.hidden_states(text),
    "alibi": lambda lab, text: lab.alibi(text),
    "alibi's texts": lambda lab, text: lab.alibi(TEXT, texts=[text]),
    "predictions": lambda lab, text: lab.predictions(text),
    "write": lambda lab, text: lab.write(text),
    "lens": lambda lab, text: lab.lens(text),
    "ablate": lambda lab, text: lab.ablate(text, "h.0.attn.mixed", head=1),
    "receipt": lambda lab, text: lab.receipt(text),
    "receipt's token": lambda lab, text: lab.receipt(TEXT, token=text),
    "effects": lambda lab, text: lab.effects(TEXT, text),
    "attribution": lambda lab, text: lab.attribution(text),
    "attribution's answer": lambda lab, text: lab.attribution(TEXT, text),
    "refute": lambda lab, text: lab.refute(text, EDIT, n=1),
    "refute's texts": lambda lab, text: lab.refute(TEXT, EDIT, texts=[text], n=1),
    "keep": lambda lab, text: lab.keep(text, ["1.1"], n=1),
    "a direction's text": lambda lab, text: lab.direction([text], [TEXT], "h.0.resid_post", TEXT, n=1),
    "finding": lambda lab, text: lab.finding("so", text, {"embed": scale(0.5)}, n=1),
    "classify": lambda lab, text: lab.classify(text),
    "a view's show": lambda lab, text: lab.attention(TEXT).show(text),
    "trace's edit": lambda lab, text: lab.trace(TEXT, edit={"h.0.resid_post": [zero(pos=1), usual([text])]}),
    "explore's edit": lambda lab, text: lab.explore(TEXT, edit={"h.0.resid_post": copied(text)}),
    "write's edit": lambda lab, text: lab.write(TEXT, edit={"h.0.resid_post": steer([text], [TEXT])}),
    "refute's edit": lambda lab, text: lab.refute(TEXT, {"h.0.resid_post": copied(text)}, n=1),
    "effects' instead": lambda lab, text: lab.effects(TEXT, instead=drawn([text])),
    "effects' other text of a case": lambda lab, text: lab.effects(TEXT, TEXT[::-1], texts=[Case(TEXT, text)]),
    "receipt's instead": lambda lab, text: lab.receipt(TEXT, instead=usual([text])),
    "attribution's instead": lambda lab, text: lab.attribution(TEXT, instead=drawn([text])),
    "keep's instead": lambda lab, text: lab.keep(TEXT, ["1.1"], n=1, instead=usual([text])),
    "like's other": lambda lab, text: lab.like(TEXT, 1, other=text),
    "like's answer": lambda lab, text: lab.like(TEXT, 1, answer=text),
    "cases' template": lambda lab, text: lab.cases(f"{{name}} {text}", n=1, name=["Leo"]),
    "cases' words": lambda lab, text: lab.cases("{name} lives", n=1, name=[text]),
    "cases' other": lambda lab, text: lab.cases("{name} lives", n=1, name=["Leo"], other=text),
    "%bloom": lambda lab, text: parse(f"tokens {text}").run(lab),
    "%%bloom": lambda lab, text: parse("explore", text).run(lab),
}


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that are cut into tokens."""
    lengths: list[int] = []
    whole = BloomTokenizerFast.encode

    def encode(tokenizer: Any, text: Any, *rest: Any, **named: Any) -> Any:
        lengths.append(len(text))
        return whole(tokenizer, text, *rest, **named)

    monkeypatch.setattr(BloomTokenizerFast, "encode", encode)
    return lengths


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_no_door_cuts_a_text_without_end_into_tokens(cut: list[int], door: str) -> None:
    lab = a_lab()
    lab.heads._shipped["language"] = lambda: random_model()
    with pytest.raises(InputError, match="token") as said:
        DOORS[door](lab, LONG)
    assert len(str(said.value)) <= 400
    assert max(cut, default=0) < 100, "it was cut into tokens"


@pytest.mark.parametrize("kind", FROM_TEXTS)
def test_a_text_that_an_edit_reads_is_as_long_as_others_at_most(cut: list[int], kind: str) -> None:
    lab = a_lab()
    with pytest.raises(InputError, match="this lab takes at most 2048"):
        lab.trace(TEXT, edit={"h.0.resid_post": FROM_TEXTS[kind](LONG)})
    assert max(cut, default=0) < 100


def test_a_question_without_end_is_not_cut_into_tokens(cut: list[int]) -> None:
    from bloomlab.views.predictions.payload import answer_values

    lab = a_lab()
    said = answer_values(lab.trace(TEXT), lab.tokenizer, random_model(), LONG)
    assert "the question has at least" in said["trouble"] and max(cut) < 100


def test_a_text_typed_into_a_page_is_not_cut_into_tokens(cut: list[int]) -> None:
    view = a_lab().attention(TEXT)
    view.typed = {"text": LONG, "number": 1}
    view._read_typed()
    assert view.state == "error" and "this lab takes at most" in view.message and view.text == TEXT
    assert max(cut) < 100


CONVERSATION = "{% for each in messages %}{{ each.content }}{% endfor %}"
OF_THE_TOKENIZER: dict[str, Callable[[BloomTokenizerFast, str], Any]] = {
    "a call": lambda tokenizer, text: tokenizer(text),
    "many texts": lambda tokenizer, text: tokenizer([text[:1000]] * (len(text) // 1000)),
    "a pair": lambda tokenizer, text: tokenizer(TEXT, text),
    "pairs": lambda tokenizer, text: tokenizer([(TEXT, TEXT), (TEXT, text)]),
    "truncation": lambda tokenizer, text: tokenizer(text, truncation=True, max_length=8),
    "encode": lambda tokenizer, text: tokenizer.encode(text),
    "tokenize": lambda tokenizer, text: tokenizer.tokenize(text),
    "tokens": lambda tokenizer, text: tokenizer.tokens(text),
    "display_tokens": lambda tokenizer, text: tokenizer.display_tokens(text),
    "a conversation": lambda tokenizer, text: tokenizer.apply_chat_template([{"content": text}], CONVERSATION),
    "a head": lambda tokenizer, text: list(ask._logits(random_model(), tokenizer, [TEXT], [text])),
}


@pytest.mark.parametrize("door", OF_THE_TOKENIZER)
def test_the_tokenizer_takes_what_there_is_memory_for(monkeypatch: pytest.MonkeyPatch, door: str) -> None:
    """It has no limit of its own; but of a text, each byte takes two hundred in memory."""
    tokenizer, text = byte_tokenizer(), TEXT * 100_000
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 100 << 20)
    monkeypatch.setattr(BloomTokenizerFast, "_encode", lambda *_: pytest.fail("it was cut into tokens"))
    with pytest.raises(MemoryLimitError, match=r"to encode a text of 9\d\d\.\d kB needs 19\d\.\d MB, .*in parts"):
        OF_THE_TOKENIZER[door](tokenizer, text)


ASKING: dict[str, Callable[[BloomTokenizerFast, list[str]], Any]] = {
    "language": lambda tokenizer, texts: ask.classify(random_head("language"), tokenizer, texts),
    "tags": lambda tokenizer, texts: ask.tag(random_head("tags"), tokenizer, texts),
    "answer": lambda tokenizer, texts: ask.answer(random_head("answer"), tokenizer, ["Where?"] * len(texts), texts),
    "answer, by the question": lambda tokenizer, texts: ask.answer(
        random_head("answer"), tokenizer, texts, ["Leo"] * len(texts)
    ),
}


@pytest.mark.parametrize("task", ASKING)
def test_a_head_takes_what_there_is_memory_for_where_each_token_looks_at_each(
    monkeypatch: pytest.MonkeyPatch, cut: list[int], task: str
) -> None:
    tokenizer = byte_tokenizer()
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 2_000_000)
    assert len(ASKING[task](tokenizer, [TEXT, "Leo"])) == 2
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 1 << 40)  # room for its tokens, but not squared
    with pytest.raises(MemoryLimitError, match=r"reading a text of \d+ tokens needs \d+\.\d TB, .*shorten it"):
        ASKING[task](tokenizer, [TEXT * 1_000_000])
    assert max(cut) < 100, "it was cut into tokens"


@pytest.mark.parametrize("task", ["language", "tags", "answer"])
def test_texts_that_are_padded_need_more_than_each_by_itself(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    tokenizer, long = byte_tokenizer(), "x" * 1_000
    monkeypatch.setattr(
        "bloomlab.guards.memory.free_bytes", lambda: 25_000_000
    )  # 4 bytes a look, of an answer 20; a padded one has besides a number for each of the heads
    assert len(ASKING[task](tokenizer, [long])) == 1
    with pytest.raises(MemoryLimitError, match=r"reading 9 texts of 1\d+ tokens at once needs .*each by itself"):
        ASKING[task](tokenizer, [long, *["Leo"] * 8])


def test_words_count_as_a_text_does(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = BloomTokenizerFast(tokenizer_object=byte_tokenizer()._library, add_prefix_space=True)
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 100 << 20)
    with pytest.raises(MemoryLimitError, match="encode it in parts"):
        tokenizer([TEXT] * 100_000, is_split_into_words=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not say the most memory held")
def test_a_text_is_refused_in_little_memory_beyond_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, text = a_lab(), "漢" * 20_000_000  # 40 MB here, 60 MB in UTF-8, which nobody needs to write down
    raw = text[:15_000_000].encode()
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 1 << 30)
    refusing: list[Callable[[], Any]] = [
        lambda: lab.tokenizer(text),
        lambda: lab.tokenizer.tokens(text),
        lambda: lab.trace(text),
        lambda: lab.trace(raw),
        lambda: lab.effects(TEXT, other=text),
        lambda: lab.receipt(TEXT, token=text),
    ]
    for refuse in refusing:
        forget_peak()
        before, started = peak(), time.process_time()
        with pytest.raises(BloomlabError):
            refuse()
        assert peak() - before < 50 << 20 and time.process_time() - started < 2
