r"""The files of BLOOM's tokenizer, read strictly.

A tokenizer.json can describe any pipeline: rules that blow one character up into a million tokens, expressions
that never finish, parts that end the whole process. So the file is not handed to the `tokenizers` library. It is
checked here, piece by piece, and the library gets only three things: the vocabulary, the merges and the added
tokens. The pipeline around them is always BLOOM's own:

    text -> split by SPLIT -> UTF-8 bytes, one character each -> merges, in order -> ids
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from bloomlab.errors import BloomlabError, TokenizerError, shorten, shorten_path
from bloomlab.guards.files import read_bytes, read_json

SPLIT = r" ?[^(\s|[.,!?…。，、।۔،])]+"
"""A piece is a run of anything but ( ) | white space . , ! ? … 。 ， 、 । ۔ ، with one space before it, if there is
one; whatever lies between two pieces is a piece too. The inner bracket is a class inside a class to the Oniguruma
engine; Python's and JavaScript's engines read it otherwise, so nothing but `tokenizers.Regex` may run this."""

MAX_BYTES = 50 << 20  # of a file; BLOOM's own tokenizer.json has 14.5 MB
MAX_TOKEN = 4096  # characters in one token
MAX_ADDED = 1_000  # tokens beside the vocabulary


def _byte_characters() -> dict[str, int]:
    """The byte that each visible character stands for, as in GPT-2: "A" for 65, "Ġ" for a space."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    invisible = [byte for byte in range(256) if byte not in visible]
    return {**{chr(byte): byte for byte in visible}, **{chr(256 + i): byte for i, byte in enumerate(invisible)}}


BYTE_OF = _byte_characters()


def bytes_of(token: str) -> bytes:
    """The bytes that a token of the vocabulary stands for.

    >>> bytes_of("Ġworld"), bytes_of("ä¸Ń").decode()
    (b' world', '中')
    """
    return bytes(BYTE_OF[character] for character in token)


@dataclass(frozen=True)
class TokenizerParts:
    """Everything in which two BLOOM tokenizers can differ. `added` holds (text, id, whether it is special)."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: list[tuple[str, int, bool]]
    add_prefix_space: bool = False
    trim_offsets: bool = False
    source: str = "the tokenizer"  # where they come from, for an error


@contextmanager
def library_errors(doing: str) -> Iterator[None]:
    """Turn whatever the `tokenizers` library raises into a TokenizerError.

    The library panics with a BaseException, which no `except Exception` would catch.
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
    """The library's tokenizer for these parts, which must have been checked.

    Raises:
        TokenizerError: a merge is not of tokens of the vocabulary, or does not make one.
    """
    try:
        with library_errors("building the tokenizer"):
            tokenizer = Tokenizer(models.BPE(vocab=parts.vocab, merges=parts.merges))
    except TokenizerError:
        _check_each_merge(parts.merges, parts.vocab, parts.source)  # which says what is wrong with which
        raise
    with library_errors("building the tokenizer"):
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
    try:
        lines = read_bytes(path, MAX_BYTES, TokenizerError).decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"expected UTF-8 in {shorten_path(path)}, but byte {error.start} is not; fetch it again"
        ) from None
    merges = [line for line in lines[lines[0].startswith("#version") :] if line]
    return TokenizerParts(vocab, _check_merges(merges, vocab, str(path)), [], source=str(path))


def check_tokenizer(values: dict[str, Any], source: str) -> TokenizerParts:
    """Take from the contents of a tokenizer.json what BLOOM needs; refuse what BLOOM does not have.

    `truncation` and `padding` are ignored: other programs store the settings of their last call there.
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
    trims = _boolean(trim, source, "post_processor.trim_offsets")
    return TokenizerParts(vocab, merges, tokens, prefix, trims, source)


def write_vocab_and_merges(tokenizer: Tokenizer, vocab_file: Path, merges_file: Path) -> None:
    """Write the older pair of files, which hold what was learned, but not the tokens added later."""
    with library_errors("saving"):
        model = json.loads(tokenizer.to_str())["model"]
    vocab_file.write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
    merges_file.write_text(f"#version: 0.2\n{merges}", encoding="utf-8")


def with_special_tokens(parts: TokenizerParts, names: list[str]) -> TokenizerParts:
    """The same parts with these names as special tokens; a name that the vocabulary lacks gets a new id."""
    added = {text: (text, token_id, special) for text, token_id, special in parts.added}
    for name in names:
        token_id = parts.vocab.get(name, len(parts.vocab) + sum(text not in parts.vocab for text in added))
        added[name] = (name, added[name][1] if name in added else token_id, True)
    return replace(parts, added=list(added.values()))


# -- checking ----


def _not_bloom(source: str, part: str, expected: str, got: object) -> TokenizerError:
    says = (
        f" is not a BLOOM tokenizer: expected {expected} as {part}, but got {shorten(got)}; "
        "use the files that belong to the model"
    )
    return TokenizerError(shorten_path(source, min(160, 400 - len(says))) + says)


def _boolean(value: object, source: str, part: str) -> bool:
    if not isinstance(value, bool):
        raise _not_bloom(source, part, "true or false", value)
    return value


def _check_pipeline(values: dict[str, Any], source: str) -> bool:
    """Check that everything around the model is BLOOM's; returns add_prefix_space."""
    if values.get("normalizer") is not None:
        raise _not_bloom(source, "normalizer", "nothing", values["normalizer"])
    for name, optional in (("post_processor", True), ("decoder", False)):
        part = values.get(name)
        is_blooms = part.get("type") == "ByteLevel" if isinstance(part, dict) else optional and part is None
        if not is_blooms:
            raise _not_bloom(source, name, "ByteLevel", part)

    sequence = values.get("pre_tokenizer")
    steps = None
    if isinstance(sequence, dict) and sequence.get("type") == "Sequence":
        steps = sequence.get("pretokenizers")
    if not isinstance(steps, list) or len(steps) != 2 or not all(isinstance(step, dict) for step in steps):
        raise _not_bloom(source, "pre_tokenizer", "a Sequence of Split and ByteLevel", sequence)
    split, byte_level = steps
    expected = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    if split != expected:
        raise _not_bloom(source, "pre_tokenizer, first step", str(expected), split)
    if byte_level.get("type") != "ByteLevel" or byte_level.get("use_regex") is not False:
        raise _not_bloom(source, "pre_tokenizer, second step", "ByteLevel with use_regex false", byte_level)
    return _boolean(byte_level.get("add_prefix_space"), source, "add_prefix_space")


