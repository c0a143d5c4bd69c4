"""From text to ids and back: BLOOM's byte-level BPE.

Text is split into pieces, each piece is written as UTF-8 bytes, and pairs of neighbours are merged in the order
in which they were learned. Nothing is added: no token for the beginning or the end. Every text has tokens, in
any script, because every byte has one.
"""

import codecs
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, Tokenizer

from bloomlab.arguments import flag, id_list, one_of, whole_number, whole_text
from bloomlab.chips import Chip, Token, chips, tokens_in, visible
from bloomlab.encoding import (
    NO_LIMIT,
    BatchEncoding,
    Row,
    as_tensor,
    common_width,
    cut_pair,
    how_to_cut,
    join,
    split_input,
    width_to_fill,
)
from bloomlab.errors import InputError, TokenizerError, did_you_mean
from bloomlab.files import read_json, replacing, shorten, write_json
from bloomlab.hub import local_folder
from bloomlab.tokenizer_file import (
    BYTE_OF,
    MAX_TOKEN,
    TokenizerParts,
    build,
    bytes_of,
    check_tokenizer,
    library_errors,
    read_tokenizer_json,
    read_vocab_and_merges,
    with_special_tokens,
    write_vocab_and_merges,
)

__all__ = ["BatchEncoding", "BloomTokenizerFast", "Chip", "Token", "chips", "visible"]

SPECIAL = ("unk_token", "bos_token", "eos_token", "pad_token")
SETTINGS = (
    *SPECIAL,
    "add_prefix_space",
    "clean_up_tokenization_spaces",
    "errors",
    "trim_offsets",
    "padding_side",
    "truncation_side",
    "model_max_length",
)
"""What tokenizer_config.json may set. Its other keys describe how it was made; they are not used."""

MAX_CONFIG_BYTES = 16 << 20

Words = Sequence[str]
Text = str | Words


def _special_token(key: str) -> Any:
    """The attribute `key`, a token with a meaning; only a token of the vocabulary can be assigned."""

    def read(self: "BloomTokenizerFast") -> str | None:
        return self._special[key]

    def write(self: "BloomTokenizerFast", token: Any) -> None:
        name = _token_name(token, key)
        if name is not None and self._library.token_to_id(name) is None:
            raise InputError(f"{key} must be in the vocabulary, but {name!r} is not; use add_special_tokens")
        self._special[key] = name

    return property(read, write)


def _special_id(key: str) -> Any:
    """The attribute `key` + "_id": its id, or None if there is no such token."""

    def read(self: "BloomTokenizerFast") -> int | None:
        token = self._special[key]
        return None if token is None else self._library.token_to_id(token)

    return property(read)


