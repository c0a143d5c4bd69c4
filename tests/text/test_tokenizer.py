"""From text to ids and back: what only bloomlab does. Agreement with the reference is tested in parity/."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bloomlab.errors import InputError, TokenizerError
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import display_tokens
from tests.text.small_tokenizer import TEXTS, hub_folder, trained_json
from tests.tiny_random import byte_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hub_folder(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder)


@pytest.mark.slow
@given(st.text(max_size=60))
def test_the_bytes_of_all_tokens_and_display_tokens_are_the_text(tokenizer: Any, text: str) -> None:
    tokens = tokenizer.tokens(text)
    assert b"".join(token.bytes for token in tokens) == text.encode()
    assert "".join(part.text for part in display_tokens(tokens)) == text
    assert [token.id for token in tokens] == tokenizer.encode(text)


@pytest.mark.parametrize("text", TEXTS)
def test_spans_are_the_librarys_offsets(tokenizer: Any, text: str) -> None:
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [token.span for token in tokenizer.tokens(text)] == offsets


@pytest.mark.parametrize("text", TEXTS)
def test_spans_ignore_the_spaces_that_add_prefix_space_puts_in(folder: Path, text: str) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(folder, add_prefix_space=True)
    tokens = tokenizer.tokens(text)
    end = 0
    for token in tokens:
        start, stop = token.span
        assert start <= end <= max(stop, end)
        if token.text and stop > start:
            assert token.text.removeprefix(" ") in (text[start:stop], text[start:stop].removeprefix(" "))
        end = max(end, stop)
    assert end == len(text)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_of_ids_are_those_of_the_text(tokenizer: Any, text: str) -> None:
    assert tokenizer.tokens_of_ids(tokenizer.encode(text)) == tokenizer.tokens(text)
    assert tokenizer.tokens_of_ids(torch.tensor(tokenizer.encode(text), dtype=torch.long)) == tokenizer.tokens(text)


def test_the_split_reads_the_inner_bracket_as_a_class_of_its_own(tokenizer: Any) -> None:
    """Each mark of the class ends a piece; a bracket ] or a quote does not."""
    text = 'a.b|c]d"e(f。g۔h i'
    spans = [span for _, span in tokenizer._library.pre_tokenizer.pre_tokenize_str(text)]
    pieces = [text[start:stop] for start, stop in spans]
    assert pieces == ["a", ".", "b", "|", 'c]d"e', "(", "f", "。", "g", "۔", "h", " i"]


def test_nothing_is_added_and_special_tokens_in_the_text_are_recognised(tokenizer: Any) -> None:
    assert tokenizer.encode("<s>") == [1]
    assert tokenizer.encode("") == []
    assert 1 not in tokenizer.encode("hello")
    (token,) = tokenizer.tokens("</s>")
    assert (token.id, token.bytes, token.text, token.span) == (2, b"</s>", "</s>", (0, 4))


def test_an_encoding_can_be_read_in_three_ways_and_moved(tokenizer: Any) -> None:
    encoding = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert encoding["input_ids"] is encoding.input_ids
    assert set(dict(**encoding)) == {"input_ids", "attention_mask"}
    assert encoding.to("meta") is encoding
    assert encoding.input_ids.device.type == "meta"
    with pytest.raises(AttributeError, match="holds input_ids, attention_mask, but not 'labels'"):
        encoding.labels  # noqa: B018
    with pytest.raises(InputError, match="index of one of 12 texts"):
        encoding.word_ids(12)


def test_an_encoding_and_a_tokenizer_can_be_copied_and_pickled(tokenizer: Any) -> None:
    encoding = tokenizer(TEXTS)
    for again in (copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert again == encoding and again.word_ids(2) == encoding.word_ids(2)
    for other in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert other(TEXTS) == encoding
        assert other.pad_token_id == 3


def test_empty_batches_and_empty_texts_keep_their_shape(tokenizer: Any) -> None:
    assert dict(tokenizer([])) == {"input_ids": [], "attention_mask": []}
    assert tokenizer([], return_tensors="pt").input_ids.shape == (0, 0)
    encoding = tokenizer(["", ""], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert encoding.input_ids.shape == (2, 0)
    assert encoding.offset_mapping.shape[:2] == (2, 0)
    assert encoding.input_ids.dtype == np.int64


def test_one_call_does_not_change_the_next(tokenizer: Any) -> None:
    before = dict(tokenizer(TEXTS))
    tokenizer(TEXTS, padding="max_length", truncation=True, max_length=3)
    assert dict(tokenizer(TEXTS)) == before
    assert json.loads(tokenizer._library.to_str())["padding"] is None


def test_decoding_honours_errors(folder: Path) -> None:
    broken = [ord("a") - 33 + 4]
    expected = {"replace": "a\ufffd", "ignore": "a", "backslashreplace": "a\\xe4"}
    for errors, text in expected.items():
        tokenizer = BloomTokenizerFast.from_pretrained(folder, errors=errors)
        byte = tokenizer.convert_tokens_to_ids("ä")
        assert tokenizer.decode([*broken, byte]) == text
    strict = BloomTokenizerFast.from_pretrained(folder, errors="strict")
    with pytest.raises(InputError, match="byte 1 of 2 does not fit"):
        strict.decode([*broken, byte])
    with pytest.raises(InputError, match="but some bytes do not fit"):
        list(strict.pieces([*broken, byte]))


def test_decoding_takes_tensors_arrays_and_single_ids(tokenizer: Any) -> None:
    ids = tokenizer.encode("hello world")
    for same in (ids, tuple(ids), torch.tensor(ids), np.array(ids), list(np.array(ids)), list(torch.tensor(ids))):
        assert tokenizer.decode(same) == "hello world"
    assert tokenizer.decode(ids[0]) == "hello"[: len(tokenizer.decode(ids[0]))]
    assert tokenizer.batch_decode(torch.tensor([ids, ids])) == ["hello world"] * 2
    assert tokenizer.batch_decode([ids, []]) == ["hello world", ""]


def test_skipping_special_tokens_and_cleaning_up(folder: Path, tokenizer: Any) -> None:
    ids = tokenizer.encode("<s>I 'm here , am n't I ?</s><pad>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "I 'm here , am n't I ?"
    assert tokenizer.decode(ids, True, clean_up_tokenization_spaces=True) == "I'm here, amn't I?"
    cleaning = BloomTokenizerFast.from_pretrained(folder, clean_up_tokenization_spaces=True)
    assert cleaning.decode(ids, skip_special_tokens=True) == "I'm here, amn't I?"


def test_ids_that_no_token_has_stand_for_no_text(tokenizer: Any) -> None:
    assert tokenizer.decode([len(tokenizer), 250879, 1 << 40]) == ""
    assert tokenizer.convert_ids_to_tokens([0, len(tokenizer)]) == ["<unk>", None]
    assert tokenizer.tokens_of_ids([250700])[0].bytes == b""


def test_trim_offsets_leaves_white_space_out(folder: Path) -> None:
    trimming = BloomTokenizerFast.from_pretrained(folder, trim_offsets=True)
    plain = BloomTokenizerFast.from_pretrained(folder)
    assert plain("hello world", return_offsets_mapping=True).offset_mapping[-1] == (5, 11)
    assert trimming("hello world", return_offsets_mapping=True).offset_mapping[-1] == (6, 11)
    assert trimming.tokens("hello world") == plain.tokens("hello world")


def test_saving_and_opening_keeps_every_setting(tmp_path: Path, folder: Path) -> None:
    settings = {
        "add_prefix_space": True,
        "clean_up_tokenization_spaces": True,
        "errors": "ignore",
        "trim_offsets": True,
        "padding_side": "right",
        "truncation_side": "left",
        "model_max_length": 7,
        "pad_token": "</s>",
        "bos_token": None,
    }
    first = BloomTokenizerFast.from_pretrained(folder, **settings)
    paths = first.save_pretrained(tmp_path / "new" / "folder")
    assert [Path(path).name for path in paths] == [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ]
    again = BloomTokenizerFast.from_pretrained(tmp_path / "new" / "folder")
    for name, value in settings.items():
        assert getattr(again, name) == value
    assert dict(again(TEXTS, truncation=True, padding=True)) == dict(first(TEXTS, truncation=True, padding=True))
    assert again.pad_token_id == 2 and again.bos_token_id is None


def test_both_spellings_of_the_merges_are_read(tmp_path: Path, tokenizer: Any) -> None:
    values = json.loads(trained_json())
    values["model"]["merges"] = [" ".join(pair) for pair in values["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    again = BloomTokenizerFast.from_pretrained(tmp_path)
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_a_trained_tokenizer_object_can_be_taken_as_it_is(tokenizer: Any) -> None:
    taken = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))
    assert [taken.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]


def test_tokens_can_be_added_with_ids_that_follow(tmp_path: Path, folder: Path) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(folder)
    size = len(tokenizer)
    assert tokenizer.add_tokens(["<müller>", "<s>"]) == 1
    assert tokenizer.add_special_tokens({"pad_token": "[PAD]"}) == 1
    assert (len(tokenizer), tokenizer.vocab_size) == (size + 2, size)
    assert tokenizer.pad_token_id == size + 1
    assert tokenizer.encode("<müller>[PAD]") == [size, size + 1]
    assert tokenizer.decode([size, size + 1]) == "<müller>[PAD]"
    assert tokenizer.decode([size, size + 1], skip_special_tokens=True) == "<müller>"
    tokenizer.save_pretrained(tmp_path)
    assert BloomTokenizerFast.from_pretrained(tmp_path).encode("<müller>[PAD]") == [size, size + 1]


def test_without_a_pad_token_nothing_is_padded(folder: Path) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(folder, pad_token=None)
    for pad in (
        lambda: tokenizer.pad({"input_ids": [[1], [1, 2]]}),
        lambda: tokenizer(["Leo", "Leo lives"], padding=True),
    ):
        with pytest.raises(InputError, match="padding needs a pad token, but this tokenizer has none"):
            pad()


def test_a_special_token_that_the_vocabulary_lacks_is_added_like_the_reference_does(folder: Path) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(folder, pad_token="[PAD]")
    assert tokenizer.pad_token_id == tokenizer.vocab_size
    tokenizer.pad_token = tokenizer.eos_token
    assert tokenizer.pad_token_id == 2
    with pytest.raises(InputError, match=r"pad_token must be in the vocabulary, but '\[X\]' is not"):
        tokenizer.pad_token = "[X]"
    assert tokenizer.pad_token == "</s>"


def test_rows_and_tokens_that_cannot_be_are_refused_and_change_nothing(tokenizer: Any) -> None:
    size = len(tokenizer)
    with pytest.raises(InputError, match="expected rows of token ids, but got 7; for one row use decode"):
        tokenizer.batch_decode(7)
    with pytest.raises(InputError, match="a new token of at least one character, but got ''"):
        tokenizer.add_tokens(["<new>", ""])
    with pytest.raises(InputError, match=r"but got 'pad_tokens'; did you mean 'pad_token'"):
        tokenizer.add_special_tokens({"pad_tokens": "[PAD]"})
    assert len(tokenizer) == size


def test_a_tokenizer_is_not_saved_under_a_file(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(TokenizerError, match=r"cannot write .*: not a directory; name a folder"):
        tokenizer.save_pretrained(tmp_path / "file" / "deeper")
    assert (tmp_path / "file").read_text() == "kept"


def test_is_split_into_words_needs_add_prefix_space(tokenizer: Any) -> None:
    with pytest.raises(InputError, match="add_prefix_space=True"):
        tokenizer(["a", "b"], is_split_into_words=True)


NOT_A_TEXT: list[tuple[Any, str]] = [
    (None, "expected a text .* got None"),
    (b"bytes", r"value\.decode\('utf-8'\)"),
    (7, "got 7"),
    ("a\ud800b", r"character 1 is half a surrogate pair \(U\+D800\)"),
    (["a", None], "as text 1, but got None"),
    (["a", "\udfff"], "text 1, but character 0 is half a surrogate"),
    ({"text": "a"}, "expected a text"),
    ([["a", "b"], ["c"]], "expected pairs of texts"),
    ([("a", "b"), ("c", None)], "as text_pair 1, but got None"),
]


@pytest.mark.parametrize(("value", "message"), NOT_A_TEXT, ids=repr)
def test_input_that_is_not_a_text_is_one_clear_error(tokenizer: Any, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(value)
    if not isinstance(value, list):
        for verb in (tokenizer.tokens, tokenizer.display_tokens, tokenizer.encode, tokenizer.tokenize):
            with pytest.raises(InputError, match=message):
                verb(value)


ARGUMENTS: list[tuple[dict[str, Any], str]] = [
    ({"padding": "left"}, "padding must be True, False, 'do_not_pad', 'longest', 'max_length', but got 'left'"),
    ({"padding": 1.5}, "padding must be"),
    ({"truncation": "yes"}, "truncation must be"),
    ({"truncation": []}, "truncation must be"),
    ({"max_length": 0}, "max_length must be a whole number of at least 1, but got 0"),
    ({"max_length": True}, "max_length must be"),
    ({"max_length": "8"}, "max_length must be"),
    ({"padding": "max_length"}, "needs max_length"),
    ({"padding": True, "pad_to_multiple_of": -2}, "pad_to_multiple_of must be"),
    ({"padding": True, "padding_side": "up"}, "'left' or 'right', but got 'up'"),
    ({"padding": True, "truncation": True, "max_length": 7, "pad_to_multiple_of": 4}, "pass max_length=8"),
    ({"truncation": "only_second", "max_length": 2}, "needs a pair"),
    ({"return_tensors": "tf"}, "'pt', 'np', 'jax' or None, but got 'tf'"),
    ({"return_tensors": "pt"}, "pass padding=True"),
    ({"retrun_tensors": "pt"}, "no argument 'retrun_tensors'; did you mean 'return_tensors'"),
    ({"text_pair": ["one"]}, "list of 2 texts as text_pair, one per text, but got 1 texts"),
    ({"text_pair": "one"}, "but got str"),
]


@pytest.mark.parametrize(("options", "message"), ARGUMENTS, ids=str)
def test_arguments_that_do_not_fit_are_one_clear_error(tokenizer: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tokenizer(["hello", "hello world"], **options)


def test_padding_without_a_pad_token_is_an_error(folder: Path) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(folder, pad_token=None)
    with pytest.raises(InputError, match="has none"):
        tokenizer(["a", "hello"], padding=True)


@pytest.mark.parametrize("ids", [None, "12", [1.5], [-1], [True], ["1"], [[1]], {"a": 1}, torch.tensor([0.5]), b"ab"])
def test_input_that_is_not_a_list_of_ids_is_one_clear_error(tokenizer: Any, ids: Any) -> None:
    for verb in (tokenizer.decode, tokenizer.tokens_of_ids, tokenizer.convert_ids_to_tokens):
        with pytest.raises(InputError, match="token ids"):
            verb(ids)


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"padding_side": "up"}, "padding_side"),
    ({"errors": "loud"}, "errors must be"),
    ({"add_prefix_space": 1}, "add_prefix_space must be True or False"),
    ({"model_max_length": float("nan")}, "model_max_length"),
    ({"pad_token": 3}, "pad_token must be a text"),
    ({"pad_token": "\ud800"}, "pad_token must be a text"),
    ({"eos_token": ""}, "eos_token must be a text"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS, ids=str)
def test_settings_that_do_not_fit_are_one_clear_error(tmp_path: Path, settings: Any, message: str) -> None:
    hub_folder(tmp_path)
    with pytest.raises(InputError, match=message):
        BloomTokenizerFast(tokenizer_file=tmp_path / "tokenizer.json", **settings)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(TokenizerError, match=message):
        BloomTokenizerFast.from_pretrained(tmp_path)


def test_a_missing_folder_is_one_clear_error(tmp_path: Path) -> None:
    for name in (tmp_path / "missing", "bigscience bloom-560m", "a\0b", "x" * 5000):
        with pytest.raises(TokenizerError, match="expected a folder"):
            BloomTokenizerFast.from_pretrained(name)
    with pytest.raises(TokenizerError, match=r"expected a file .*tokenizer\.json"):
        BloomTokenizerFast.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="got None"):
        BloomTokenizerFast.from_pretrained(None)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InputError, match="got neither"):
        BloomTokenizerFast()


def test_unknown_keys_are_kept_and_do_nothing(folder: Path) -> None:
    tokenizer = BloomTokenizerFast(
        tokenizer_file=folder / "tokenizer.json", auto_map={"AutoTokenizer": "evil.Evil"}, trust_remote_code=True
    )
    assert tokenizer.init_kwargs["trust_remote_code"] is True
    assert tokenizer.encode("hello") == BloomTokenizerFast.from_pretrained(folder).encode("hello")


def test_an_id_is_looked_up_once_and_a_new_token_is_seen() -> None:
    tokenizer = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))
    new = len(tokenizer)
    assert tokenizer.decode([new, 5, 10**12]) == tokenizer.decode([5])
    assert set(tokenizer._bytes_by_id) == {5}  # what no token has is not kept
    tokenizer.add_tokens(["<new>"])
    assert tokenizer.decode([new, 5]) == "<new>" + tokenizer.decode([5])
    assert tokenizer.decode([0, 5, 2], skip_special_tokens=True) == tokenizer.decode([5])


def test_what_is_read_later_from_an_encoding_fits_its_ids() -> None:
    tokenizer = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))
    for side in ("left", "right"):
        options = {"truncation": True, "max_length": 7, "padding": "max_length", "padding_side": side}
        encoded = tokenizer([("Leo lives", "in Oslo."), ("a", "b c")], return_offsets_mapping=True, **options)
        for row, ids in enumerate(encoded["input_ids"]):
            assert encoded.tokens(row) == tokenizer.convert_ids_to_tokens(ids)
            real = [sequence is not None for sequence in encoded.sequence_ids(row)]
            assert real == [bool(each) for each in encoded["attention_mask"][row]]
            assert [word is not None for word in encoded.word_ids(row)] == real
            assert [tuple(span) != (0, 0) for span in encoded["offset_mapping"][row]] == real
    again = pickle.loads(pickle.dumps(encoded))
    assert again.tokens(1) == encoded.tokens(1) and again == encoded


def test_special_tokens_without_a_name_are_kept_and_saved(tmp_path: Path) -> None:
    tokenizer = copy.deepcopy(byte_tokenizer())  # which others use as it is
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<bot>"]}) == 2
    assert tokenizer.extra_special_tokens == tokenizer.additional_special_tokens == ["<user>", "<bot>"]
    ids = tokenizer.convert_tokens_to_ids(["<user>", "<bot>"])
    assert tokenizer.extra_special_tokens_ids == tokenizer.additional_special_tokens_ids == ids
    assert tokenizer.encode("a<bot>")[-1] == ids[1]
    assert tokenizer.decode(tokenizer.encode("a<bot>"), skip_special_tokens=True) == "a"
    tokenizer.add_special_tokens({"extra_special_tokens": ["<sys>"]}, replace_extra_special_tokens=False)
    tokenizer.save_pretrained(tmp_path)
    again = BloomTokenizerFast.from_pretrained(tmp_path)
    assert again.extra_special_tokens == ["<user>", "<bot>", "<sys>"] and len(again) == len(tokenizer)
    assert again.all_special_tokens[-1] == "<sys>"
    again.extra_special_tokens = ["<sys>"]
    assert again.extra_special_tokens == ["<sys>"]
    for wrong, why in (
        ("<sys>", "is a list of at most"),
        ([5], "a special token must be a text"),
        (["<no>"], "is not;"),
    ):
        with pytest.raises(InputError, match=why):
            again.extra_special_tokens = wrong
