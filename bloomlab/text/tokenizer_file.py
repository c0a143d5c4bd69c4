r"""The files of BLOOM's tokenizer, read strictly.

A tokenizer.json can describe any pipeline: rules that blow one character up into a million tokens,
expressions that never finish, parts that end the whole process. So the file is not handed to the `tokenizers`
library. What it says is checked here, piece by piece, and the library is given three things only: a
vocabulary, the merges and the added tokens. The pipeline around them is always BLOOM's own:

    text -> split by SPLIT -> UTF-8 bytes, one character each -> merges, in order -> ids
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from bloomlab.errors import BloomlabError, TokenizerError
from bloomlab.files import read_json, replacing, shorten

SPLIT = r" ?[^(\s|[.,!?…。，、।۔،])]+"
"""A piece is a run of anything but ( ) | white space . , ! ? … 。 ， 、 । ۔ ، with one space before it; what
lies between two pieces is a piece too. The inner bracket is a class inside a class, as the Oniguruma engine
reads it; Python's and JavaScript's engines misread it, so nothing but `tokenizers.Regex` may run this."""

MAX_BYTES = 100 << 20  # BLOOM's own tokenizer.json has 14.5 MB
MAX_TOKEN = 4096  # characters in one token
MAX_ADDED = 1_000  # tokens besides the vocabulary


def _byte_characters() -> dict[str, int]:
    """The visible character that stands for each byte, as GPT-2 began it: "A" for 65, "Ġ" for a space."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {**{chr(byte): byte for byte in seen}, **{chr(256 + i): byte for i, byte in enumerate(unseen)}}


BYTE_OF = _byte_characters()


def bytes_of(token: str) -> bytes:
    """The bytes that a token of the vocabulary stands for.

    >>> bytes_of("Ġworld"), bytes_of("ä¸Ń").decode()
    (b' world', '中')
    """
    return bytes(BYTE_OF[character] for character in token)


@dataclass(frozen=True)
class TokenizerParts:
    """What tells one BLOOM tokenizer from another. `added` holds (content, id, is special)."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: list[tuple[str, int, bool]]
    add_prefix_space: bool = False
    trim_offsets: bool = False


@contextmanager
def library_errors(doing: str) -> Iterator[None]:
    """Turn whatever the `tokenizers` library raises into a TokenizerError.

    The library panics with a BaseException, which would run through every `except Exception`.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, BloomlabError):
        raise
    except BaseException as error:
        raise TokenizerError(f"the tokenizers library failed while {doing}: {str(error)[:200]}") from error


def bloom_pipeline(tokenizer: Tokenizer, add_prefix_space: bool = False, trim_offsets: bool = False) -> Tokenizer:
    """Put BLOOM's pipeline around a byte-level BPE model (trained, or still to be trained)."""
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def build(parts: TokenizerParts) -> Tokenizer:
    """The library's tokenizer for these parts, which are taken as checked."""
    with library_errors("building the tokenizer"):
        tokenizer = Tokenizer(models.BPE(vocab=parts.vocab, merges=parts.merges))
        bloom_pipeline(tokenizer, parts.add_prefix_space, parts.trim_offsets)
        for special, group in groupby(sorted(parts.added, key=lambda entry: entry[1]), lambda entry: entry[2]):
            add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
            add([AddedToken(text, special=special, normalized=False) for text, _, _ in group])
    return tokenizer


# -- reading and writing ----


def read_tokenizer_json(path: str | os.PathLike[str]) -> TokenizerParts:
    """Read and check a tokenizer.json.

    Raises:
        TokenizerError: it is missing, broken, or describes a tokenizer that is not BLOOM's.
    """
    return check_tokenizer(read_json(Path(path), MAX_BYTES, TokenizerError), str(path))


