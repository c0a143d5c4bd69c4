"""The tokenizer against transformers': a batch of long texts, one by one, offsets, back to text, and opening it."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import transformers

from bloomlab import BloomTokenizerFast, tiny

Row = tuple[str, float, Callable[[], object], Callable[[], object]]

WORDS = (
    "Leo lives in Oslo. He has a cat. Mia habite à Paris; elle aime 中文 и рыба. नमस्ते दुनिया 🦁 مرحبا بالعالم ".split()
)
ENTRIES = 250_680


def rows_tokenizer(n_text: int = 3000) -> Iterator[Row]:
    """Both on the embedded model's vocabulary, texts of 1,300 characters; and opening one as large as BLOOM's."""
    folder = tiny.folder()
    ours: Any = BloomTokenizerFast.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    drawn = random.Random(0)
    texts = [" ".join(drawn.choices(WORDS, k=300))[:1300] for _ in range(n_text)]
    ids = theirs(texts)["input_ids"]
    assert ours(texts)["input_ids"] == ids and ours.batch_decode(ids) == theirs.batch_decode(ids) == texts
    offsets = {"return_offsets_mapping": True}
    assert ours(texts[:9], **offsets)["offset_mapping"] == theirs(texts[:9], **offsets)["offset_mapping"]

    yield f"tokenizer, a batch of {n_text} texts", 1.1, lambda: ours(texts), lambda: theirs(texts)
    few = texts[: n_text // 5]
    yield "tokenizer, one by one", 1.1, lambda: [ours(text) for text in few], lambda: [theirs(text) for text in few]
    yield "tokenizer, with offsets", 1.1, lambda: ours(few, **offsets), lambda: theirs(few, **offsets)
    yield "tokenizer, batch_decode", 1.1, lambda: ours.batch_decode(ids), lambda: theirs.batch_decode(ids)

    with TemporaryDirectory() as place:
        _write_large(folder, Path(place))
        yield (
            f"tokenizer, open {ENTRIES:,} entries",
            1.1,
            lambda: BloomTokenizerFast.from_pretrained(place),
            lambda: transformers.AutoTokenizer.from_pretrained(place),
        )


def _write_large(folder: Path, place: Path) -> None:
    """The embedded tokenizer, grown to BLOOM's size by merges of tokens drawn at random."""
    values, drawn = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")), random.Random(0)
    vocab = values["model"]["vocab"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in values["model"]["merges"]]
    tokens = [token for token in vocab if not token.startswith("<")]
    while len(vocab) < ENTRIES:
        left, right = drawn.choice(tokens), drawn.choice(tokens)
        if left + right not in vocab and len(left + right) < 15:
            vocab[left + right] = len(vocab)
            tokens.append(left + right)
            merges.append(f"{left} {right}")
    values["model"]["merges"] = merges
    (place / "tokenizer.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    (place / "config.json").write_text('{"model_type": "bloom"}', encoding="utf-8")
