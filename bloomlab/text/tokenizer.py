"""From text to ids and back: BLOOM's byte-level BPE.

Text is split into pieces, each piece is written as UTF-8 bytes, and pairs of neighbours are merged in the order
in which the merges were learned. Nothing is added: no token for the beginning or the end. A text in any script
has tokens, because every byte has one.
"""

import codecs
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

from tokenizers import AddedToken, Tokenizer

from bloomlab.elsewhere import TOKENIZER
from bloomlab.errors import InputError, NearNames, TokenizerError, did_you_mean, shorten, shorten_path
from bloomlab.guards.arguments import bytes_in, flag, id_list, one_of, whole_number, whole_text
from bloomlab.guards.files import json_bytes, make_folder, read_json, replacing_all
from bloomlab.text.batches import (
    NO_LIMIT,
    Row,
    as_tensor,
    as_tensors,
    common_width,
    join,
    padded_width,
    split_input,
    truncation_strategy,
)
from bloomlab.text.chat import rendered
from bloomlab.text.encoding import BatchEncoding
from bloomlab.text.padding import padded
from bloomlab.text.tokenizer_file import (
    BYTE_OF,
    MAX_ADDED,
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
from bloomlab.text.tokens import DisplayToken, Token, display_tokens, tokens_in
from bloomlab.weights.hub import local_folder

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
    "additional_special_tokens",
    "extra_special_tokens",
)
"""What tokenizer_config.json may set. Its other keys say how the tokenizer was made; they are not used."""

EXTRA = ("extra_special_tokens", "additional_special_tokens")
"""What transformers 5 and 4 call the special tokens that have no name of their own."""

MAX_CONFIG_BYTES = 16 << 20

Words = Sequence[str]
Text = str | Words


def _special_token(key: str) -> Any:
    """The attribute `key`, a special token; only a token of the vocabulary can be assigned."""

    def read(self: "BloomTokenizerFast") -> str | None:
        return self._special[key]

    def write(self: "BloomTokenizerFast", token: Any) -> None:
        name = _token_name(token, key)
        if name is not None and self._library.token_to_id(name) is None:
            raise InputError(f"{key} must be in the vocabulary, but {name!r} is not; use add_special_tokens")
        self._special[key] = name

    return property(read, write)


def _special_id(key: str) -> Any:
    """The attribute `key` + "_id": the id of that special token, or None if there is none."""

    def read(self: "BloomTokenizerFast") -> int | None:
        token = self._special[key]
        return None if token is None else self._library.token_to_id(token)

    return property(read)


