import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

from bloomlab.errors import HookError, InputError
from bloomlab.lab import Lab
from bloomlab.lens.costs import READ, compare, cost, count, count_words, read_last, state_surprise, surprise
from tests.lens.sentences import SENTENCES

# -- surprise and bits ----


@pytest.mark.parametrize("language", SENTENCES)
def test_the_mean_surprise_is_the_loss_and_so_are_the_bits(language: str, lab: Lab) -> None:
    trace = lab.trace(SENTENCES[language], read=READ)
    loss = lab.model(trace.ids, labels=trace.ids).loss.item()
    nats = surprise(trace)
    assert math.isnan(nats[0]) and nats[1:].mean().item() == pytest.approx(loss, rel=1e-5)
    found = cost(trace)
    predicted = found.bytes - len(trace.tokens[0].bytes)
    assert found.bits_per_byte is not None
    assert found.bits_per_byte * math.log(2) * predicted == pytest.approx(loss * (found.tokens - 1), rel=1e-5)


@pytest.mark.parametrize("language", SENTENCES)
def test_counting_needs_no_model(language: str, lab: Lab) -> None:
    text = SENTENCES[language]
    assert count(lab.tokens(text)) == dataclasses.replace(cost(lab.trace(text, read=READ)), bits_per_byte=None)


@pytest.mark.parametrize("n_head", [1, 6, 7])
def test_padding_on_the_left_does_not_change_a_cost(n_head: int, random_lab: Callable[..., Lab]) -> None:
    lab = random_lab(n_head)
    padded, alone = cost(lab.trace(["abcdefgh", "x中z"], read=READ).row(1)), cost(lab.trace("x中z", read=READ))
    assert padded.bits_per_byte == pytest.approx(alone.bits_per_byte, rel=1e-4)
    assert dataclasses.replace(padded, bits_per_byte=None) == dataclasses.replace(alone, bits_per_byte=None)


def test_a_model_without_an_idea_needs_the_bits_of_its_vocabulary(random_lab: Callable[..., Lab]) -> None:
    """Its tokens are bytes and it hesitates between 256 of them: 8 bits per byte."""
    lab = random_lab(vocab_size=260, scale=0.0)
    with torch.no_grad():
        lab.model.transformer.word_embeddings.weight[:4] = -1e4
        lab.model.transformer.ln_f.weight.zero_()
        lab.model.transformer.ln_f.bias.fill_(1)
    assert cost(lab.trace("byte 中", read=READ)).bits_per_byte == pytest.approx(8)


def test_one_token_has_nothing_to_predict(lab: Lab) -> None:
    found = cost(lab.trace("a", read=READ))
    assert (found.tokens, found.bits_per_byte) == (1, None)
    assert surprise(lab.trace("a", read=READ)).isnan().all()


@pytest.mark.parametrize("language", SENTENCES)
def test_counts_are_the_texts_own(language: str, lab: Lab) -> None:
    text = SENTENCES[language]
    found = cost(lab.trace(text, read=READ))
    assert (found.characters, found.bytes) == (len(text), len(text.encode()))
    assert found.tokens == len(lab.tokens(text))
    assert found.tokens_per_byte * found.bytes == pytest.approx(found.tokens)
    assert found.tokens_per_character * found.characters == pytest.approx(found.tokens)


def test_languages_stand_side_by_side(lab: Lab) -> None:
    table = compare({name: lab.trace(text, read=READ) for name, text in SENTENCES.items()})
    assert {name: row.words for name, row in table.items()} == {"en": 8, "ar": 7, "zh": None, "hi": 11}
    assert table["zh"].tokens_per_word is None
    assert table["zh"].tokens_per_character > table["en"].tokens_per_character
    assert table["en"].tokens_per_word == table["en"].tokens / 8


def test_ids_that_stand_for_no_text_have_no_cost(random_lab: Callable[..., Lab]) -> None:
    with pytest.raises(InputError, match="stand for no text"):
        cost(random_lab().trace(torch.tensor([[290, 291]]), read=READ))


# -- words ----


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("don't stop", 2), ("« oui »", 1), ("7 + 5 = 12", 3), ("ภาษา", None), ("a 猫", None), ("한국어 말", 2)],
)
def test_words_are_counted_where_spaces_part_them(text: str, words: int | None) -> None:
    assert count_words(text) == words


# -- the same from the last state --


@pytest.mark.parametrize("text", ["Leo lives in Oslo.", "القطة تنام هنا.", "x", "a" * 40])
def test_the_last_state_gives_the_surprise_of_the_logits(
    text: str, random_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = random_lab()
    trace = lab.trace(text, read=[*READ, *read_last(3)])
    monkeypatch.setattr("bloomlab.lens.inputs.AT_ONCE", 4 * lab.model.config.vocab_size)  # four positions at a time
    torch.testing.assert_close(state_surprise(lab.model, trace), surprise(trace), equal_nan=True)


def test_a_trace_without_the_last_state_or_of_another_model_has_no_surprise(random_lab: Callable[..., Lab]) -> None:
    lab = random_lab()
    with pytest.raises(HookError, match=r"needs 'h\.2\.resid_post'"):
        state_surprise(lab.model, lab.trace("Leo.", read=["h.1.resid_post"]))
    with pytest.raises(InputError, match="24 wide, but this one is 4 wide"):
        state_surprise(random_lab(1).model, lab.trace("Leo.", read=read_last(3)))