def read_vocab_and_merges(vocab_file: str | os.PathLike[str], merges_file: str | os.PathLike[str]) -> TokenizerParts:
    """Read and check the older pair of files: vocab.json, and merges.txt with one "a b" a line.

    Raises:
        TokenizerError: one of them is missing or broken, or they do not belong together.
    """
    vocab = _check_vocab(read_json(Path(vocab_file), MAX_BYTES, TokenizerError), str(vocab_file), set())
    path = Path(merges_file)
    if not path.is_file():
        raise TokenizerError(f"expected a file {path} with the merges, but there is none; save it beside {vocab_file}")
    if path.stat().st_size > MAX_BYTES:
        raise TokenizerError(f"expected {path} to have at most {MAX_BYTES} bytes, but it has {path.stat().st_size}")
    try:
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"expected UTF-8 in {path}, but byte {error.start} is not; fetch it again") from None
    merges = [line for line in lines[lines[0].startswith("#version") :] if line]
    return TokenizerParts(vocab, _check_merges(merges, vocab, str(path)), [])


def check_tokenizer(values: dict[str, Any], source: str) -> TokenizerParts:
    """Take from the contents of a tokenizer.json what BLOOM needs; refuse what BLOOM does not have.

    `truncation` and `padding` are left alone: other programs store there how their last call was made.
    """
    prefix = _check_pipeline(values, source)
    model = values.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise _not_bloom(source, "model.type", "BPE", model.get("type") if isinstance(model, dict) else model)
    for key in (
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
        "ignore_merges",
    ):
        if model.get(key):
            raise _not_bloom(source, f"model.{key}", "nothing", model[key])

    added = values.get("added_tokens") or []
    if not isinstance(added, list) or len(added) > MAX_ADDED:
        raise _not_bloom(source, "added_tokens", f"a list of at most {MAX_ADDED} tokens", added)
    tokens = [_check_added(entry, source) for entry in added]
    vocab = _check_vocab(model.get("vocab"), source, {text for text, _, _ in tokens})
    merges = _check_merges(model.get("merges"), vocab, source)
    _check_ids(vocab, tokens, source)
    trim = (values.get("post_processor") or {}).get("trim_offsets", False)
    return TokenizerParts(vocab, merges, tokens, prefix, _boolean(trim, source, "post_processor.trim_offsets"))


def write_vocab_and_merges(tokenizer: Tokenizer, vocab_file: Path, merges_file: Path) -> None:
    """Write the older pair of files: what was learned, without the tokens added later."""
    with library_errors("saving"):
        model = json.loads(tokenizer.to_str())["model"]
    with replacing(vocab_file) as draft:
        draft.write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    with replacing(merges_file) as draft:
        draft.write_text(f"#version: 0.2\n{merges}", encoding="utf-8")


def with_special_tokens(parts: TokenizerParts, names: list[str]) -> TokenizerParts:
    """The same parts, each of these names a special token; one the vocabulary lacks gets a new id."""
    added = {text: (text, index, special) for text, index, special in parts.added}
    for name in names:
        index = parts.vocab.get(name, len(parts.vocab) + sum(text not in parts.vocab for text in added))
        added[name] = (name, added[name][1] if name in added else index, True)
    return replace(parts, added=list(added.values()))


# -- checking ----


def _not_bloom(source: str, what: str, expected: str, got: object) -> TokenizerError:
    return TokenizerError(
        f"{source} is not a BLOOM tokenizer: expected {expected} as {what}, but got {shorten(got)}; "
        "use the files that belong to the model"
    )


def _boolean(value: object, source: str, what: str) -> bool:
    if not isinstance(value, bool):
        raise _not_bloom(source, what, "true or false", value)
    return value


