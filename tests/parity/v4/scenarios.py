"""What both libraries are asked to do, written once: each scenario takes a library and gives back its answers.

    .venv-v4/bin/python tests/parity/v4/scenarios.py FOLDER

runs them all on transformers 4 and writes the answers into FOLDER, which already holds one checkpoint a class and a
tokenizer. test_v4_parity.py runs the same functions on bloomlab and compares. An answer is a tensor or plain JSON.
"""

import functools
import inspect
import json
import logging
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

Answers = dict[str, Any]
SCENARIOS: dict[str, Callable[[Any, Path], Answers]] = {}
CLASSES = [
    "BloomModel",
    "BloomForCausalLM",
    "BloomForSequenceClassification",
    "BloomForTokenClassification",
    "BloomForQuestionAnswering",
]
HEAD_COUNTS = [1, 2, 6, 7, 8, 12, 16, 32, 112]


def scenario(function: Callable[[Any, Path], Answers]) -> Callable[[Any, Path], Answers]:
    SCENARIOS[function.__name__] = function
    return function


# -- what the scenarios use ----


def ids(seed: int = 0, batch: int = 3, pos: int = 9) -> Tensor:
    return torch.randint(4, 101, (batch, pos), generator=torch.Generator().manual_seed(seed))


def padded(side: str) -> tuple[Tensor, Tensor]:
    """Ids and mask of three rows, one of them with four columns of padding."""
    row, mask = ids(), torch.ones(3, 9, dtype=torch.long)
    columns = slice(0, 4) if side == "left" else slice(5, 9)
    row[1, columns], mask[1, columns] = 3, 0
    return row, mask


def opened(library: Any, folder: Path, name: str, **overrides: Any) -> Any:
    return getattr(library, name).from_pretrained(folder / name, attn_implementation="eager", **overrides)


def labels_for(name: str) -> dict[str, Tensor]:
    if name == "BloomForCausalLM":
        return {"labels": ids().masked_fill(ids(1) < 20, -100)}
    if name == "BloomForSequenceClassification":
        return {"labels": torch.tensor([2, 0, 1])}
    if name == "BloomForTokenClassification":
        return {"labels": (ids() % 5).masked_fill(ids(1) < 20, -100)}
    if name == "BloomForQuestionAnswering":
        return {"start_positions": torch.tensor([1, 2, 4]), "end_positions": torch.tensor([3, 2, 99])}
    return {}


def flat(value: Any) -> Iterator[Tensor]:
    """All tensors of an output, in order; a cache gives the keys and values of each layer."""
    if isinstance(value, Tensor):
        yield value.detach()
    elif value is not None:
        for part in value if isinstance(value, tuple | list) else pairs(value):
            yield from flat(part)


def pairs(cache: Any) -> list[tuple[Tensor, Tensor]]:
    return cache.to_legacy_cache() if hasattr(cache, "to_legacy_cache") else list(cache)


@contextmanager
def said() -> Iterator[list[str]]:
    """What is said while it is open, as a warning or in the log: "FutureWarning: …"."""
    words: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: words.append(f"log: {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield words
    logger.removeHandler(handler)
    words += [f"{item.category.__name__}: {item.message}" for item in caught]


def refused(function: Callable[[], Any]) -> list[str]:
    """The names of the errors a call raises: its own and those it is a kind of."""
    try:
        function()
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__]
    return []


# -- every class ----


@scenario
def every_output(library: Any, folder: Path) -> Answers:
    """By name and as a tuple, with and without a cache, with and without labels."""
    answers: Answers = {}
    for name in CLASSES:
        model = opened(library, folder, name)
        switches: list[dict[str, Any]] = [{}, {"output_attentions": True, "output_hidden_states": True}]
        if name != "BloomForQuestionAnswering":
            switches.append({"use_cache": False})
            switches.append({"use_cache": True, "output_hidden_states": True})
        for i, asked in enumerate(switches):
            for labels in [{}, labels_for(name)]:
                case = f"{name}.{i}.{'labels' if labels else 'none'}"
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)  # see position_ids below
                    output = model(ids(), **asked, **labels)
                    values = model(ids(), **asked, **labels, return_dict=False)
                answers[f"{case}.names"] = list(output.keys())
                answers[f"{case}.length"] = [len(output), len(values)]
                for j, tensor in enumerate(flat(output.to_tuple())):
                    answers[f"{case}.output.{j}"] = tensor
                for j, tensor in enumerate(flat(values)):
                    answers[f"{case}.tuple.{j}"] = tensor
    return answers


