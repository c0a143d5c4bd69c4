"""A tokenizer.json that is not BLOOM's, or that nobody should open, is refused in one clear sentence."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from bloomlab.errors import TokenizerError
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokenizer_file import (
    BYTE_OF,
    MAX_BYTES,
    bytes_of,
    library_errors,
    read_tokenizer_json,
    read_vocab_and_merges,
)
from tests.text.small_tokenizer import TEXTS, trained_json


def write(folder: Path, values: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_every_byte_has_a_character_and_each_its_own() -> None:
    assert sorted(BYTE_OF.values()) == list(range(256))
    assert bytes_of("".join(BYTE_OF)) == bytes(BYTE_OF.values())
    assert all(character.isprintable() and not character.isspace() for character in BYTE_OF)


def test_the_trained_file_itself_is_accepted(tmp_path: Path) -> None:
    """So that what is refused below is refused for its one change."""
    parts = read_tokenizer_json(write(tmp_path, json.loads(trained_json())))
    assert parts.vocab["<pad>"] == 3
    assert [text for text, _, _ in parts.added] == ["<unk>", "<s>", "</s>", "<pad>"]


def change(values: Any, path: str, value: Any) -> None:
    *steps, last = path.split("/")
    for step in steps:
        values = values[int(step) if step.isdecimal() else step]
    values[int(last) if last.isdecimal() else last] = value


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
PRE = "pre_tokenizer/pretokenizers"
CHANGES: list[tuple[str, Any, str]] = [
    ("model/type", "WordPiece", r"expected BPE as model\.type, but got 'WordPiece'"),
    ("model", None, r"model\.type"),
    ("model", [], r"model\.type"),
    ("model/dropout", 0.5, r"model\.dropout"),
    ("model/unk_token", "<unk>", r"model\.unk_token"),
    ("model/continuing_subword_prefix", "##", r"model\.continuing_subword_prefix"),
    ("model/end_of_word_suffix", "</w>", r"model\.end_of_word_suffix"),
    ("model/byte_fallback", True, r"model\.byte_fallback"),
    ("model/ignore_merges", True, r"model\.ignore_merges"),
    ("normalizer", {"type": "NFC"}, "expected nothing as normalizer"),
    ("normalizer", {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 999}, "normalizer"),
    ("normalizer", {"type": "Precompiled", "precompiled_charsmap": None}, "normalizer"),
    ("normalizer", {"type": "Sequence", "normalizers": []}, "normalizer"),
    ("decoder", None, "expected ByteLevel as decoder"),
    ("decoder", {"type": "Fuse"}, "decoder"),
    ("decoder", "ByteLevel", "decoder"),
    ("post_processor", {"type": "TemplateProcessing"}, "post_processor"),
    ("post_processor/trim_offsets", "no", "true or false"),
    ("pre_tokenizer", None, "a Sequence of Split and ByteLevel"),
    ("pre_tokenizer", BYTE_LEVEL, "a Sequence of Split and ByteLevel"),
    (PRE, [BYTE_LEVEL], "a Sequence of Split and ByteLevel"),
    (PRE, [BYTE_LEVEL, BYTE_LEVEL], "first step"),
    (PRE, [None, None], "a Sequence of Split and ByteLevel"),
    (PRE, [{"type": "FixedLength", "length": 0}, BYTE_LEVEL], "first step"),
    (f"{PRE}/0/pattern", {"Regex": "(a*)*b"}, "first step"),
    (f"{PRE}/0/pattern", {"Regex": "("}, "first step"),
    (f"{PRE}/0/behavior", "Removed", "first step"),
    (f"{PRE}/0/invert", True, "first step"),
    (f"{PRE}/1/use_regex", True, "second step"),
    (f"{PRE}/1/add_prefix_space", 1, "add_prefix_space"),
    ("added_tokens", "x", "added_tokens"),
    ("added_tokens", [3], "added token"),
    ("added_tokens", [{"id": 0, "content": "<unk>", "special": True}] * 1001, "at most 1000"),
    ("added_tokens/0/content", "", "added token"),
    ("added_tokens/0/content", None, "added token"),
    ("added_tokens/0/content", "\ud800", "added token"),
    ("added_tokens/0/content", "x" * 5000, "added token"),
    ("added_tokens/0/content", "<other>", "expected each of 0 to 420 once as ids"),
    ("added_tokens/0/id", 7, "id of '<unk>'"),
    ("added_tokens/0/id", "0", "id of '<unk>'"),
    ("added_tokens/0/id", True, "id of '<unk>'"),
    ("added_tokens/1/id", 1.0, "a whole number"),
    ("added_tokens/1/id", True, "a whole number"),
    ("added_tokens/0/lstrip", True, "lstrip of '<unk>'"),
    ("added_tokens/0/rstrip", True, "rstrip of '<unk>'"),
    ("added_tokens/0/single_word", True, "single_word of '<unk>'"),
    ("added_tokens/0/special", 1, "special of '<unk>'"),
    ("model/vocab", None, "vocabulary"),
    ("model/vocab", [["a", 0]], "vocabulary"),
    ("model/vocab", {}, "all 256 bytes"),
    ("model/vocab/a", 2**31, "ids"),
    ("model/vocab/a", 2**70, "ids"),
    ("model/vocab/a", -1, "ids"),
    ("model/vocab/a", 5, "ids"),
    ("model/vocab/a", True, "token id"),
    ("model/vocab/a", 69.0, "token id"),
    ("model/vocab/a", "69", "token id"),
    ("model/vocab/中", 421, "characters that stand for bytes"),
    ("model/vocab/ ", 421, "characters that stand for bytes"),
    ("model/vocab/", 421, "1 to 4096 characters"),
    ("model/vocab/" + "a" * 4097, 421, "1 to 4096 characters"),
    ("model/vocab/zzz", 99_999, "ids"),
    ("model/merges", None, "merges"),
    ("model/merges", {"a": "b"}, "merges"),
    ("model/merges/0", "ab", "merge 0"),
    ("model/merges/0", "a b c", "merge 0"),
    ("model/merges/0", ["a"], "merge 0"),
    ("model/merges/0", ["a", 1], "merge 0"),
    ("model/merges/0", ["a", "中"], "merge 0"),
    ("model/merges/0", ["Ġ", "Q"], "their join"),
    ("model/merges/0", ["", "a"], "merge 0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value", "message"), CHANGES, ids=[f"{p[:40]}-{i}" for i, (p, _, _) in enumerate(CHANGES)]
)
def test_a_file_that_departs_from_blooms_shape_is_refused(tmp_path: Path, path: str, value: Any, message: str) -> None:
    values = json.loads(trained_json())
    if path.startswith("model/vocab/"):
        values["model"]["vocab"][path.removeprefix("model/vocab/")] = value
    else:
        change(values, path, value)
    start = time.perf_counter()
    with pytest.raises(TokenizerError, match=message) as caught:
        BloomTokenizerFast(tokenizer_file=write(tmp_path, values))
    assert time.perf_counter() - start < 2
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("key", ["id", "lstrip", "rstrip", "single_word", "special", "twice"])
def test_the_error_about_a_long_token_still_says_all_of_it(tmp_path: Path, key: str) -> None:
    """The token is quoted in part, so there is room for the file, what was expected and what came."""
    values, token = json.loads(trained_json()), "\U0001f981" * 4000
    entry = {"content": token, "id": 421, "special": True}
    values["added_tokens"] += [entry, {**entry, "id": 99}] if key == "twice" else [{**entry, key: "whatever came"}]
    with pytest.raises(TokenizerError) as caught:
        BloomTokenizerFast(tokenizer_file=write(tmp_path, values))
    said = str(caught.value)
    assert len(said) <= 400 and " … " not in said
    assert "tokenizer.json is not a BLOOM tokenizer" in said and "but got" in said and said.endswith("to the model")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"404: Not Found", "expected JSON"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1", "Git LFS pointer"),
        (b'{"model": ', "expected JSON"),
        ('{"model": "é"}'.encode("latin-1"), "expected UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "expected UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "expected JSON"),
        (b"[]", "it holds a list"),
        (b'{"model": 1, "model": 2}', "names 'model' twice"),
        (b"\x00" * 100, "expected JSON"),
    ],
)
def test_a_file_that_is_not_json_is_called_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    for name in ("tokenizer.json", "vocab.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TokenizerError, match=message):
            if name == "tokenizer.json":
                read_tokenizer_json(tmp_path / name)
            elif name == "vocab.json":
                read_vocab_and_merges(tmp_path / name, tmp_path / "merges.txt")
            else:
                BloomTokenizerFast.from_pretrained(tmp_path)


def test_a_byte_order_mark_is_forgiven(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(trained_json(), encoding="utf-8-sig")
    assert len(read_tokenizer_json(tmp_path / "tokenizer.json").vocab) > 260


def test_a_file_far_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(200 << 20)  # a hole: it takes no space
    with pytest.raises(TokenizerError, match="at most 52428800 bytes, but it has 209715200"):
        read_tokenizer_json(tmp_path / "tokenizer.json")


def test_truncation_and_padding_in_the_file_are_ignored_whatever_they_say(tmp_path: Path) -> None:
    values = json.loads(trained_json())
    values["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 5}
    values["padding"] = "nonsense"
    tokenizer = BloomTokenizerFast(tokenizer_file=write(tmp_path, values))
    assert tokenizer.decode(tokenizer.encode("hello world")) == "hello world"


def test_hostile_added_tokens_are_text_and_nothing_more(tmp_path: Path) -> None:
    values = json.loads(trained_json())
    size = len(values["model"]["vocab"])
    for i, content in enumerate(["<img src=x onerror=alert(1)>", "</script>", "\u202e", "a"]):
        token_id = values["model"]["vocab"].get(content, size + i)
        values["added_tokens"].append({"id": token_id, "content": content, "special": False})
    tokenizer = BloomTokenizerFast(tokenizer_file=write(tmp_path, values))
    text = "x</script>\u202e<img src=x onerror=alert(1)>a"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert [part.shown for part in tokenizer.display_tokens("\u202e")] == ["⟨U+202E⟩"]


def write_pair(folder: Path, merges: str) -> tuple[Path, Path]:
    (folder / "vocab.json").write_text(json.dumps(json.loads(trained_json())["model"]["vocab"]))
    (folder / "merges.txt").write_text(merges)
    return folder / "vocab.json", folder / "merges.txt"


def test_merges_are_read_with_and_without_their_first_line(tmp_path: Path) -> None:
    merges = json.loads(trained_json())["model"]["merges"]
    lines = "\n".join(" ".join(pair) for pair in merges)
    for text in (lines, f"#version: 0.2\n{lines}\n", f"#version: 0.2\r\n{lines}\n".replace("\n", "\r\n")):
        assert read_vocab_and_merges(*write_pair(tmp_path, text)).merges == [tuple(pair) for pair in merges]


@pytest.mark.parametrize("merges", ["a", "a b c", "a 中", "Ġ Q"])
def test_merges_that_do_not_belong_to_the_vocabulary_are_refused(tmp_path: Path, merges: str) -> None:
    vocab_file, merges_file = write_pair(tmp_path, f"#version: 0.2\n{merges}\n")
    with pytest.raises(TokenizerError, match=f"{merges_file} is not a BLOOM tokenizer.*merge 0"):
        BloomTokenizerFast(vocab_file=vocab_file, merges_file=merges_file)


def test_a_folder_with_the_older_pair_of_files_opens(tmp_path: Path) -> None:
    merges = json.loads(trained_json())["model"]["merges"]
    write_pair(tmp_path, "\n".join(" ".join(pair) for pair in merges))
    tokenizer = BloomTokenizerFast.from_pretrained(tmp_path)
    whole = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))
    assert [tokenizer.encode(text) for text in TEXTS] == [whole.encode(text) for text in TEXTS]
    assert tokenizer.pad_token_id == 3


def test_added_tokens_out_of_order_are_refused(tmp_path: Path) -> None:
    values = json.loads(trained_json())
    first = len(values["model"]["vocab"])
    added = [{"content": f"<{i}>", "id": i, "special": True} for i in (first + 1, first)]
    (tmp_path / "tokenizer.json").write_text(json.dumps({**values, "added_tokens": values["added_tokens"] + added}))
    with pytest.raises(TokenizerError, match="expected ids that follow the vocabulary, in order"):
        read_tokenizer_json(tmp_path / "tokenizer.json")


def test_merges_too_long_to_be_blooms_are_not_read(tmp_path: Path) -> None:
    vocab, merges = write_pair(tmp_path, "")
    with merges.open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(TokenizerError, match=rf"expected .*merges\.txt to have at most {MAX_BYTES} bytes, but it has"):
        read_vocab_and_merges(vocab, merges)


def test_merges_that_are_missing_or_not_text_are_one_clear_error(tmp_path: Path) -> None:
    vocab, merges = write_pair(tmp_path, "")
    merges.write_bytes(b"\xff\xfe")
    with pytest.raises(TokenizerError, match=r"expected UTF-8 in .*merges\.txt, but byte 0"):
        read_vocab_and_merges(vocab, merges)
    merges.unlink()
    with pytest.raises(TokenizerError, match=r"expected a file .*merges\.txt"):
        BloomTokenizerFast.from_pretrained(tmp_path)


@pytest.mark.slow
def test_a_panic_of_the_library_is_a_tokenizer_error_and_an_interrupt_stays_one() -> None:
    def panic() -> Any:
        return models.BPE({"a": 0, "b": 1}, [("a", "b")])

    with pytest.raises(TokenizerError, match="failed while testing"), library_errors("testing"):
        panic()
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error), library_errors("testing"):
            raise error


@pytest.mark.slow
def test_except_exception_would_miss_that_panic() -> None:
    """If this fails, the library raises ordinary errors now, and `library_errors` can catch less."""
    with pytest.raises(BaseException) as caught:  # that is the point
        models.BPE({"a": 0, "b": 1}, [("a", "b")])
    assert not isinstance(caught.value, Exception)


def test_what_only_the_library_refuses_is_one_error_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(trained_json(), encoding="utf-8")

    def refuse(model: object) -> None:
        raise ValueError("the library has its reasons")

    monkeypatch.setattr("bloomlab.text.tokenizer_file.Tokenizer", refuse)
    with pytest.raises(TokenizerError, match="the library has its reasons"):
        BloomTokenizerFast(tokenizer_file=path)
