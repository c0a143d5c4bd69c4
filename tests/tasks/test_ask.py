"""What the task heads say, as objects: the numbers are the models' own, one text or many, and bad input is an error."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import bloomlab
from bloomlab import tiny
from bloomlab.errors import InputError
from bloomlab.lab import Lab, load
from bloomlab.tasks.ask import best_spans, entities, words
from bloomlab.tiny.heads import HEADS
from tests.tasks.task_heads import LABELS, random_head, random_lab
from tests.tiny_random import byte_tokenizer, random_model

TEXTS = ["Leo lives in Oslo.", "ليلى في تونس", "小梅有一只猫。", "रवि", "😀 a\n", "x" * 70]
QUESTION = "Where does Leo live?"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return random_lab()


def ids_of(lab: Lab, *texts: str) -> torch.Tensor:
    return torch.tensor([[index for text in texts for index in lab.tokenizer.encode(text)]])


# ---- the numbers ----


@pytest.mark.parametrize("text", TEXTS)
def test_a_label_is_read_from_the_last_token_with_the_model_s_own_probabilities(lab: Lab, text: str) -> None:
    result: Any = lab.classify(text)
    probs = lab.heads["language"](ids_of(lab, text)).logits[0].softmax(-1).tolist()
    assert result.scores == pytest.approx(dict(zip(LABELS["language"], probs, strict=True)))
    assert list(result.scores.values()) == sorted(probs, reverse=True) and sum(probs) == pytest.approx(1)
    assert result.label == max(result.scores, key=result.scores.get) and result.score == max(probs)
    assert result.column == len(result.tokens) - 1 and list(result.tokens) == list(lab.tokens(text))


def test_a_padding_token_in_the_text_is_not_read_from(lab: Lab) -> None:
    """The head reads the last token that is not padding, and the result names that one."""
    result: Any = lab.classify("Leo<pad><pad>")
    assert (len(result.tokens), result.column) == (5, 2)
    assert result.scores == pytest.approx(lab.classify("Leo").scores, abs=1e-6)  # type: ignore[union-attr]


@pytest.mark.parametrize("text", TEXTS)
def test_each_token_has_the_model_s_own_tag(lab: Lab, text: str) -> None:
    result: Any = lab.tag(text)
    probs = lab.heads["tags"](ids_of(lab, text)).logits[0].softmax(-1)
    torch.testing.assert_close(torch.tensor([list(row.values()) for row in result.scores]), probs)
    assert list(result.tags) == [LABELS["tags"][i] for i in probs.argmax(-1).tolist()]
    for entity in result.entities:
        assert text[entity.start : entity.end] == entity.text == entity.text.strip() != ""
        assert result.tags[entity.columns[-1]] == entity.tag != "O"
        assert entity.score <= result.scores[entity.columns[-1]][entity.tag]


@pytest.mark.parametrize("context", TEXTS)
def test_an_answer_is_the_likeliest_span_of_the_context(lab: Lab, context: str) -> None:
    result: Any = lab.answer(QUESTION, context)
    output = lab.heads["answer"](ids_of(lab, QUESTION + "\n", context))
    n = len(lab.tokens(context))
    starts, ends = output.start_logits[0].softmax(0)[-n:], output.end_logits[0].softmax(0)[-n:]
    assert result.starts == pytest.approx(starts.tolist()) and result.ends == pytest.approx(ends.tolist())
    assert result.outside == pytest.approx(1 - starts.sum().item(), abs=1e-6)
    best = max(((starts[i] * ends[j]).item(), i, j) for i in range(n) for j in range(i, n))
    assert (result.score, result.spans[0].first, result.spans[0].last) == pytest.approx(best)
    assert result.context[result.start : result.end] == result.text == result.text.strip()
    assert [span.score for span in result.spans] == sorted((span.score for span in result.spans), reverse=True)
    if result.score < 0.5:
        assert result.note and result.note in repr(result)


def test_every_span_is_looked_at() -> None:
    starts, ends = torch.rand(7, generator=torch.Generator().manual_seed(0)), torch.linspace(1, 0.4, 7)
    expected = sorted(((starts[i] * ends[j]).item(), i, j) for i in range(7) for j in range(i, 7))[::-1]
    assert [(p, i, j) for i, j, p in best_spans(starts, ends, top=99)] == expected


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("verb", ["classify", "tag", "answer"])
def test_texts_read_together_get_the_scores_they_get_alone(verb: str, side: str) -> None:
    lab = random_lab()
    lab.tokenizer.padding_side = side
    try:
        texts = TEXTS * 7  # more than one pass
        verbs: dict[str, Any] = {"classify": lab.classify, "tag": lab.tag, "answer": partial(lab.answer, QUESTION)}
        together, alone = verbs[verb](texts), [verbs[verb](text) for text in texts]
    finally:
        lab.tokenizer.padding_side = "left"
    assert len(together) == len(texts)
    for one, other in zip(together, alone, strict=True):
        if verb == "classify":
            assert (one.label, one.column, one.tokens) == (other.label, other.column, other.tokens)
            assert one.scores == pytest.approx(other.scores, abs=1e-5)
        elif verb == "tag":
            assert (one.tags, [e[:4] for e in one.entities]) == (other.tags, [e[:4] for e in other.entities])
            for mine, theirs in zip(one.scores, other.scores, strict=True):
                assert mine == pytest.approx(theirs, abs=1e-5)
        else:
            assert (one.text, one.start, one.end) == (other.text, other.start, other.end)
            assert one.starts == pytest.approx(other.starts, abs=1e-5)


def test_questions_go_with_the_contexts_beside_them(lab: Lab) -> None:
    both: Any = lab.answer([QUESTION, "Who?"], TEXTS[:2])
    one: Any = lab.answer(QUESTION, TEXTS[:2])
    many: Any = lab.answer(["Who?", QUESTION], TEXTS[1])
    assert both[0].starts == pytest.approx(one[0].starts, abs=1e-5)
    assert both[1].starts == pytest.approx(many[0].starts, abs=1e-5)
    assert (both[1].question, both[1].context) == ("Who?", TEXTS[1])
    assert lab.classify([]) == [] and lab.answer(QUESTION, []) == []


def test_a_word_is_named_by_its_last_token_without_the_spaces_around_it(lab: Lab) -> None:
    text = " New York, Leo"  # a token for each letter
    tags = ["CITY"] * 9 + ["O"] * 2 + ["CITY", "O", "PERSON"]
    names = entities(text, lab.tokens(text), tags, [0.9] * 8 + [0.7] + [1.0] * 5)
    assert [entity[:5] for entity in names] == [("New York", "CITY", 1, 9, 0.7), ("Leo", "PERSON", 11, 14, 1.0)]
    assert [len(entity.columns) for entity in names] == [9, 3]
    assert entities("  ", lab.tokens("  "), ["CITY"] * 2, [1.0, 1.0]) == ()


def test_where_no_spaces_are_written_every_token_can_be_a_word(lab: Lab) -> None:
    assert words("黑猫a1", lab.tokens("黑猫a1")) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert words("في دار", lab.tokens("في دار")) == [[0, 1, 2, 3], [4], [5, 6, 7, 8, 9, 10]]


def test_a_part_of_a_character_gives_the_whole_character(lab: Lab) -> None:
    tokens = lab.tokens("a😀b")
    assert entities("a😀b", tokens, ["O", "O", "O", "O", "CITY", "O"], [1.0] * 6)[0][:4] == ("😀", "CITY", 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("task", HEADS)
def test_transformers_opens_a_saved_head_strictly_and_says_the_same(lab: Lab, task: str, tmp_path: Path) -> None:
    lab.heads[task].save_pretrained(tmp_path)
    name = type(lab.heads[task]).__name__
    theirs, report = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    ids = ids_of(lab, QUESTION + "\n", TEXTS[0])
    ours, reference = lab.heads[task](ids), theirs.eval()(ids)
    for key in ("start_logits", "end_logits") if task == "answer" else ("logits",):
        torch.testing.assert_close(ours[key], reference[key], atol=1e-4, rtol=1e-4)
    assert theirs.config.id2label == dict(enumerate(LABELS[task]))
    torch.testing.assert_close(type(lab.heads[task]).from_pretrained(tmp_path)(ids)[key], ours[key])


# ---- how they show ----


def test_a_result_is_shown_in_a_line(lab: Lab) -> None:
    result: Any = lab.classify("Leo")
    assert repr(result).startswith(f"{result.label} {result.score:.3f} (")
    assert repr(result).endswith("), read from token 2 o")
    tagging: Any = lab.tag("😀")
    assert len(repr(tagging).splitlines()) == 5 and "[f0]" in repr(tagging)
    answer: Any = lab.answer(QUESTION, "Leo")
    assert f"characters {answer.start} to {answer.end}" in repr(answer)


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</script>\u202e", "a\"'>b"])
def test_hostile_text_and_labels_stay_text_in_html(lab: Lab, text: str) -> None:
    for result in (lab.classify(text), lab.tag(text), lab.answer(text, text)):
        html = result._repr_html_()  # type: ignore[union-attr]
        assert "<img" not in html and "<script" not in html and "</script" not in html and "\u202e" not in html
        assert "<b>" not in html and "onerror=alert(1)>" not in html
    assert "&lt;b&gt;ar&lt;/b&gt;" in lab.classify(text)._repr_html_()  # type: ignore[union-attr]


def test_a_display_token_shows_the_tag_of_each_of_its_tokens(lab: Lab) -> None:
    result: Any = lab.tag("猫")
    html = result._repr_html_()
    assert html.count("猫") >= 1
    for pos, name in enumerate(result.tags):
        assert (f"{name} {result.scores[pos][name]:.2f}" in html) == (name != "O")


# ---- bad input ----


def test_a_lab_without_a_head_says_how_to_give_it_one() -> None:
    lab = Lab(random_model(), byte_tokenizer())
    asks: dict[str, Any] = {"language": lab.classify, "tags": lab.tag, "answer": lambda text: lab.answer(text, text)}
    for verb, ask in asks.items():
        with pytest.raises(InputError, match=rf"no head '{verb}'.*lab.heads\['{verb}'\] = model"):
            ask("Leo")


def test_a_head_of_another_kind_or_vocabulary_is_refused(lab: Lab) -> None:
    other = Lab(random_model(), byte_tokenizer())
    other.heads["language"] = random_head("tags")
    with pytest.raises(InputError, match=r"needs a BloomForSequenceClassification, but the head is a BloomForToken"):
        other.classify("Leo")
    with pytest.raises(InputError, match="tokenizer has 260 tokens, but the head knows 100"):
        other.heads["tags"] = random_head("tags", vocab_size=100)
    with pytest.raises(InputError, match=r"a head is a model .* but got str"):
        other.heads["tags"] = "tags"  # type: ignore[assignment]
    other.heads["language"] = random_head("language", id2label={0: "same", 1: "same"})
    with pytest.raises(InputError, match="at least two labels, each with a name of its own"):
        other.classify("Leo")


def test_numbers_that_are_not_finite_are_an_error(lab: Lab) -> None:
    other = Lab(random_model(), byte_tokenizer())
    other.heads["tags"] = random_head("tags")
    with torch.no_grad():
        next(other.heads["tags"].parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="numbers that are not finite"):
        other.tag("Leo")


BAD: list[tuple[Any, str]] = [
    ("", "is empty; write at least one character"),
    (None, r"expected a text \(str\)"),
    (b"Leo", "decode it first"),
    ("a\ud800", "half a surrogate pair"),
    ("x" * 2049, "2049 tokens, but this lab takes at most 2048"),
    (["Leo", ""], "is empty"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=lambda value: repr(value)[:12])
def test_a_text_that_cannot_be_read_is_one_clear_error(lab: Lab, text: Any, message: str) -> None:
    asks: list[Any] = [lab.classify, lab.tag, lambda x: lab.answer(x, "Leo"), lambda x: lab.answer("Leo", x)]
    for ask in asks:
        with pytest.raises(InputError, match=message):
            ask(text)


def test_a_question_needs_its_context(lab: Lab) -> None:
    with pytest.raises(InputError, match="the context is empty"):
        lab.answer(QUESTION)
    with pytest.raises(InputError, match="there are 2 questions, but 3 contexts"):
        lab.answer(["a", "b"], ["c", "d", "e"])
    with pytest.raises(InputError, match="the text has 3001 tokens"):
        lab.answer("x" * 1500, "y" * 1500)


def test_an_answer_that_is_unlikely_or_outside_the_context_says_so(lab: Lab) -> None:
    head = random_head("answer")
    other = Lab(random_model(), byte_tokenizer())
    other.heads["answer"] = head
    with torch.no_grad():
        head.qa_outputs.weight.zero_()  # every token is as likely as any other
    result: Any = other.answer("Who?", "Leo")
    assert result.note.startswith("no answer found: the head points at the question instead, with probability 0.62")
    result = other.answer("Q", "Leo lives")
    assert result.score == pytest.approx(1 / 121)
    assert result.note == "a guess: the likeliest span has a probability of only 0.01"


# ---- the embedded model's own heads ----


@pytest.fixture(scope="module")
def embedded() -> Lab:
    return load()


def test_the_embedded_heads_are_opened_when_they_are_asked(embedded: Lab) -> None:
    assert list(embedded.heads) == list(tiny.TASKS)
    french: Any = embedded.classify("Leo vit à Oslo.")
    assert french.label == "fr" and french.score > 0.9
    tagging: Any = embedded.tag("Leo lives in Oslo.")
    assert [(entity.text, entity.tag) for entity in tagging.entities] == [("Leo", "PERSON"), ("Oslo", "CITY")]
    result: Any = embedded.answer(QUESTION, "Ana lives in Paris. Leo lives in Oslo.")
    assert (result.text, result.start, result.note) == ("Oslo", 33, "")


@pytest.mark.parametrize("text", ["привет", "{}", "\x00", "a" * 300, "\u202e\u200b", "<pad>", "7 + 5 = 12", "𒀀"])
def test_text_from_outside_its_world_is_answered_and_never_an_exception(embedded: Lab, text: str) -> None:
    result: Any = embedded.classify(text)
    assert sum(result.scores.values()) == pytest.approx(1, abs=1e-4) and len(result.scores) == 11
    assert len(embedded.tag(text).tags) == len(embedded.tokens(text))  # type: ignore[union-attr]
    answer: Any = embedded.answer(QUESTION, text)
    assert 0 <= answer.score <= 1 and (answer.score >= 0.5 or answer.note)


def test_a_question_the_context_does_not_answer_is_called_a_guess(embedded: Lab) -> None:
    result: Any = embedded.answer("Where does Ana live?", "Leo lives in Oslo.")
    assert result.note.startswith("a guess") and result.score < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("task", [None, *HEADS])
def test_transformers_opens_the_shipped_files_strictly_and_says_the_same(task: str | None) -> None:
    """The trunk and its heads are plain BLOOM checkpoints."""
    lab = bloomlab.load()
    folder = tiny.folder() / "heads" / task if task else tiny.folder()
    ours: Any = lab.heads[task] if task else lab.model
    theirs, report = getattr(transformers, type(ours).__name__).from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    for text in [QUESTION + "\n" + TEXTS[0], *TEXTS[1:4]]:
        ids = ids_of(lab, text)
        mine, reference = ours(ids), theirs.eval()(ids)
        for key in ("start_logits", "end_logits") if task == "answer" else ("logits",):
            torch.testing.assert_close(mine[key], reference[key], atol=1e-4, rtol=1e-4)