def _check_pipeline(values: dict[str, Any], source: str) -> bool:
    """Everything around the model is BLOOM's; returns add_prefix_space."""
    if values.get("normalizer") is not None:
        raise _not_bloom(source, "normalizer", "nothing", values["normalizer"])
    for name, optional in (("post_processor", True), ("decoder", False)):
        part = values.get(name)
        fits = part.get("type") == "ByteLevel" if isinstance(part, dict) else optional and part is None
        if not fits:
            raise _not_bloom(source, name, "ByteLevel", part)

    before = values.get("pre_tokenizer")
    steps = before.get("pretokenizers") if isinstance(before, dict) and before.get("type") == "Sequence" else None
    if not isinstance(steps, list) or len(steps) != 2 or not all(isinstance(step, dict) for step in steps):
        raise _not_bloom(source, "pre_tokenizer", "a Sequence of Split and ByteLevel", before)
    split, byte_level = steps
    wanted = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    if split != wanted:
        raise _not_bloom(source, "pre_tokenizer, first step", str(wanted), split)
    if byte_level.get("type") != "ByteLevel" or byte_level.get("use_regex") is not False:
        raise _not_bloom(source, "pre_tokenizer, second step", "ByteLevel with use_regex false", byte_level)
    return _boolean(byte_level.get("add_prefix_space"), source, "add_prefix_space")


def _check_vocab(vocab: object, source: str, added: set[str]) -> dict[str, int]:
    if not isinstance(vocab, dict):
        raise _not_bloom(source, "vocabulary", "a table of tokens and ids", vocab)
    for token in vocab:
        if not 0 < len(token) <= MAX_TOKEN:
            raise _not_bloom(source, "token", f"1 to {MAX_TOKEN} characters", token)
        if not BYTE_OF.keys() >= set(token) and token not in added:
            raise _not_bloom(source, "token", "characters that stand for bytes", token)
    missing = [character for character in BYTE_OF if character not in vocab]
    if missing:  # without them some text would have no tokens, silently
        raise _not_bloom(source, "vocabulary", "all 256 bytes", f"{256 - len(missing)} of them, not {missing[0]!r}")
    wrong = next((index for index in vocab.values() if type(index) is not int), None)
    if wrong is not None:
        raise _not_bloom(source, "token id", "a whole number", wrong)
    return vocab


def _check_merges(merges: object, vocab: dict[str, int], source: str) -> list[tuple[str, str]]:
    if not isinstance(merges, list):
        raise _not_bloom(source, "merges", "a list", merges)
    checked = []
    for place, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise _not_bloom(source, f"merge {place}", "two tokens", merge)
        left, right = pair
        if left not in vocab or right not in vocab or left + right not in vocab:
            raise _not_bloom(source, f"merge {place}", "two tokens that are in the vocabulary, as is their join", merge)
        checked.append((left, right))
    return checked


def _check_added(entry: object, source: str) -> tuple[str, int, bool]:
    if not isinstance(entry, dict):
        raise _not_bloom(source, "added token", "a table", entry)
    text, index, special = entry.get("content"), entry.get("id"), entry.get("special", False)
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TOKEN or _is_broken(text):
        raise _not_bloom(source, "added token", f"a text of 1 to {MAX_TOKEN} characters", text)
    if type(index) is not int:
        raise _not_bloom(source, f"id of {text!r}", "a whole number", index)
    for key in ("lstrip", "rstrip", "single_word"):
        if entry.get(key):
            raise _not_bloom(source, f"{key} of {text!r}", "false", entry[key])
    return text, index, _boolean(special, source, f"special of {text!r}")


def _is_broken(text: str) -> bool:
    """Whether the text has half a surrogate pair, which is no character."""
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _check_ids(vocab: dict[str, int], added: list[tuple[str, int, bool]], source: str) -> None:
    """Vocabulary and added tokens agree, and together their ids are 0, 1, 2, … without a gap."""
    everything = dict(vocab)
    for text, index, _ in added:
        if everything.setdefault(text, index) != index:
            raise _not_bloom(source, f"id of {text!r}", f"{everything[text]}, as above,", index)
    if set(everything.values()) != set(range(len(everything))):
        raise _not_bloom(source, "ids", f"each of 0 to {len(everything) - 1} once", "others")
    if [index for text, index, _ in added if text not in vocab] != list(range(len(vocab), len(everything))):
        raise _not_bloom(source, "added tokens", "ids that follow the vocabulary, in order", "others")
