"""A small tokenizer of BLOOM's kind, trained when a test asks for it, and texts that are hard to get right."""

import functools
import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bloomlab.text.tokenizer_file import bloom_pipeline

LINES = [
    "hello world, the (big) world is round. Is it? It is!",
    "नमस्ते दुनिया। यह एक वाक्य है।",
    "你好，世界。我们住在奥斯陆、柏林。",
    "مرحبا بالعالم، أهلا وسهلا۔",
    "the quick brown fox jumps over the lazy dog   and\n\n\treturns…",
    "naïve café façade 🙂👩‍💻 Ελληνικά русский язык",
]
TEXTS = [
    "",
    " ",
    "hello world",
    " hello  world ",
    "Is it (really) round? a.b,c|d!e…f。g",
    "<s>hello</s> <pad><unk> < s >",
    "नमस्ते दुनिया। क्षत्रिय",
    "你好，世界。",
    "مرحبا بالعالم، أهلا",
    "🙂👩‍💻 e\u0301 \u202eabc\u200d\x00\x7f",
    "tabs\tand\nlines\r\n\u00a0\u3000end",
    "x" * 300,
]


@functools.cache
def trained_json() -> str:
    """The tokenizer.json that training gives: 4 special tokens, 256 bytes, and what was merged."""
    tokenizer = bloom_pipeline(Tokenizer(models.BPE()))
    tokenizer.train_from_iterator(
        LINES * 3,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=["<unk>", "<s>", "</s>", "<pad>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return str(tokenizer.to_str())


def hub_folder(folder: Path) -> Path:
    """Write the tokenizer's files as the hub has them."""
    (folder / "tokenizer.json").write_text(trained_json(), encoding="utf-8")
    config = {
        "unk_token": "<unk>",
        "eos_token": "</s>",
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "name_or_path": "bigscience/tokenizer",
        "special_tokens_map_file": None,
        "tokenizer_class": "BloomTokenizerFast",
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