@scenario
def padding_on_either_side(library: Any, folder: Path) -> Answers:
    answers: Answers = {}
    for side in ("left", "right"):
        row, mask = padded(side)
        for name in CLASSES:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                output = opened(library, folder, name)(row, attention_mask=mask)
            first = output[0]
            answers[f"{side}.{name}"] = first if first.dim() == 2 and first.shape[1] == 3 else first[mask.bool()]
    return answers


@scenario
def gradients_in_eval_and_train_mode(library: Any, folder: Path) -> Answers:
    """With dropout, too: from the same seed both libraries drop the same numbers."""
    answers: Answers = {}
    for name in CLASSES[1:]:
        for mode in ("eval", "train", "checkpointed"):
            model = opened(library, folder, name, hidden_dropout=0.2, attention_dropout=0.1, use_cache=False)
            if mode == "checkpointed":
                model.gradient_checkpointing_enable()
            model.train(mode != "eval")
            torch.manual_seed(5)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                loss = model(ids(), **labels_for(name)).loss
            loss.backward()
            answers[f"{name}.{mode}.loss"] = loss.detach()
            for parameter, weights in model.named_parameters():
                answers[f"{name}.{mode}.grad.{parameter}"] = weights.grad
    return answers


@scenario
def head_masks(library: Any, folder: Path) -> Answers:
    answers: Answers = {}
    shapes = {"heads": (6,), "layers and heads": (3, 6)}
    for kind, shape in shapes.items():
        for values in ("some heads off", "any numbers"):
            generator = torch.Generator().manual_seed(2)
            mask = torch.rand(shape, generator=generator)
            mask = (mask > 0.4).float() if values == "some heads off" else mask * 2
            for name in CLASSES:
                model = opened(library, folder, name)
                with torch.no_grad(), warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)
                    output = model(ids(), head_mask=mask, output_attentions=True)
                answers[f"{name}.{kind}.{values}"] = output[0]
                for i, probs in enumerate(output.attentions):
                    answers[f"{name}.{kind}.{values}.probs.{i}"] = probs
    return answers


@scenario
def cached_steps_with_cache_position(library: Any, folder: Path) -> Answers:
    """Three steps: a prompt, one column, three columns."""
    model, past, answers = opened(library, folder, "BloomForCausalLM"), None, {}
    row, mask = padded("left")
    for start, end in [(0, 5), (5, 6), (6, 9)]:
        with torch.no_grad():
            output = model(
                row[:, start:end],
                past_key_values=past,
                attention_mask=mask[:, :end],
                use_cache=True,
                cache_position=torch.arange(start, end),
            )
        past = output.past_key_values
        answers[f"{start}.logits"] = output.logits[mask[:, start:end].bool()]
        answers[f"{start}.layers"] = len(past)
        for i, (keys, values) in enumerate(pairs(past)):
            answers[f"{start}.keys.{i}"] = keys.transpose(1, 2)[mask[:, :end].bool()]
            answers[f"{start}.values.{i}"] = values.transpose(1, 2)[mask[:, :end].bool()]
    return answers


@scenario
def a_wrong_cache_position(library: Any, folder: Path) -> Answers:
    model = opened(library, folder, "BloomForCausalLM")
    with torch.no_grad():
        return {"right": model(ids()).logits, "wrong": model(ids(), cache_position=torch.arange(1, 10)).logits}


