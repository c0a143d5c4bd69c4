"""Train the embedded model's tokenizer: BLOOM's byte-level BPE, with 3,072 tokens instead of 250,680.

    python -m bloomlab.tiny.train_tokenizer

Training counts which neighbours occur together most often inside a piece of text and merges them, again and
again, until the vocabulary is full. The pieces are what BLOOM's split pattern leaves between spaces and full
stops, so a merge never crosses a space. Chinese has no spaces: left alone, whole phrases would become tokens.
So its word boundaries are marked while counting, and only then.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence, Split
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.trainers import BpeTrainer

from bloomlab.guards.files import write_json
from bloomlab.tiny import folder
from bloomlab.tiny.documents import documents
from bloomlab.tiny.language import LANGUAGES

SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}  # ids 0 to 3
VOCAB_SIZE = 3072
DOCUMENTS = 40_000
WORD_BOUNDARY = "\u200b"  # a zero-width space: the world never writes one
# Everything but spaces, bars, brackets and full stops of any script, with the space before it. The inner
# bracket is a nested class of the Oniguruma library; Python's own `re` would read it differently.
BLOOM_SPLIT = r" ?[^(\s|[.,!?…。，、।۔،])]+"


def train_tokenizer(seed: int = 0, count: int = DOCUMENTS) -> Tokenizer:
    """A tokenizer for the tiny world, learned from `count` documents."""
    marked = {code: dataclasses.replace(lang, gap=lang.gap or WORD_BOUNDARY) for code, lang in LANGUAGES.items()}
    corpus = (document.text for document in itertools.islice(documents(f"tokenizer {seed}", languages=marked), count))
    return learned(corpus, VOCAB_SIZE)


def learned(corpus: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of BLOOM's form, learned from these texts; a marked word boundary is in none of its tokens."""
    bloom = [Split(Regex(BLOOM_SPLIT), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer = Tokenizer(BPE())
    tokenizer.post_processor = ByteLevelProcessor(trim_offsets=False)
    tokenizer.decoder = ByteLevelDecoder()

    words: list[PreTokenizer] = [Split(WORD_BOUNDARY, "removed"), *bloom]
    tokenizer.pre_tokenizer = Sequence(words)
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=ByteLevel.alphabet(),  # all 256 bytes, so that any text at all has tokens
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.pre_tokenizer = Sequence(bloom)
    return tokenizer


def save(tokenizer: Tokenizer, out: Path) -> None:
    """Write tokenizer.json and its two small companions."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    write_json(out / "special_tokens_map.json", SPECIAL)
    settings = {"tokenizer_class": "BloomTokenizerFast", "padding_side": "left", "add_prefix_space": False}
    write_json(out / "tokenizer_config.json", {**SPECIAL, **settings, "clean_up_tokenization_spaces": False})


def main() -> None:
    parser = argparse.ArgumentParser(description="train the tokenizer of bloomlab's embedded model")
    parser.add_argument("--out", type=Path, default=folder(), help="folder to write to (the shipped model's)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    save(train_tokenizer(arguments.seed), arguments.out)
    print(f"wrote {VOCAB_SIZE} tokens to {arguments.out}")


if __name__ == "__main__":
    main()
