"""The embedded tokenizer is BLOOM's, only smaller."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.train_tokenizer import BLOOM_SPLIT, SPECIAL, VOCAB_SIZE, save, train_tokenizer


@cache
def shipped() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


@cache
def shipped_file() -> dict[str, Any]:
    return dict(json.loads((folder() / "tokenizer.json").read_text(encoding="utf-8")))


def test_specials_come_first_then_the_bytes_in_code_point_order() -> None:
    tokens = sorted(shipped_file()["model"]["vocab"].items(), key=lambda entry: entry[1])
    assert [token for token, _ in tokens[:4]] == ["<unk>", "<s>", "</s>", "<pad>"]
    characters = [token for token, _ in tokens[4:260]]
    assert characters == sorted(characters) and all(len(character) == 1 for character in characters)
    assert all(len(token) > 1 for token, _ in tokens[260:])
    assert [index for _, index in tokens] == list(range(VOCAB_SIZE))


def test_the_pipeline_around_the_vocabulary_is_blooms() -> None:
    file = shipped_file()
    split, byte_level = file["pre_tokenizer"]["pretokenizers"]
    assert split["pattern"] == {"Regex": BLOOM_SPLIT} and split["behavior"] == "Isolated" and not split["invert"]
    assert byte_level["type"] == "ByteLevel" and not byte_level["add_prefix_space"] and not byte_level["use_regex"]
    assert file["post_processor"]["type"] == file["decoder"]["type"] == "ByteLevel"
    assert not file["post_processor"]["trim_offsets"]
    assert file["normalizer"] is None and file["truncation"] is None and file["padding"] is None
    assert file["model"]["unk_token"] is None and file["model"]["dropout"] is None


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    if not any(special in text for special in SPECIAL.values()):
        assert shipped().decode(shipped().encode(text)) == text


def test_no_token_reaches_over_a_space() -> None:
    texts = [shipped().decode([index]) for index in range(4, VOCAB_SIZE)]
    assert not [text for text in texts if " " in text.strip()]


def test_no_token_holds_two_chinese_words() -> None:
    for glued in ("住在", "的家", "是一", "出生在", "一只", "买了"):
        assert len(shipped().encode(glued)) > 1, glued
    for word in ("出生", "动物", "颜色", "苹果"):
        assert len(shipped().encode(word)) == 1, word
    assert LANGUAGES["zh"].gap == ""  # nothing marks the words in what the model reads


def test_the_specials_have_their_ids() -> None:
    tokenizer = shipped()
    assert [tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [
        0,
        1,
        2,
        3,
    ]
    assert tokenizer.encode("a</s>b")[1] == 2
    assert tokenizer.padding_side == "left"


@pytest.mark.slow
def test_training_again_gives_the_shipped_tokenizer() -> None:
    again = json.loads(train_tokenizer(seed=0).to_str())
    assert again["model"] == shipped_file()["model"]


def test_a_saved_tokenizer_opens_with_both_libraries(tmp_path: Any) -> None:
    library = train_tokenizer(seed=1, count=50)
    save(library, tmp_path)
    text = "Leo vit à Oslo."
    assert BloomTokenizerFast.from_pretrained(tmp_path).encode(text) == library.encode(text).ids
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids == library.encode(text).ids
