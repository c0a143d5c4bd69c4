"""BloomTokenizerFast against transformers' tokenizer, live, on the same files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from bloomlab.errors import InputError
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.parity.v4 import scenarios
from tests.text.small_tokenizer import TEXTS, hub_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = hub_folder(tmp_path_factory.mktemp("tokenizer"))
    (place / "config.json").write_text('{"model_type": "bloom"}')
    return place


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def ours(folder: Path) -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_tokens_offsets_and_word_ids_equal_the_reference(text: str, ours: Any, reference: Any) -> None:
    asked = {"return_offsets_mapping": True, "return_token_type_ids": True, "return_special_tokens_mask": True}
    got, expected = ours(text, **asked), reference(text, **asked)
    assert dict(got) == dict(expected)
    assert got.tokens() == expected.tokens() == ours.tokenize(text)
    assert got.word_ids() == expected.word_ids()
    assert ours.encode(text) == expected["input_ids"]


@pytest.mark.slow
@given(st.text(max_size=40))
def test_any_text_gets_the_references_ids_and_comes_back(ours: Any, reference: Any, text: str) -> None:
    ids = ours.encode(text)
    assert ids == reference.encode(text)
    assert ours.decode(ids) == reference.decode(ids) == text


@pytest.mark.slow
@given(st.lists(st.integers(min_value=0, max_value=500), max_size=30), st.booleans())
def test_any_ids_decode_as_the_reference_decodes_them(ours: Any, reference: Any, ids: list[int], skip: bool) -> None:
    """Broken characters and ids that no token has are among them."""
    assert ours.decode(ids, skip_special_tokens=skip) == reference.decode(ids, skip_special_tokens=skip)
    assert ours.convert_ids_to_tokens(ids) == reference.convert_ids_to_tokens(ids)


CALLS: list[dict[str, Any]] = [
    {},
    {"padding": True},
    {"padding": "longest", "pad_to_multiple_of": 8},
    {"padding": "max_length", "max_length": 12},
    {"padding": "max_length", "max_length": 12, "truncation": True},
    {"padding": True, "max_length": 5, "truncation": True},
    {"padding": True, "max_length": 8, "truncation": "only_first", "pad_to_multiple_of": 4},
    {"truncation": True},
    {"truncation": "longest_first", "max_length": 1},
    {"max_length": 6},
    {"max_length": 6, "truncation": False},
    {"padding": True, "padding_side": "right", "return_offsets_mapping": True},
    {"padding": True, "return_attention_mask": False},
    {"padding": True, "add_special_tokens": False, "return_token_type_ids": True, "return_special_tokens_mask": True},
]


@pytest.mark.parametrize("options", CALLS, ids=str)
def test_batches_are_cut_and_filled_as_the_reference_does(options: Any, ours: Any, reference: Any) -> None:
    got, expected = ours(TEXTS, **options), reference(TEXTS, **options)
    assert dict(got) == dict(expected)
    for row in range(len(TEXTS)):
        assert got.word_ids(row) == expected.word_ids(row)
        assert got.tokens(row) == expected.tokens(row)


@pytest.mark.parametrize("length", range(1, 24))
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_pairs_are_cut_as_the_reference_does(
    length: int, strategy: str, side: str, folder: Path, ours: Any, reference: Any
) -> None:
    pairs = [("hello world, the big world", "नमस्ते"), ("it", "the quick brown fox jumps"), ("a b c d", "e f g h")]
    ours.truncation_side = reference.truncation_side = side
    try:
        for pair in pairs:
            asked = {"truncation": strategy, "max_length": length, "return_offsets_mapping": True}
            try:
                expected = reference(*pair, **asked)
            except Exception as error:  # the library's own type is plain Exception
                assert "too short" in str(error)
                with pytest.raises(InputError, match="pass truncation=True"):
                    ours(*pair, **asked)
                continue
            got = ours(*pair, **asked)
            assert dict(got) == dict(expected)
            assert [got.sequence_ids(), got.word_ids()] == [expected.sequence_ids(0), expected.word_ids(0)]
    finally:
        ours.truncation_side = reference.truncation_side = "right"


def test_lists_of_pairs_equal_the_reference(ours: Any, reference: Any) -> None:
    first, second = ["hello world", "it is"], ["the big", "नमस्ते दुनिया।"]
    asked = {"padding": True, "return_token_type_ids": True, "return_tensors": "np"}
    results = [ours(first, second, **asked), ours(list(zip(first, second, strict=True)), **asked)]
    expected = reference(first, second, **asked)
    for got in results:
        assert got.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(got[name], expected[name])
            assert got[name].dtype == expected[name].dtype


def test_torch_tensors_equal_the_reference(ours: Any, reference: Any) -> None:
    got, expected = (each(TEXTS, padding=True, return_tensors="pt") for each in (ours, reference))
    for name in expected:
        assert got[name].dtype == expected[name].dtype
        assert got[name].equal(expected[name])


def test_words_given_one_by_one_equal_the_reference(tmp_path: Path, folder: Path) -> None:
    """From a file that says so: the reference ignores the argument add_prefix_space for BLOOM's files."""
    ours = BloomTokenizerFast.from_pretrained(folder, add_prefix_space=True)
    ours.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    words = [["hello", "a.b", "世界"], ["x"]]
    asked = {"is_split_into_words": True, "padding": True, "return_offsets_mapping": True}
    got, expected = ours(words, **asked), reference(words, **asked)
    assert dict(got) == dict(expected)
    assert [got.word_ids(row) for row in (0, 1)] == [expected.word_ids(row) for row in (0, 1)]
    assert dict(ours(words[0], is_split_into_words=True)) == dict(reference(words[0], is_split_into_words=True))
    assert ours.tokenize("a.b") == reference.tokenize("a.b") == list("ĠaĠ.Ġb")