@scenario
def a_prompt_s_cache(library: Any, folder: Path) -> Answers:
    """Keys and values after five columns, and the logits of the four that follow: for caches of other layouts."""
    model = opened(library, folder, "BloomForCausalLM")
    with torch.no_grad():
        past = model(ids()[:, :5], use_cache=True).past_key_values
        answers: Answers = {}
        for i, (keys, values) in enumerate(pairs(past)):
            answers[f"keys.{i}"], answers[f"values.{i}"] = keys.clone(), values.clone()
        answers["logits"] = model(ids()[:, 5:], past_key_values=past).logits
    return answers


@scenario
def position_ids(library: Any, folder: Path) -> Answers:
    """Which warnings come without them, and with them."""
    answers: Answers = {}
    for name in CLASSES:
        model = opened(library, folder, name)
        for case, extra in [("without", {}), ("with", {"position_ids": torch.arange(9)[None]})]:
            with torch.no_grad(), said() as words:
                output = model(ids(), **extra)
            answers[f"{name}.{case}.warnings"] = [word.split(":")[0] for word in words if "position_ids" in word]
            answers[f"{name}.{case}"] = output[0]
    return answers


@scenario
def refusals(library: Any, folder: Path) -> Answers:
    answers: Answers = {}
    for name in CLASSES:
        model = opened(library, folder, name)
        vectors = torch.zeros(3, 9, 48)
        calls: dict[str, Callable[[], Any]] = {
            "neither ids nor vectors": lambda model=model: model(),
            "both": lambda model=model, vectors=vectors: model(ids(), inputs_embeds=vectors),
        }
        if name != "BloomForQuestionAnswering":  # which takes no further keywords: Python's own TypeError
            calls["unknown keyword"] = lambda model=model: model(ids(), token_type_ids=ids())
        for case, call in calls.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                answers[f"{name}.{case}"] = "ValueError" in refused(call)
    return answers


@scenario
def gradient_checkpointing(library: Any, folder: Path) -> Answers:
    """In training there is no cache then, and it is said; in eval mode nothing changes."""
    model = opened(library, folder, "BloomForCausalLM")
    model.gradient_checkpointing_enable()
    answers: Answers = {}
    for mode in ("train", "eval"):
        with said() as words:
            output = model.train(mode == "train")(ids(), use_cache=True)
        answers[f"{mode}.cache"] = output.past_key_values is not None
        answers[f"{mode}.said"] = any("use_cache" in word for word in words)
    return answers


@scenario
def slow_but_exact(library: Any, folder: Path) -> Answers:
    """Sums over slices, with biases and without any; and the fast way."""
    answers: Answers = {}
    for biases in ("with biases", "without biases"):
        for slices in (1, 2, 4):
            model = opened(library, folder, "BloomForCausalLM", pretraining_tp=slices, slow_but_exact=slices > 1)
            if biases == "without biases":
                for name, weights in model.named_parameters():
                    if name.endswith(("dense.bias", "dense_4h_to_h.bias")):
                        weights.data.zero_()
            with torch.no_grad():
                answers[f"{biases}.{slices}"] = model(ids()).logits
    return answers


@scenario
def a_model_with_112_heads(library: Any, folder: Path) -> Answers:
    model = library.BloomForCausalLM.from_pretrained(folder / "112 heads", attn_implementation="eager")
    row, mask = padded("left")
    with torch.no_grad():
        return {"logits": model(row, attention_mask=mask).logits[mask.bool()]}


@scenario
def alibi(library: Any, folder: Path) -> Answers:
    """The biases of many numbers of heads, made by the reference's own function."""
    make = sys.modules["transformers.models.bloom.modeling_bloom"].build_alibi_tensor
    mask = padded("left")[1]
    return {str(n): make(mask, n, torch.float32).reshape(3, n, 1, 9) for n in HEAD_COUNTS}


@scenario
def what_was_saved(library: Any, folder: Path) -> Answers:
    """Each library saves what it opened, for the other one to open."""
    answers: Answers = {}
    for name in CLASSES:
        model = opened(library, folder, name)
        model.save_pretrained(folder / f"saved by {library.__name__}" / name)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            answers[name] = model(ids())[0]
    return answers