def _check_vocab(vocab: object, source: str, added: set[str]) -> dict[str, int]:
    if not isinstance(vocab, dict):
        raise _not_bloom(source, "vocabulary", "a table of tokens and ids", vocab)
    sizes = {*map(len, vocab)}
    right = bool(sizes) and min(sizes) > 0 and max(sizes) <= MAX_TOKEN and BYTE_OF.keys() >= {*"".join(vocab)}
    for token in () if right else vocab:  # nearly all are, and that is said at once of all
        if not 0 < len(token) <= MAX_TOKEN:
            raise _not_bloom(source, "token", f"1 to {MAX_TOKEN} characters", token)
        if not BYTE_OF.keys() >= set(token) and token not in added:
            raise _not_bloom(source, "token", "characters that stand for bytes", token)
    missing = [character for character in BYTE_OF if character not in vocab]
    if missing:  # without them, some text would silently have no tokens
        raise _not_bloom(source, "vocabulary", "all 256 bytes", f"{256 - len(missing)} of them, not {missing[0]!r}")
    if {*map(type, vocab.values())} != {int}:
        wrong = next(token_id for token_id in vocab.values() if type(token_id) is not int)
        raise _not_bloom(source, "token id", "a whole number", wrong)
    return vocab


def _check_merges(merges: object, vocab: dict[str, int], source: str) -> list[tuple[str, str]]:
    if not isinstance(merges, list):
        raise _not_bloom(source, "merges", "a list", merges)
    kinds = {*map(type, merges)}
    if kinds == {str} or kinds == {list}:  # nearly all are right, and that is said at once of all
        pairs = [tuple(merge.split(" ")) for merge in merges] if kinds == {str} else [*map(tuple, merges)]
        if {*map(len, pairs)} == {2} and {*map(type, chain.from_iterable(pairs))} == {str}:
            return pairs  # the library looks for them in the vocabulary, much quicker
    return _check_each_merge(merges, vocab, source)


def _check_each_merge(merges: Sequence[Any], vocab: dict[str, int], source: str) -> list[tuple[str, str]]:
    """Look through the merges one by one, for the first that is wrong."""
    checked = []
    for rank, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise _not_bloom(source, f"merge {rank}", "two tokens", merge)
        left, right = pair
        if left not in vocab or right not in vocab or left + right not in vocab:
            raise _not_bloom(source, f"merge {rank}", "two tokens that are in the vocabulary, as is their join", merge)
        checked.append((left, right))
    return checked


def _check_added(entry: object, source: str) -> tuple[str, int, bool]:
    if not isinstance(entry, dict):
        raise _not_bloom(source, "added token", "a table", entry)
    text, token_id, special = entry.get("content"), entry.get("id"), entry.get("special", False)
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TOKEN or _is_broken(text):
        raise _not_bloom(source, "added token", f"a text of 1 to {MAX_TOKEN} characters", text)
    if type(token_id) is not int:
        raise _not_bloom(source, f"id of {shorten(text)}", "a whole number", token_id)
    for key in ("lstrip", "rstrip", "single_word"):
        if entry.get(key):
            raise _not_bloom(source, f"{key} of {shorten(text)}", "false", entry[key])
    return text, token_id, _boolean(special, source, f"special of {shorten(text)}")


def _is_broken(text: str) -> bool:
    """Whether the text contains half a surrogate pair, which is not a character."""
    return any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _check_ids(vocab: dict[str, int], added: list[tuple[str, int, bool]], source: str) -> None:
    """Check that vocabulary and added tokens agree, and that their ids are 0, 1, 2, … without a gap."""
    ids = dict(vocab)
    for text, token_id, _ in added:
        if ids.setdefault(text, token_id) != token_id:
            raise _not_bloom(source, f"id of {shorten(text)}", f"{ids[text]}, as above,", token_id)
    if set(ids.values()) != set(range(len(ids))):
        raise _not_bloom(source, "ids", f"each of 0 to {len(ids) - 1} once", "others")
    if [token_id for text, token_id, _ in added if text not in vocab] != list(range(len(vocab), len(ids))):
        raise _not_bloom(source, "added tokens", "ids that follow the vocabulary, in order", "others")