def test_the_vocabulary_and_the_special_tokens_equal_the_reference(ours: Any, reference: Any) -> None:
    assert ours.get_vocab() == reference.get_vocab()
    assert (ours.vocab_size, len(ours)) == (reference.vocab_size, len(reference))
    assert ours.special_tokens_map == reference.special_tokens_map
    assert sorted(ours.all_special_ids) == sorted(reference.all_special_ids)
    assert ours.padding_side == reference.padding_side == "left"
    for name in ("unk_token", "bos_token", "eos_token", "pad_token"):
        assert getattr(ours, name) == getattr(reference, name)
        assert getattr(ours, f"{name}_id") == getattr(reference, f"{name}_id")
    words = ["hello", "Ġworld", "nonsense", "<pad>"]
    assert ours.convert_tokens_to_ids(words) == reference.convert_tokens_to_ids(words)
    assert ours.convert_tokens_to_ids("Ġworld") == reference.convert_tokens_to_ids("Ġworld")


def test_the_reference_opens_what_we_save(tmp_path: Path, ours: Any) -> None:
    ours.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bloom"}')
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert reference(TEXTS, padding=True)["input_ids"] == ours(TEXTS, padding=True)["input_ids"]
    assert reference.special_tokens_map == ours.special_tokens_map


def test_we_open_what_the_reference_saves_after_a_padded_and_cut_call(tmp_path: Path, folder: Path, ours: Any) -> None:
    """By then its file holds `truncation` and `padding`, which are no part of the tokenizer."""
    reference = transformers.AutoTokenizer.from_pretrained(folder)
    reference(TEXTS, padding=True, truncation=True, max_length=3)
    reference.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["truncation"] and saved["padding"]
    again = BloomTokenizerFast.from_pretrained(tmp_path)
    assert again(TEXTS)["input_ids"] == ours(TEXTS)["input_ids"]


def test_the_older_pair_of_files_gives_the_same_ids(tmp_path: Path, ours: Any, reference: Any) -> None:
    vocab_file, merges_file = ours.save_vocabulary(tmp_path)
    again = BloomTokenizerFast(vocab_file=vocab_file, merges_file=merges_file)
    for text in TEXTS:
        assert again.encode(text) == reference.encode(text)


def opener(library: Any, folder: Path) -> Any:
    """Opens a tokenizer of this folder, with options; of the reference by a file, which is what it heeds."""

    def make(add_prefix_space: bool = False, **options: Any) -> Any:
        place = folder / f"spaced {add_prefix_space}"
        if not place.exists():
            BloomTokenizerFast.from_pretrained(folder, add_prefix_space=add_prefix_space).save_pretrained(place)
            (place / "config.json").write_text('{"model_type": "bloom"}')
        return library.from_pretrained(place, **options)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("asks", [scenarios.guides, scenarios.special], ids=["the guides", "special tokens, a chat"])
def test_what_the_guides_ask_of_a_tokenizer_equals_the_reference(asks: Any, folder: Path) -> None:
    """Two hundred texts in twelve scripts: windows, where each token comes from, words given one by one, padding."""
    got, expected = (asks(opener(library, folder)) for library in (BloomTokenizerFast, transformers.AutoTokenizer))
    assert got.keys() == expected.keys()
    for name in expected:
        assert got[name] == expected[name], name
    assert len({*scenarios.in_scripts()}) > 190


def test_special_tokens_without_a_name_go_both_ways(tmp_path: Path, folder: Path) -> None:
    ours = BloomTokenizerFast.from_pretrained(folder)
    ours.add_special_tokens({"extra_special_tokens": ["<user>", "<bot>"]})
    ours.save_pretrained(tmp_path / "ours")
    (tmp_path / "ours" / "config.json").write_text('{"model_type": "bloom"}')
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert reference.extra_special_tokens == ours.extra_special_tokens == ["<user>", "<bot>"]
    reference.save_pretrained(tmp_path / "theirs")
    again = BloomTokenizerFast.from_pretrained(tmp_path / "theirs")
    assert again.extra_special_tokens == ["<user>", "<bot>"]
    assert again("<user>a<bot>")["input_ids"] == reference("<user>a<bot>")["input_ids"]