# -- names ----


@scenario
def signatures(library: Any, folder: Path) -> Answers:
    """The documented names, in their order, and their defaults."""
    functions = {name: getattr(library, name).forward for name in CLASSES}
    functions |= {name: getattr(library, name).__init__ for name in ("BloomConfig", "BloomTokenizerFast")}
    answers: Answers = {}
    for name, function in functions.items():
        parameters = list(inspect.signature(function).parameters.values())[1:]
        answers[name] = [
            [p.name, None if p.default is p.empty else p.default]
            for p in parameters
            if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
    return answers


@scenario
def config_values(library: Any, folder: Path) -> Answers:
    default = library.BloomConfig()
    legacy = library.BloomConfig(n_embed=96, hidden_size=24, num_hidden_layers=5, num_attention_heads=4, colour="red")
    legacy.num_labels = 4
    names = [*inspect.signature(library.BloomConfig.__init__).parameters][1:-1]
    more = ["num_hidden_layers", "num_attention_heads", "pad_token_id", "tie_word_embeddings", "problem_type"]
    return {
        "defaults": {name: getattr(default, name) for name in [*names, *more] if hasattr(default, name)},
        "legacy": {name: getattr(legacy, name) for name in ["hidden_size", "n_layer", "n_head", "colour", *more[:2]]},
        "labels": [list(legacy.id2label.items()), legacy.label2id, legacy.num_labels],
        "written": {name: legacy.to_dict()[name] for name in ["hidden_size", "n_layer", "n_head", "colour"]},
    }


# -- the tokenizer ----


def fast_tokenizer(library: Any, folder: Path, **options: Any) -> Any:
    # the reference pads on the right when no file says otherwise; BLOOM's files say left, and so do we by default
    options = {"padding_side": "left", **options}
    return library.BloomTokenizerFast(tokenizer_file=str(folder / "tokenizer" / "tokenizer.json"), **options)


def encoded(tokenizer: Any, *texts: Any, **options: Any) -> Answers:
    out = tokenizer(*texts, return_offsets_mapping=True, **options)
    batch = isinstance(out["input_ids"][0], list) if out["input_ids"] else False
    rows = range(len(out["input_ids"]) if batch else 1)
    values = {name: out[name] for name in out}
    return {
        **values,
        "tokens": [out.tokens(row) for row in rows],
        "words": [out.word_ids(row) for row in rows],
        "texts": [out.sequence_ids(row) for row in rows],
    }


def plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


@scenario
def tokens_of_hard_texts(library: Any, folder: Path) -> Answers:
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    answers: Answers = {}
    for prefix in (False, True):
        tokenizer = fast_tokenizer(library, folder, add_prefix_space=prefix)
        for i, text in enumerate(texts):
            answers[f"{prefix}.{i}"] = encoded(tokenizer, text)
    opened_folder = library.BloomTokenizerFast.from_pretrained(folder / "tokenizer")
    answers["from a folder"] = [opened_folder(text)["input_ids"] for text in texts]
    return plain(answers)


@scenario
def batches_and_pairs(library: Any, folder: Path) -> Answers:
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    answers: Answers = {}
    for side in ("left", "right"):
        for cut in ("left", "right"):
            tokenizer = fast_tokenizer(library, folder, padding_side=side, truncation_side=cut)
            for name, options in {
                "longest": {"padding": True},
                "multiple": {"padding": "longest", "pad_to_multiple_of": 8},
                "max": {"padding": "max_length", "truncation": True, "max_length": 7},
                "cut": {"truncation": True, "max_length": 3},
            }.items():
                answers[f"{side}.{cut}.{name}"] = encoded(tokenizer, texts, **options)
                answers[f"{side}.{cut}.{name}.pairs"] = encoded(tokenizer, texts[2:], texts[:-2], **options)
            for strategy in ("longest_first", "only_first"):
                pair = ("hello world, the big world", "नमस्ते")
                options = {"truncation": strategy, "max_length": 9}
                answers[f"{side}.{cut}.{strategy}"] = encoded(tokenizer, *pair, **options)
    return plain(answers)


SCRIPTS = {
    "Latin": "Leo lives in Oslo and naïve façades don't",
    "Greek": "Ο Λέων ζει στο Όσλο με μια γάτα",
    "Cyrillic": "Лео живёт в Осло и у него есть кот",
    "Armenian": "Լեոն ապրում է Օսլոյում կատվի հետ",
    "Hebrew": "לאו גר באוסלו ויש לו חתול",
    "Arabic": "ليو يعيش في أوسلو ولديه قطة",
    "Devanagari": "लियो ओस्लो में रहता है क्षत्रिय",
    "Tamil": "லியோ ஒஸ்லோவில் வாழ்கிறார்",
    "Thai": "ลีโอ อาศัยอยู่ ใน ออสโล",
    "Han": "里奥 住在 奥斯陆 他有 一只 猫",
    "Hangul": "레오는 오슬로에 산다 고양이",
    "Kana": "レオは オスロに すんでいる ねこ",
    "others": "🙂 👩‍💻 e\u0301 <pad> 3.5 a.b (c|d)! \t \n",
}


def in_scripts(n: int = 200) -> list[str]:
    """Texts of two to nine words; most in one of twelve scripts, some in two, some with signs between."""
    draw = random.Random(0)
    names = list(SCRIPTS)
    texts = []
    for i in range(n):
        words = SCRIPTS[names[i % 12]].split(" ")
        if i % 5 == 0:
            words = words + SCRIPTS[draw.choice(names)].split(" ")
        texts.append(draw.choice([" ", " ", " ", "  ", ", "]).join(draw.choices(words, k=draw.randint(2, 9))))
    return texts


def where_from(out: Any, row: int, sequence: int, characters: int) -> Answers:
    """All that an encoding says of one row: where each token comes from, and where each character went."""
    tokens = range(len(out["input_ids"][row]))
    own = [
        word
        for token, word in zip(tokens, out.word_ids(row), strict=True)
        if out.token_to_sequence(row, token) == sequence
    ]
    words = sorted({*own})
    return {
        "sequences": [out.token_to_sequence(row, token) for token in tokens],
        "chars": [out.token_to_chars(row, token) for token in tokens],
        "words": [out.token_to_word(row, token) for token in tokens],
        "tokens": [out.char_to_token(row, char, sequence) for char in range(characters)],
        "words of chars": [out.char_to_word(row, char, sequence) for char in range(0, characters, 5)],
        "tokens of words": [out.word_to_tokens(row, word, sequence) for word in words],
        "chars of words": [out.word_to_chars(row, word, sequence) for word in words],
        "ids": [out.word_ids(row), out.sequence_ids(row)],
    }


def guides(make: Callable[..., Any]) -> Answers:
    """What the task guides ask of a tokenizer; `make(**options)` opens one."""
    texts, answers = in_scripts(), {}
    for cut in ("right", "left"):
        tokenizer = make(truncation_side=cut)
        for name, given, options in (
            ("questions", (["Where?"] * 200, texts), {"truncation": "only_second", "max_length": 24, "stride": 6}),
            ("firsts", (texts, ["Where?"] * 200), {"truncation": "only_first", "max_length": 17, "stride": 9}),
            ("both", (texts, texts[::-1]), {"truncation": True, "max_length": 30, "stride": 3}),
            ("alone", (texts,), {"truncation": True, "max_length": 10, "stride": 0, "padding": True}),
        ):
            out = tokenizer(*given, return_overflowing_tokens=True, return_offsets_mapping=True, **options)
            answers[f"{cut} {name}"] = {key: out[key] for key in out}
        out = tokenizer(texts[0], max_length=4, truncation=True, return_overflowing_tokens=True)
        answers[f"{cut} one text"] = {key: out[key] for key in out}
    tokenizer = make()
    pairs = tokenizer(["Where is it?"] * 200, texts, padding=True)
    answers["places"] = [where_from(pairs, row, 1, len(text)) for row, text in enumerate(texts)]
    spaced = make(add_prefix_space=True)
    words = spaced([text.split() for text in texts], is_split_into_words=True, truncation=True, max_length=40)
    answers["words"] = [where_from(words, row, 0, 5) for row in range(200)]
    rows = [tokenizer(text) for text in texts]
    for name, options in {
        "longest": {},
        "multiple": {"pad_to_multiple_of": 8},
        "to a length": {"padding": "max_length", "max_length": 400, "padding_side": "right"},
        "not at all": {"padding": False},
    }.items():
        out = tokenizer.pad(rows, **options)
        answers[f"padded {name}"] = {key: out[key] for key in out}
    labelled = [{**tokenizer(text), "labels": i} for i, text in enumerate(texts[:5])]
    out = tokenizer.pad(labelled, return_tensors="pt")
    answers["tensors"] = {key: out[key].tolist() for key in out}
    answers["one row"] = dict(tokenizer.pad(dict(rows[0]), padding="max_length", max_length=99))
    return plain(answers)


def special(make: Callable[..., Any]) -> Answers:
    """Special tokens without a name, and a conversation."""
    tokenizer = make()
    added = tokenizer.add_special_tokens({"additional_special_tokens": ["<user>", "<bot>"]})
    text = "<user>Leo<bot> lives<pad>"
    template = (
        "{% for m in messages %}{% if m.content is none %}{% continue %}{% endif %}<{{ m.role }}>\n"
        "  {{ m.content | tojson }}{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )
    asked = [{"role": "user", "content": 'Où est "Leo" <b>?'}, {"role": "bot", "content": "奥斯陆"}]
    chat = tokenizer.apply_chat_template(asked, chat_template=template, add_generation_prompt=True, tokenize=False)
    again = make(additional_special_tokens=["<user>", "<bot>"])
    both = {"chat_template": template, "return_dict": True}
    return plain(
        {
            "added": [added, len(tokenizer), tokenizer.convert_tokens_to_ids(["<user>", "<bot>"])],
            "kept": tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True),
            "ids": [tokenizer(text)["input_ids"], again(text)["input_ids"]],
            "all": sorted(again.all_special_tokens),
            "chat": chat,
            "chat ids": tokenizer.apply_chat_template(asked, **both)["input_ids"],
            "two chats": tokenizer.apply_chat_template([asked, asked[:1]], padding=True, **both)["attention_mask"],
        }
    )


@scenario
def what_the_guides_ask_of_a_tokenizer(library: Any, folder: Path) -> Answers:
    return guides(functools.partial(fast_tokenizer, library, folder))


@scenario
def special_tokens_and_a_chat(library: Any, folder: Path) -> Answers:
    return special(functools.partial(fast_tokenizer, library, folder))


@scenario
def words_given_one_by_one(library: Any, folder: Path) -> Answers:
    words = [["hello", "a.b", "世界", "नमस्ते"], ["x"], ["two words", " "]]
    tokenizer = fast_tokenizer(library, folder, add_prefix_space=True)
    asked = {"is_split_into_words": True, "padding": True}
    return plain(
        {
            "batch": encoded(tokenizer, words, **asked),
            "one": encoded(tokenizer, words[0], is_split_into_words=True),
            "pairs": encoded(tokenizer, words, [["a"], ["b", "c"], ["d"]], **asked),
            "refused": bool(refused(lambda: fast_tokenizer(library, folder)(words[0], is_split_into_words=True))),
        }
    )


@scenario
def decoding(library: Any, folder: Path) -> Answers:
    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    tokenizer = fast_tokenizer(library, folder)
    texts += ["Hello , it 's me . Are n't you ? No !", "<s>a<pad> b</s>"]
    rows = [tokenizer(text)["input_ids"] for text in texts]
    answers: Answers = {"one": [], "halves": []}
    for skip in (False, True):
        for clean in (False, True, None):
            options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
            answers["one"].append([tokenizer.decode(row, **options) for row in rows])
            answers["halves"].append(tokenizer.batch_decode([row[: len(row) // 2] for row in rows], **options))
    cleaning = fast_tokenizer(library, folder, clean_up_tokenization_spaces=True)
    answers["cleaning by default"] = cleaning.batch_decode(rows)
    answers["tokens"] = [tokenizer.convert_ids_to_tokens(row, skip_special_tokens=True) for row in rows]
    answers["strings"] = [tokenizer.convert_tokens_to_string(tokenizer.tokenize(text)) for text in texts]
    return plain(answers)


@scenario
def an_older_pair_of_files(library: Any, folder: Path) -> Answers:
    files = {"vocab_file": str(folder / "vocab.json"), "merges_file": str(folder / "merges.txt")}
    return {"opens": not refused(functools.partial(library.BloomTokenizerFast, **files))}


@scenario
def surprises(library: Any, folder: Path) -> Answers:
    """Where the reference does not do what its pages, or common sense, say."""
    answers: Answers = {}
    model = opened(library, folder, "BloomForCausalLM")
    model.eval()
    row = ids(batch=1, pos=4)
    states = []
    for width in (2, 5):  # the same text after more and more padding: what does the last padding column hold?
        padding = torch.full((1, width), 3)
        mask = torch.cat([torch.zeros_like(padding), torch.ones_like(row)], 1)
        with torch.no_grad():
            wide = model.transformer(torch.cat([padding, row], 1), attention_mask=mask)
        states.append(wide.last_hidden_state[0, width - 1])
    answers["padding knows how wide the batch is"] = not torch.allclose(*states, atol=1e-4)

    with torch.no_grad():
        past = tuple(tuple(pair) for pair in pairs(model(row, use_cache=True).past_key_values))
    answers["refuses a cache of tuples"] = bool(refused(lambda: model(row, past_key_values=past)))

    sorter = opened(library, folder, "BloomForSequenceClassification")
    sorter(ids(), labels=torch.tensor([2, 0, 1]))
    answers["writes problem_type into the config"] = sorter.config.problem_type is not None

    file = {"tokenizer_file": str(folder / "tokenizer" / "tokenizer.json")}
    tokenizer = library.BloomTokenizerFast(**file)
    answers["pads on the right"] = tokenizer.padding_side == "right"
    half = tokenizer("\u0d85")["input_ids"][:1]  # the first byte of three
    strict = library.BloomTokenizerFast(**file, errors="strict")
    answers["ignores errors"] = not refused(lambda: strict.decode(half))
    trimmed = library.BloomTokenizerFast(**file, trim_offsets=True)
    offsets = [t(" hello world", return_offsets_mapping=True)["offset_mapping"] for t in (tokenizer, trimmed)]
    answers["ignores trim_offsets"] = offsets[0] == offsets[1]
    return answers


# -- generation ----

Settings = dict[str, Any]
WIDTHS = {1: 48, 6: 48, 7: 49}  # how wide a model of so many heads is
ALONE: list[Settings] = [
    {"max_length": 14},
    {"min_length": 14},
    {"min_new_tokens": 5},
    {"repetition_penalty": 1.4},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"bad_words_ids": [[7], [93, 93], [88, 9, 10], [26, 82]]},
    {"sequence_bias": {(5,): 2.5, (60,): 4.0, (33, 34): -3.0, (12,): -1.5}},
    {"sequence_bias": [[[5], 2.5], [[60], 4.0], [[33, 34], -3.0]]},
    {"suppress_tokens": list(range(80, 100))},
    {"begin_suppress_tokens": list(range(20, 90))},
    {"forced_eos_token_id": 17},
    {"exponential_decay_length_penalty": (2, 1.6)},
    {"remove_invalid_values": True, "bad_words_ids": [[93], [82]]},
    {"renormalize_logits": True, "repetition_penalty": 1.2},
    {"max_time": 1e-9},
    {"logits_processor": [lambda ids, scores: scores.roll(1, -1)]},
    {"stopping_criteria": [lambda ids, scores, **_: ids[:, -1] > 70]},
]
"""Each setting that is not a draw, by itself; every one changes what is written."""

NEVER_ENOUGH = [
    {"early_stopping": True},
    {"early_stopping": "never"},
    {"length_penalty": -1.0},
    {"length_penalty": 2.0},
]


def writing_prompt() -> tuple[Tensor, Tensor]:
    """Ids and mask of three rows of 3, 7 and 9 tokens, padded on the left with an id that stands in each row, too.

    (In transformers padding counts as text for some rules; so it makes no difference here.)
    """
    row, mask = ids(seed=5), torch.ones(3, 9, dtype=torch.long)
    row[:, -3] = 3
    for line, n_pad in enumerate((6, 2, 0)):
        row[line, :n_pad], mask[line, :n_pad] = 3, 0
    return row, mask


def combinations(n: int, seed: int = 0) -> list[Settings]:
    """Settings together, drawn at random but always the same."""
    draw = random.Random(seed)
    found = []
    for _ in range(n):
        chosen: Settings = {"eos_token_id": draw.sample(range(4, 101), draw.choice([1, 2, 6]))}
        for alone in draw.sample(ALONE[2:16], draw.choice([2, 3, 4])):
            chosen |= alone
        if "forced_eos_token_id" in chosen:
            chosen.pop("suppress_tokens", None)  # together they could leave no token
        if "remove_invalid_values" in chosen:  # which makes a forbidden end a number, that grows beyond all numbers
            chosen.pop("exponential_decay_length_penalty", None)
        chosen |= {"num_beams": draw.choice([1, 1, 2, 4])}
        if chosen["num_beams"] > 1:
            chosen |= draw.choice([{}, *NEVER_ENOUGH])
        found.append(chosen)
    return found


def written(model: Any, settings: Settings, **more: Any) -> Tensor:
    """What a model writes after the prompt."""
    row, mask = writing_prompt()
    limits = {} if "max_length" in settings else {"max_new_tokens": 8}
    usual = {"pad_token_id": 3, "eos_token_id": [11, 76], "do_sample": False}
    return model.generate(row, attention_mask=mask, **{**usual, **limits, **settings, **more})


@scenario
def generation_settings(library: Any, folder: Path) -> Answers:
    models = [
        library.BloomForCausalLM.from_pretrained(folder / f"{n_head} heads", attn_implementation="eager")
        for n_head in WIDTHS
    ]
    drawn = combinations(200, seed=1)
    for settings in drawn:
        ends = set(settings["eos_token_id"])
        forbidden = ends & {*settings.get("suppress_tokens", ()), *range(20, 90)}
        # in transformers 4 a growing end breaks min_new_tokens, and one that may not come is no number any more
        if "min_new_tokens" in settings or (
            forbidden and {"suppress_tokens", "begin_suppress_tokens"} & settings.keys()
        ):
            settings.pop("exponential_decay_length_penalty", None)
    alone = {
        f"{place} beams {n} of {i}": written(model, one, num_beams=n)
        for i, model in enumerate(models)
        for n in (1, 3)
        for place, one in enumerate(ALONE)
    }
    together = {f"together {place}": written(models[place % 3], several) for place, several in enumerate(drawn)}
    return alone | together


# -- the other side ----


def write(folder: Path, results: dict[str, Answers]) -> None:
    """Tensors into answers.safetensors, all else into answers.json; named "scenario/answer"."""
    everything = {f"{name}/{key}": value for name, answers in results.items() for key, value in answers.items()}
    tensors = {key: value for key, value in everything.items() if isinstance(value, Tensor)}
    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, folder / "answers.safetensors")
    rest = {key: value for key, value in everything.items() if key not in tensors}
    (folder / "answers.json").write_text(json.dumps(rest), encoding="utf-8")


def main(folder: Path) -> None:
    import transformers

    if not transformers.__version__.startswith("4."):
        sys.exit(f"expected transformers 4, but this Python has {transformers.__version__}; run make test")
    transformers.utils.logging.disable_progress_bar()
    write(folder, {name: function(transformers, folder) for name, function in SCENARIOS.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