class BloomTokenizerFast(NearNames):
    """BLOOM's tokenizer, over the `tokenizers` library.

    Args:
        vocab_file, merges_file: the older pair of files, vocab.json and merges.txt.
        tokenizer_file: a tokenizer.json; what `from_pretrained` finds in a folder.
        unk_token, bos_token, eos_token, pad_token: special tokens (the documentation says `<|endoftext|>`; BLOOM's are
            the ones in the signature). One that is not in the vocabulary is added.
        add_prefix_space: put a space before every piece ("a.b" becomes " a", " .", " b").
        clean_up_tokenization_spaces: when decoding, drop the space before . , ! ? and in English contractions.
        errors: how to decode bytes that are not text: "replace" (with �), "strict", "ignore", …
        trim_offsets: leave the white space around a token out of its offsets. None: what the file says.
        padding_side, truncation_side: "left" or "right".
        model_max_length: the length that truncation=True cuts to when no max_length is given.
        **kwargs: `extra_special_tokens` (or `additional_special_tokens`), a list; `chat_template`, which no file sets;
            other keys of a tokenizer_config.json, which are kept in `init_kwargs` and never interpreted.

    Raises:
        TokenizerError: a file is missing or broken, or not a BLOOM tokenizer's.
        InputError: an argument does not fit.
    """

    _elsewhere = TOKENIZER
    vocab_files_names = {  # noqa: RUF012  # a constant, documented as a class attribute
        "vocab_file": "vocab.json",
        "merges_file": "merges.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_input_names = ("input_ids", "attention_mask")
    is_fast = True
    sep_token = cls_token = mask_token = sep_token_id = cls_token_id = mask_token_id = None
    """BLOOM has none of these; collators and pipelines ask."""

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
        given = (kwargs.get(key) for key in EXTRA)
        extra = _token_names(next((several for several in given if several is not None), []))
        parts = with_special_tokens(parts, [*(name for name in names if name is not None), *extra])
        self.add_prefix_space = flag("add_prefix_space", add_prefix_space) or parts.add_prefix_space
        trim = parts.trim_offsets if trim_offsets is None else flag("trim_offsets", trim_offsets)
        self.trim_offsets = trim
        self._library = build(replace(parts, add_prefix_space=self.add_prefix_space, trim_offsets=trim))
        self._special: dict[str, str | None] = dict(zip(SPECIAL, names, strict=True))
        self._extra_special = extra
        self._added = {token_id: text for text, token_id, _ in parts.added}
        self._special_ids = {token_id for _, token_id, is_special in parts.added if is_special}

        self.clean_up_tokenization_spaces = flag("clean_up_tokenization_spaces", clean_up_tokenization_spaces or False)
        self.errors = _error_handler(errors)
        self.padding_side = one_of("padding_side", padding_side, ("left", "right"))
        self.truncation_side = one_of("truncation_side", truncation_side, ("left", "right"))
        limit = NO_LIMIT if model_max_length is None else model_max_length
        if isinstance(limit, float) and limit.is_integer():  # 1e30, as some files write it
            limit = int(limit)
        self.model_max_length = whole_number("model_max_length", limit)
        self.init_kwargs = kwargs
        self.chat_template = kwargs.get("chat_template")  # a program, so only a caller sets it, never a file
        self.name_or_path = str(kwargs.get("name_or_path", ""))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        **overrides: Any,
    ) -> Self:
        """The tokenizer in a folder: tokenizer.json, or vocab.json and merges.txt, and the small files beside them.

        `folder` may be a name on the hub, e.g. "560m" or "owner/name"; then `revision` and `cache_dir` say which
        branch, tag or commit, and where to keep it. Keyword arguments are the constructor's and win over the files.

        Raises:
            TokenizerError: the folder or a file in it is missing or broken, or not a BLOOM tokenizer's.
            DownloadError: a file cannot be fetched.
        """
        path = local_folder(folder, TokenizerError, "tokenizer", revision=revision, cache_dir=cache_dir)
        settings: dict[str, Any] = {"name_or_path": str(folder)}
        for name in ("special_tokens_map.json", "tokenizer_config.json"):
            if (path / name).exists():
                values = read_json(path / name, MAX_CONFIG_BYTES, TokenizerError)
                stored = {key: value for key, value in values.items() if key in SETTINGS}
                settings.update((k, v) for k, v in stored.items() if v is not None or k in SPECIAL)
        files = {key: path / name for key, name in cls.vocab_files_names.items()}
        older = files["vocab_file"].exists() and not files["tokenizer_file"].exists()
        files = {key: file for key, file in files.items() if older == (key != "tokenizer_file")}
        try:
            return cls(**{**files, **settings, **overrides})
        except InputError as error:
            raise TokenizerError(
                f"the tokenizer in {shorten_path(path, 120)} cannot be opened: {shorten_path(error, 240)}"
            ) from None

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json; returns their paths."""
        path = _make_folder(folder)
        settings = {name: getattr(self, name) for name in SETTINGS if name not in EXTRA}
        if self._extra_special:
            settings["additional_special_tokens"] = self._extra_special  # the name that transformers 4 and 5 both read
        files = {
            "tokenizer.json": self.tokenizer_json().encode(),
            "tokenizer_config.json": json_bytes({"tokenizer_class": "BloomTokenizerFast", **settings}),
            "special_tokens_map.json": json_bytes(self.special_tokens_map),
        }
        with replacing_all(path) as draft:
            for name, content in files.items():
                draft(name).write_bytes(content)
        return tuple(str(path / name) for name in files)

    def tokenizer_json(self) -> str:
        """What `save_pretrained` writes into tokenizer.json: the vocabulary, the merges and the special tokens."""
        with library_errors("writing it down"):
            return self._library.to_str(pretty=True)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, str]:
        """Write the older pair of files, vocab.json and merges.txt; returns their paths."""
        path = _make_folder(save_directory)
        start = f"{filename_prefix}-" if filename_prefix else ""
        vocab_file, merges_file = path / f"{start}vocab.json", path / f"{start}merges.txt"
        with replacing_all(path) as draft:
            write_vocab_and_merges(self._library, draft(vocab_file.name), draft(merges_file.name))
        return str(vocab_file), str(merges_file)

    # -- what a token shows as ----

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text: their ids, bytes, and the characters they cover.

        Joined, the bytes are the text in UTF-8; with `add_prefix_space`, spaces are added to it.
        """
        whole_text(text, "text")
        ids = self.encode(text)
        return tokens_in(text.encode(), ids, [self._bytes(token_id) for token_id in ids])

    def tokens_of_ids(self, ids: Any) -> list[Token]:
        """The tokens with these ids; their spans are positions in `decode(ids)`."""
        row = id_list(ids)
        parts = [self._bytes(token_id) for token_id in row]
        return tokens_in(b"".join(parts), row, parts)

    def display_tokens(self, text: str) -> list[DisplayToken]:
        """What a view draws for a text: tokens joined until their bytes are whole characters."""
        return display_tokens(self.tokens(text))

    chips = display_tokens  # its first name, kept for code that calls it so

    @cached_property
    def _bytes_by_id(self) -> "_BytesById":
        return _BytesById(self._bytes)

    def _bytes(self, token_id: int) -> bytes:
        """The bytes of one token; none for an id that no token has."""
        if token_id in self._added:
            return self._added[token_id].encode()
        token = self._library.id_to_token(token_id) if token_id < 1 << 31 else None
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
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool = False,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
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
            padding: True or "longest" pads every row to the longest one, "max_length" to max_length.
            truncation: True or "longest_first", "only_first", "only_second" truncate to max_length tokens.
            max_length: tokens; without padding or truncation, it truncates.
            stride, return_overflowing_tokens: what truncation cuts off becomes further rows, each of at most max_length
                tokens, of which neighbours share `stride`; `overflow_to_sample_mapping` says which text each is from.
            is_split_into_words: needs a tokenizer made with add_prefix_space=True.
            pad_to_multiple_of: pad to a multiple of this many tokens.
            return_tensors: "pt", "np" or "jax" for tensors (batch, tokens); None for lists.
            verbose: accepted; nothing is printed either way.

        Returns:
            `input_ids` and `attention_mask`, and whatever else was asked for: `token_type_ids`,
            `special_tokens_mask`, `offset_mapping` (first character, last character + 1), `length`.

        A text may be of any length; `model_max_length` is what truncation cuts to, and no limit.

        Raises:
            InputError: something is not a text, or the arguments contradict each other.
            MemoryLimitError: the tokens of so much text do not fit into this machine's memory.
        """
        if unknown:
            name = next(iter(unknown))
            arguments = self.__call__.__func__.__annotations__  # type: ignore[attr-defined]  # a bound method has one
            raise InputError(f"the tokenizer has no argument {name!r}{did_you_mean(name, arguments)}")
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
        strategy, length = truncation_strategy(padding, truncation, max_length, self.model_max_length)
        if type(stride) is not int or stride < 0:
            raise InputError(f"stride must be a whole number of at least 0, but got {stride!r}")
        step = stride if return_overflowing_tokens else 0
        by_text = [
            join(first, second, strategy, length, self.truncation_side, step)
            for first, second in zip(firsts, seconds, strict=True)
        ]
        if not return_overflowing_tokens:
            by_text = [several[:1] for several in by_text]
        rows = list(chain.from_iterable(by_text))
        width = padded_width(rows, padding, length, pad_to_multiple_of, strategy is not None)
        rows = [self._pad(row, width, padding_side) for row in rows] if width else rows

        values: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
        if return_token_type_ids:
            values["token_type_ids"] = [[sequence or 0 for sequence in row.sequence_ids] for row in rows]
        if return_attention_mask is not False:
            values["attention_mask"] = [row.mask for row in rows]
        if return_special_tokens_mask:
            values["special_tokens_mask"] = [[1 - each for each in row.mask] for row in rows]
        if return_offsets_mapping:
            values["offset_mapping"] = [list(row.offsets) for row in rows]
        if return_overflowing_tokens:
            origins = [text for text, several in enumerate(by_text) for _ in several]
        if return_tensors:
            width = common_width(rows)
            values = {name: as_tensor(value, return_tensors, width) for name, value in values.items()}
        elif not is_batch and not return_overflowing_tokens:
            values = {name: value[0] for name, value in values.items()}
        if return_overflowing_tokens:
            values |= as_tensors({"overflow_to_sample_mapping": origins}, return_tensors)
        if return_length:
            values["length"] = [len(row) for row in rows]
        return BatchEncoding(values, rows)

    def _encode(self, texts: list[Any], words: bool, sequence: int) -> list[Row]:
        with library_errors("encoding"):
            if len(texts) == 1:  # no threads for one text
                encodings = [self._library.encode(texts[0], is_pretokenized=words)]
            else:
                encodings = self._library.encode_batch(texts, is_pretokenized=words)
            return [Row.of(encoding, sequence) for encoding in encodings]

    def _pad(self, row: Row, width: int, side: str | None) -> Row:
        side = self.padding_side if side is None else one_of("padding_side", side, ("left", "right"))
        if self.pad_token is None:
            raise InputError("padding needs a pad token, but this tokenizer has none; set tokenizer.pad_token")
        return row.pad(width, side, self.pad_token_id, self.pad_token)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Rows that were encoded before, padded to one width: for collators, and for a DataLoader's `collate_fn`.

        Args:
            encoded_inputs: a list of encodings, or one with lists. What else they hold, such as labels, is kept.
            padding, max_length, pad_to_multiple_of, padding_side, return_tensors: as in a call. Tensors stay tensors.

        Raises:
            InputError: there are no `input_ids`, or the rows do not make a tensor.
        """
        side = self.padding_side if padding_side is None else one_of("padding_side", padding_side, ("left", "right"))
        if self.pad_token_id is None and padding:
            raise InputError("padding needs a pad token, but this tokenizer has none; set tokenizer.pad_token")
        limit = self.model_max_length if max_length is None else max_length
        mask, fill = return_attention_mask is not False, self.pad_token_id or 0
        return BatchEncoding(
            padded(encoded_inputs, fill, side, padding, limit, pad_to_multiple_of, mask, return_tensors)
        )

    def apply_chat_template(
        self,
        conversation: Any,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = True,
        tools: Any = None,
        documents: Any = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
        **names: Any,
    ) -> Any:
        """A conversation, or several, as one text each, by a template in jinja2's language; then its tokens.

        Args:
            conversation: a list such as [{"role": "user", "content": "Hi"}]; or a list of those.
            chat_template: the template, unless `tokenizer.chat_template` was set. None is ever read from a file.
            add_generation_prompt, tools, documents, **names: for the template, beside `messages` and special tokens.
            tokenize: False gives the text; return_dict=False the ids only.
            tokenizer_kwargs, padding, truncation, max_length, return_tensors: as in a call.

        Raises:
            InputError: there is no template; it is broken, or refuses the conversation.
            MissingPackageError: jinja2 is not installed.
        """
        given = {**self.special_tokens_map, "add_generation_prompt": add_generation_prompt, **names}
        given |= {"tools": tools, "documents": documents}
        template = self.chat_template if chat_template is None else chat_template
        several = (
            isinstance(conversation, list | tuple) and bool(conversation) and isinstance(conversation[0], list | tuple)
        )
        texts = [rendered(template, one, given) for one in (conversation if several else [conversation])]
        text: Any = texts if several else texts[0]
        if not tokenize:
            return text
        options: dict[str, Any] = {"padding": padding, "truncation": truncation, "max_length": max_length}
        found = self(text, **options, return_tensors=return_tensors, **(tokenizer_kwargs or {}))
        return found if return_dict else found["input_ids"]

    def encode(self, text: Any, text_pair: Any = None, **options: Any) -> Any:
        """The ids of a text: the `input_ids` that calling the tokenizer returns."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text as the vocabulary spells them: "Ġworld" for " world"."""
        return self(whole_text(text, "text")).tokens()

    # -- ids to text ----

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of a list or tensor of ids. An id that no token has adds nothing.

        Raises:
            InputError: not a list of ids; or bytes that are not text, when the tokenizer's `errors` is "strict".
        """
        ids = id_list(token_ids)
        if skip_special_tokens and not self._special_ids.isdisjoint(ids):
            ids = [token_id for token_id in ids if token_id not in self._special_ids]
        text = self._text(b"".join(map(self._bytes_by_id.__getitem__, ids)))
        clean = clean_up_tokenization_spaces
        return _clean_up(text) if (self.clean_up_tokenization_spaces if clean is None else clean) else text

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        """The texts of several rows of ids; the options are those of `decode`."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else sequences
        if not isinstance(rows, Iterable):
            raise InputError(f"expected rows of token ids, but got {shorten(rows)}; for one row use decode")
        return [self.decode(row, **options) for row in rows]

    def pieces(self, token_ids: Iterable[int], skip_special_tokens: bool = False) -> Iterator[str]:
        """The text of ids as they come, in whole characters: bytes that begin one wait for the rest.

        Joined, the pieces are `decode` of all ids (without its cleaning up of spaces).

        Raises:
            InputError: bytes that are not text, when the tokenizer's `errors` is "strict".
        """
        reader = codecs.getincrementaldecoder("utf-8")(self.errors)
        skipped = self._special_ids if skip_special_tokens else ()
        for token_id in token_ids:
            if token_id not in skipped and (piece := self._read(reader, self._bytes_by_id[token_id])):
                yield piece
        if piece := self._read(reader, b"", last=True):
            yield piece

    def _read(self, reader: codecs.IncrementalDecoder, data: bytes, last: bool = False) -> str:
        try:
            return reader.decode(data, last)
        except UnicodeDecodeError:
            raise InputError(
                "expected tokens that make a text, but some bytes do not fit; "
                "make the tokenizer with errors='replace' to show them as �"
            ) from None

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The vocabulary's spelling of an id, or of each id in a list; None for an id that no token has."""
        tokens = [
            self._library.id_to_token(token_id) if token_id < 1 << 31 else None
            for token_id in id_list(ids)
            if not (skip_special_tokens and token_id in self._special_ids)
        ]
        return tokens[0] if isinstance(ids, int) and tokens else tokens

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token as the vocabulary spells it, or of each in a list; an unknown one gets the id of unk."""
        if isinstance(tokens, str):
            token_id = self._library.token_to_id(tokens)
            return self.unk_token_id if token_id is None else token_id
        return [self.convert_tokens_to_ids(whole_text(token, "token")) for token in tokens]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens as the vocabulary spells them."""
        ids = [self._library.token_to_id(whole_text(token, "token")) for token in tokens]
        return self._text(b"".join(self._bytes(token_id) for token_id in ids if token_id is not None))

    def _text(self, data: bytes) -> str:
        try:
            return data.decode("utf-8", self.errors)
        except UnicodeDecodeError as error:
            raise InputError(
                f"expected tokens that make a text, but byte {error.start} of {len(data)} does not fit; "
                "make the tokenizer with errors='replace' to show it as �"
            ) from None

    # -- the vocabulary ----

    @property
    def vocab_size(self) -> int:
        """How many tokens were learned; `len(tokenizer)` also counts those added later."""
        return int(self._library.get_vocab_size(with_added_tokens=False))

    def least_tokens(self, text: str) -> int:
        """How many tokens a text has at least, told by its length alone: no token has more bytes than the longest."""
        added = max((len(token.encode()) for token in self._added.values()), default=1)
        return -(-bytes_in(text) // max(self._longest, added))

    @cached_property
    def _longest(self) -> int:
        """Bytes of the longest token that was learned; the vocabulary spells each byte as a character."""
        return max(map(len, self._library.get_vocab(with_added_tokens=False)), default=1)

    @cached_property
    def merge_ranks(self) -> dict[tuple[bytes, bytes], int]:
        """The pairs that are merged, each with its rank: 0 for the merge that was learned first."""
        merges = json.loads(self.tokenizer_json())["model"]["merges"]
        return {
            (bytes_of(left), bytes_of(right)): rank
            for rank, (left, right) in enumerate(merges)
            if BYTE_OF.keys() >= {*left, *right}  # other characters come from added tokens, which are never merged
        }

    def __len__(self) -> int:
        return int(self._library.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        """Every token as the vocabulary spells it, with its id."""
        return dict(self._library.get_vocab(with_added_tokens=True))

    def add_tokens(self, new_tokens: str | Sequence[str], special_tokens: bool = False) -> int:
        """Give each of these texts an id; returns how many are new.

        The model needs a row for each: `model.resize_token_embeddings(len(tokenizer))`.
        """
        names = [new_tokens] if isinstance(new_tokens, str) else list(new_tokens)
        for name in names:
            if not whole_text(name, "new token"):
                raise InputError("expected a new token of at least one character, but got ''")
        before = len(self)
        self.__dict__.pop("_bytes_by_id", None)  # an id may have been none before
        with library_errors("adding tokens"):
            add = self._library.add_special_tokens if special_tokens else self._library.add_tokens
            add([AddedToken(name, special=special_tokens, normalized=False) for name in names])
        for name in names:
            token_id = self.convert_tokens_to_ids(name)
            self._added[token_id] = name
            self._special_ids |= {token_id} if special_tokens else set()
        return len(self) - before

    def add_special_tokens(self, special_tokens_dict: dict[str, Any], replace_extra_special_tokens: bool = True) -> int:
        """Set special tokens, adding those that the vocabulary lacks: {"pad_token": "[PAD]"}.

        "extra_special_tokens" (or "additional_special_tokens") is a list of tokens without a name of their own, which
        replaces the one before, or goes on from it.
        """
        keys = (*SPECIAL, *EXTRA)
        for key in special_tokens_dict:
            if key not in keys:
                raise InputError(f"expected {', '.join(keys)}, but got {key!r}{did_you_mean(key, keys)}")
        named = {key: _token_name(token, key) for key, token in special_tokens_dict.items() if key in SPECIAL}
        extra = [name for key in EXTRA for name in _token_names(special_tokens_dict.get(key) or [])]
        added = self.add_tokens([*(name for name in named.values() if name is not None), *extra], special_tokens=True)
        self._special.update(named)
        if any(key in special_tokens_dict for key in EXTRA):
            kept = [] if replace_extra_special_tokens else self._extra_special
            self._extra_special = list(dict.fromkeys([*kept, *extra]))
        return added

    @property
    def extra_special_tokens(self) -> list[str]:
        """The special tokens that have no name of their own; `additional_special_tokens` is the same."""
        return list(self._extra_special)

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Any) -> None:
        names = _token_names(tokens)
        for name in names:
            if self._library.token_to_id(name) is None:
                raise InputError(f"expected tokens of the vocabulary, but {name!r} is not; use add_special_tokens")
        self._extra_special = names

    additional_special_tokens = extra_special_tokens

    @property
    def extra_special_tokens_ids(self) -> list[int]:
        """Their ids; `additional_special_tokens_ids` is the same."""
        return [self.convert_tokens_to_ids(token) for token in self._extra_special]

    additional_special_tokens_ids = extra_special_tokens_ids

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by name: {"pad_token": "<pad>", …}."""
        return {key: token for key, token in self._special.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, each once."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self._extra_special]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the special tokens, each once."""
        return [self.convert_tokens_to_ids(token) for token in self.all_special_tokens]

    unk_token, bos_token, eos_token, pad_token = (_special_token(key) for key in SPECIAL)
    unk_token_id, bos_token_id, eos_token_id, pad_token_id = (_special_id(key) for key in SPECIAL)

    def __repr__(self) -> str:
        return f"BloomTokenizerFast({len(self)} tokens, padding_side={self.padding_side!r})"


class _BytesById(dict[int, bytes]):
    """The bytes of each token that was asked for, looked up once."""

    def __init__(self, look_up: Callable[[int], bytes]) -> None:
        self._look_up = look_up

    def __missing__(self, token_id: int) -> bytes:
        found = self._look_up(token_id)
        if found:  # ids without a token are without end, so they are not kept
            self[token_id] = found
        return found


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


def _make_folder(folder: str | os.PathLike[str]) -> Path:
    path = Path(folder)
    try:
        make_folder(path)
    except InputError as error:
        raise TokenizerError(str(error)) from None
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


def _token_names(tokens: Any) -> list[str]:
    """The texts of several special tokens; of a table, its values."""
    several = list(tokens.values()) if isinstance(tokens, dict) else tokens
    if not isinstance(several, list | tuple) or len(several) > MAX_ADDED:
        raise InputError(f"extra_special_tokens is a list of at most {MAX_ADDED} tokens, but got {shorten(tokens)}")
    names = [_token_name(token, "a special token") for token in several]
    return list(dict.fromkeys(name for name in names if name is not None))


def _error_handler(name: Any) -> str:
    try:
        codecs.lookup_error(name)
    except (LookupError, TypeError):
        raise InputError(f"errors must be 'replace', 'strict' or 'ignore', but got {shorten(name)}") from None
    return str(name)