class BloomTokenizerFast:
    """BLOOM's tokenizer, over the `tokenizers` library.

    Args:
        vocab_file, merges_file: the older pair of files, vocab.json and merges.txt.
        tokenizer_file: a tokenizer.json; what `from_pretrained` finds in a folder.
        unk_token, bos_token, eos_token, pad_token: tokens with a meaning (the documentation's prose says
            `<|endoftext|>`; BLOOM's are the ones of the signature). One that is not in the vocabulary is added.
        add_prefix_space: put a space before every piece ("a.b" becomes " a", " .", " b").
        clean_up_tokenization_spaces: in decoding, drop the space before . , ! ? and in English contractions.
        errors: what decoding does with bytes that are no text: "replace" (with �), "strict", "ignore", …
        trim_offsets: leave the white space around a token out of its offsets. None: what the file says.
        padding_side, truncation_side: "left" or "right".
        model_max_length: the length that truncation=True cuts to when no max_length is given.
        **kwargs: other keys of a tokenizer_config.json; kept in `init_kwargs`, never interpreted.

    Raises:
        TokenizerError: a file is missing, broken, or not of a BLOOM.
        InputError: an argument does not fit.
    """

    vocab_files_names = {  # noqa: RUF012  # a constant, documented as a class attribute
        "vocab_file": "vocab.json",
        "merges_file": "merges.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names = ("input_ids", "attention_mask")
    is_fast = True

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None = None,
        merges_file: str | os.PathLike[str] | None = None,
        tokenizer_file: str | os.PathLike[str] | None = None,
        unk_token: str | None = "<unk>",
        bos_token: str | None = "<s>",
        eos_token: str | None = "</s>",
        pad_token: str | None = "<pad>",
        add_prefix_space: bool = False,
        clean_up_tokenization_spaces: bool = False,
        *,
        errors: str = "replace",
        trim_offsets: bool | None = None,
        padding_side: str = "left",
        truncation_side: str = "right",
        model_max_length: float | None = None,
        tokenizer_object: Tokenizer | None = None,
        **kwargs: Any,
    ) -> None:
        parts = _read_parts(vocab_file, merges_file, tokenizer_file, tokenizer_object)
        special = (unk_token, bos_token, eos_token, pad_token)
        names = [_token_name(token, key) for key, token in zip(SPECIAL, special, strict=True)]
        parts = with_special_tokens(parts, [name for name in names if name is not None])
        self.add_prefix_space = flag("add_prefix_space", add_prefix_space) or parts.add_prefix_space
        trim = parts.trim_offsets if trim_offsets is None else flag("trim_offsets", trim_offsets)
        self.trim_offsets = trim
        self._library = build(replace(parts, add_prefix_space=self.add_prefix_space, trim_offsets=trim))
        self._special: dict[str, str | None] = dict(zip(SPECIAL, names, strict=True))
        self._added = {index: text for text, index, _ in parts.added}
        self._special_ids = {index for _, index, is_special in parts.added if is_special}

        self.clean_up_tokenization_spaces = flag("clean_up_tokenization_spaces", clean_up_tokenization_spaces or False)
        self.errors = _error_handler(errors)
        self.padding_side = one_of("padding_side", padding_side, ("left", "right"))
        self.truncation_side = one_of("truncation_side", truncation_side, ("left", "right"))
        limit = NO_LIMIT if model_max_length is None else model_max_length
        if isinstance(limit, float) and limit.is_integer():  # 1e30, as some files write it
            limit = int(limit)
        self.model_max_length = whole_number("model_max_length", limit)
        self.init_kwargs = kwargs
        self.name_or_path = str(kwargs.get("name_or_path", ""))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        **overrides: Any,
    ) -> Self:
        """The tokenizer in a folder: tokenizer.json, or vocab.json and merges.txt, and the small files beside.

        `folder` may be a name on the hub, e.g. "560m" or "owner/name"; then `revision` and `cache_dir` say which
        branch, tag or commit, and where to keep it. Keyword arguments are the constructor's and win over the files.

        Raises:
            TokenizerError: the folder or a file in it is missing, broken, or not of a BLOOM.
            DownloadError: a file cannot be fetched.
        """
        path = local_folder(folder, TokenizerError, "tokenizer", revision=revision, cache_dir=cache_dir)
        settings: dict[str, Any] = {"name_or_path": str(folder)}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (path / name).exists():
                values = read_json(path / name, MAX_CONFIG_BYTES, TokenizerError)
                known = {key: value for key, value in values.items() if key in SETTINGS}
                settings.update((k, v) for k, v in known.items() if v is not None or k in SPECIAL)
        files = {key: path / name for key, name in cls.vocab_files_names.items()}
        older = files["vocab_file"].exists() and not files["tokenizer_file"].exists()
        files = {key: file for key, file in files.items() if older == (key != "tokenizer_file")}
        try:
            return cls(**{**files, **settings, **overrides})
        except InputError as error:
            raise TokenizerError(f"the tokenizer in {path} cannot be made: {error}") from None

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json; returns their paths."""
        path = _made_folder(folder)
        with library_errors("saving"):
            text = self._library.to_str(pretty=True)
        with replacing(path / "tokenizer.json") as draft:
            draft.write_text(text, encoding="utf-8")
        settings = {name: getattr(self, name) for name in SETTINGS}
        write_json(path / "tokenizer_config.json", {"tokenizer_class": "BloomTokenizerFast", **settings})
        write_json(path / "special_tokens_map.json", self.special_tokens_map)
        return tuple(str(path / f"{name}.json") for name in ("tokenizer", "tokenizer_config", "special_tokens_map"))

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, str]:
        """Write the older pair of files, vocab.json and merges.txt; returns their paths."""
        path = _made_folder(save_directory)
        start = f"{filename_prefix}-" if filename_prefix else ""
        vocab_file, merges_file = path / f"{start}vocab.json", path / f"{start}merges.txt"
        write_vocab_and_merges(self._library, vocab_file, merges_file)
        return str(vocab_file), str(merges_file)

    # -- what a token shows as ----

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text: their ids, bytes, and the characters they cover.

        All bytes in a row are the text's own in UTF-8; with `add_prefix_space` there are spaces between.
        """
        whole_text(text, "text")
        ids = self.encode(text)
        return tokens_in(text.encode(), ids, [self._bytes(index) for index in ids])

    def tokens_of_ids(self, ids: Any) -> list[Token]:
        """The tokens with these ids; their spans are places in `decode(ids)`."""
        row = id_list(ids)
        parts = [self._bytes(index) for index in row]
        return tokens_in(b"".join(parts), row, parts)

    def chips(self, text: str) -> list[Chip]:
        """What a view draws for a text: tokens joined until their bytes are whole characters."""
        return chips(self.tokens(text))

    def _bytes(self, index: int) -> bytes:
        """The bytes of one token; none for an id that no token has."""
        if index in self._added:
            return self._added[index].encode()
        token = self._library.id_to_token(index) if index < 1 << 31 else None
        return b"" if token is None else bytes_of(token)

    # -- text to ids ----

    def __call__(
        self,
        text: Text | Sequence[Text | tuple[str, str]],
        text_pair: Text | Sequence[Text] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool = False,
        return_attention_mask: bool | None = None,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        **unknown: Any,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a list of either.

        Args:
            text, text_pair: a text, or a list of texts; with is_split_into_words, lists of words instead.
            add_special_tokens: accepted; BLOOM has none to add.
            padding: True or "longest" fills every row up to the longest one, "max_length" up to max_length.
            truncation: True or "longest_first", "only_first", "only_second" cut to max_length tokens.
            max_length: tokens; given alone it cuts.
            is_split_into_words: needs a tokenizer made with add_prefix_space=True.
            pad_to_multiple_of: fill up to a multiple of this many tokens.
            return_tensors: "pt", "np" or "jax" for tensors (batch, tokens); None for lists.
            verbose: accepted; nothing is printed either way.

        Returns:
            `input_ids` and `attention_mask`, and what else was asked for: `token_type_ids`,
            `special_tokens_mask`, `offset_mapping` (first character, last character + 1), `length`.

        Raises:
            InputError: something that is no text, or arguments that do not fit together.
        """
        if unknown:
            name = next(iter(unknown))
            known = self.__call__.__func__.__annotations__  # type: ignore[attr-defined]  # a bound method has one
            raise InputError(f"the tokenizer has no argument {name!r}{did_you_mean(name, known)}")
        if is_split_into_words and not self.add_prefix_space:
            raise InputError(
                "is_split_into_words=True needs a tokenizer made with add_prefix_space=True, so that each word "
                "starts like a word; make one with BloomTokenizerFast.from_pretrained(…, add_prefix_space=True)"
            )
        if return_tensors not in (None, "pt", "np", "jax"):
            raise InputError(f"return_tensors must be 'pt', 'np', 'jax' or None, but got {return_tensors!r}")

        texts, pairs, is_batch = split_input(text, text_pair, is_split_into_words)
        firsts = self._encode(texts, is_split_into_words, 0)
        seconds = [None] * len(firsts) if pairs is None else self._encode(pairs, is_split_into_words, 1)
        strategy, length = how_to_cut(padding, truncation, max_length, self.model_max_length)
        rows = zip(firsts, seconds, strict=True)
        cut = [
            join(*pair) if strategy is None else cut_pair(*pair, strategy, length, self.truncation_side)
            for pair in rows
        ]
        width = width_to_fill(cut, padding, length, pad_to_multiple_of, strategy is not None)
        filled = [self._fill(row, width, padding_side) for row in cut] if width else cut

        values: dict[str, Any] = {"input_ids": [row.ids for row in filled]}
        if return_token_type_ids:
            values["token_type_ids"] = [[which or 0 for which in row.texts] for row in filled]
        if return_attention_mask is not False:
            values["attention_mask"] = [[int(which is not None) for which in row.texts] for row in filled]
        if return_special_tokens_mask:
            values["special_tokens_mask"] = [[int(which is None) for which in row.texts] for row in filled]
        if return_offsets_mapping:
            values["offset_mapping"] = [row.offsets for row in filled]
        if return_tensors:
            width = common_width(filled)
            values = {name: as_tensor(value, return_tensors, width) for name, value in values.items()}
        elif not is_batch:
            values = {name: value[0] for name, value in values.items()}
        if return_length:
            values["length"] = [len(row) for row in filled]
        return BatchEncoding(values, filled)

    def _encode(self, texts: list[Any], words: bool, which: int) -> list[Row]:
        with library_errors("encoding"):
            if len(texts) == 1:  # no threads for one text
                encodings = [self._library.encode(texts[0], is_pretokenized=words)]
            else:
                encodings = self._library.encode_batch(texts, is_pretokenized=words)
            return [Row(e.ids, e.tokens, e.offsets, e.word_ids, [which] * len(e)) for e in encodings]

    def _fill(self, row: Row, width: int, side: str | None) -> Row:
        side = self.padding_side if side is None else one_of("padding_side", side, ("left", "right"))
        if self.pad_token is None:
            raise InputError("padding needs a pad token, but this tokenizer has none; set tokenizer.pad_token")
        return row.fill(width, side, self.pad_token_id, self.pad_token)

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The ids of a text: what calling the tokenizer gives as `input_ids`."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text as the vocabulary spells them: "Ġworld" for " world"."""
        return self(whole_text(text, "text")).tokens()

    # -- ids to text ----

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of a list or tensor of ids. An id that no token has stands for no text.

        Raises:
            InputError: not a list of ids; or bytes that are no text, when the tokenizer's `errors` is "strict".
        """
        skipped = self._special_ids if skip_special_tokens else ()
        text = self._text(b"".join(self._bytes(index) for index in id_list(token_ids) if index not in skipped))
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return _clean_up(text) if clean else text

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """The texts of several rows of ids; the options are those of `decode`."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else sequences
        if not isinstance(rows, Iterable):
            raise InputError(f"expected rows of token ids, but got {shorten(rows)}; for one row use decode")
        return [self.decode(row, **options) for row in rows]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The vocabulary's spelling of an id, or of each id in a list; None for an id that no token has."""
        tokens = [
            self._library.id_to_token(index) if index < 1 << 31 else None
            for index in id_list(ids)
            if not (skip_special_tokens and index in self._special_ids)
        ]
        return tokens[0] if isinstance(ids, int) and tokens else tokens

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token as the vocabulary spells it, or of each in a list; the unknown one has unk's id."""
        if isinstance(tokens, str):
            index = self._library.token_to_id(tokens)
            return self.unk_token_id if index is None else index
        return [self.convert_tokens_to_ids(whole_text(token, "token")) for token in tokens]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens as the vocabulary spells them."""
        ids = [self._library.token_to_id(whole_text(token, "token")) for token in tokens]
        return self._text(b"".join(self._bytes(index) for index in ids if index is not None))

    def _text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8", self.errors)
        except UnicodeDecodeError as error:
            raise InputError(
                f"expected tokens that make a text, but byte {error.start} of {len(data)} does not fit; "
                "make the tokenizer with errors='replace' to see � there"
            ) from None

    # -- the vocabulary ----

    @property
    def vocab_size(self) -> int:
        """How many tokens were learned; `len(tokenizer)` counts those added later, too."""
        return int(self._library.get_vocab_size(with_added_tokens=False))

    @cached_property
    def merge_ranks(self) -> dict[tuple[bytes, bytes], int]:
        """The neighbours that are joined, each pair with its place in the order of learning, 0 the first."""
        with library_errors("listing the merges"):
            merges = json.loads(self._library.to_str())["model"]["merges"]
        return {
            (bytes_of(left), bytes_of(right)): rank
            for rank, (left, right) in enumerate(merges)
            if BYTE_OF.keys() >= {*left, *right}  # other characters come from added tokens, and join nothing
        }

    def __len__(self) -> int:
        return int(self._library.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        """Every token, as the vocabulary spells it, and its id."""
        return dict(self._library.get_vocab(with_added_tokens=True))

    def add_tokens(self, new_tokens: str | Sequence[str], special_tokens: bool = False) -> int:
        """Give these texts ids of their own; returns how many are new. The model needs as many rows:
        `model.resize_token_embeddings(len(tokenizer))`."""
        names = [new_tokens] if isinstance(new_tokens, str) else list(new_tokens)
        for name in names:
            if not whole_text(name, "new token"):
                raise InputError("expected a new token of at least one character, but got ''")
        before = len(self)
        with library_errors("adding tokens"):
            add = self._library.add_special_tokens if special_tokens else self._library.add_tokens
            add([AddedToken(name, special=special_tokens, normalized=False) for name in names])
        for name in names:
            index = self.convert_tokens_to_ids(name)
            self._added[index] = name
            self._special_ids |= {index} if special_tokens else set()
        return len(self) - before

    def add_special_tokens(self, special_tokens_dict: dict[str, str]) -> int:
        """Set and, where the vocabulary lacks them, add tokens with a meaning: {"pad_token": "[PAD]"}."""
        for key in special_tokens_dict:
            if key not in SPECIAL:
                raise InputError(f"expected {', '.join(SPECIAL)}, but got {key!r}{did_you_mean(key, SPECIAL)}")
        added = self.add_tokens(list(special_tokens_dict.values()), special_tokens=True)
        self._special.update(special_tokens_dict)
        return added

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The tokens with a meaning, by the name of the meaning."""
        return {key: token for key, token in self._special.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The tokens with a meaning, each once."""
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the tokens with a meaning, each once."""
        return [self.convert_tokens_to_ids(token) for token in self.all_special_tokens]

    unk_token, bos_token, eos_token, pad_token = (_special_token(key) for key in SPECIAL)
    unk_token_id, bos_token_id, eos_token_id, pad_token_id = (_special_id(key) for key in SPECIAL)

    def __repr__(self) -> str:
        return f"BloomTokenizerFast({len(self)} tokens, padding_side={self.padding_side!r})"


# -- checking ----


def _read_parts(vocab_file: Any, merges_file: Any, tokenizer_file: Any, tokenizer_object: Any) -> TokenizerParts:
    if tokenizer_object is not None:
        return check_tokenizer(json.loads(tokenizer_object.to_str()), "tokenizer_object")
    if tokenizer_file is not None:
        return read_tokenizer_json(tokenizer_file)
    if vocab_file is not None and merges_file is not None:
        return read_vocab_and_merges(vocab_file, merges_file)
    raise InputError(
        "expected tokenizer_file, or vocab_file and merges_file, but got neither; "
        "for a whole folder use BloomTokenizerFast.from_pretrained(folder)"
    )


def _made_folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TokenizerError(f"cannot make the folder {path}: {error.strerror}; choose another place") from None
    return path


def _clean_up(text: str) -> str:
    for spaced in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(spaced, spaced.strip())
    return text


def _token_name(token: Any, key: str) -> str | None:
    """The text of a special token: files also spell it {"content": …}, the library AddedToken."""
    text = token.get("content") if isinstance(token, dict) else getattr(token, "content", token)
    if text is not None and not (isinstance(text, str) and 0 < len(text) <= MAX_TOKEN and text.isprintable()):
        raise InputError(
            f"{key} must be a text of 1 to {MAX_TOKEN} visible characters or None, but got {shorten(token)}"
        )
    return text


def _error_handler(name: Any) -> str:
    try:
        codecs.lookup_error(name)
    except (LookupError, TypeError):
        raise InputError(f"errors must be 'replace', 'strict' or 'ignore', but got {shorten(name)}") from None
    return str(name)
