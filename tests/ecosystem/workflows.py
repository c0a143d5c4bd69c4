"""What people do with a model and a tokenizer in other libraries, each as a function that fails if it does not work.

    .venv-v4/bin/python -m tests.ecosystem.workflows

runs all of them on transformers 4, and prints what failed; test_workflows.py runs them here, one by one. The task
guides are those of transformers' documentation, in our words, on the tiny world's stories.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers

import bloomlab
from bloomlab import tiny
from bloomlab.heads.bridge import from_transformers, to_transformers

WORKFLOWS: dict[str, Callable[[Path], None]] = {}
TEXT = "Leo lives in Oslo. Leo has a cat."
TAGS = ("O", "PERSON", "CITY", "ANIMAL")


def workflow(function: Callable[[Path], None]) -> Callable[[Path], None]:
    WORKFLOWS[function.__name__] = function
    return function


def opened(name: str, **overrides: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*made new at random")
        torch.manual_seed(0)
        return getattr(bloomlab, name).from_pretrained(tiny.folder(), **overrides)


def tokenizer(**options: Any) -> Any:
    return bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder(), **options)


def stories(n: int, seed: str, languages: tuple[str, ...] = ("en",)) -> list[Any]:
    return [tiny.world.story(languages[i % len(languages)], seed=f"{seed} {i}") for i in range(n)]


def trainer(model: Any, folder: Path, collator: Any, rows: list[Any], held_out: list[Any], **options: Any) -> Any:
    """transformers' Trainer, quiet, on the CPU."""
    options = {"learning_rate": 2e-3, "max_steps": 30, "per_device_train_batch_size": 16, **options}
    arguments = transformers.TrainingArguments(
        str(folder / "runs"),
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
        seed=0,
        **{"save_strategy": "no", **options},
    )
    return transformers.Trainer(model, arguments, data_collator=collator, train_dataset=rows, eval_dataset=held_out)


def reopened(model: Any, folder: Path) -> None:
    """Save a model, and open it again as the same."""
    model.save_pretrained(folder / "saved")
    ids = tokenizer()(TEXT, return_tensors="pt").input_ids
    again = type(model).from_pretrained(folder / "saved")
    assert again(ids)[0].equal(model.eval()(ids)[0])


# -- the four task guides ----


@workflow
def guide_of_language_modelling(folder: Path) -> None:
    reader = tokenizer()
    ids = [token for told in stories(300, "lm") for token in [*reader.encode(told.text), reader.eos_token_id]]
    blocks = [{"input_ids": ids[i : i + 64]} for i in range(0, len(ids) - 64, 64)]
    torch.manual_seed(0)
    model = bloomlab.BloomForCausalLM(bloomlab.BloomConfig(vocab_size=3072, hidden_size=64, n_layer=2, n_head=4))
    collator = transformers.DataCollatorForLanguageModeling(reader, mlm=False)
    rows = trainer(
        model, folder, collator, blocks[:-20], blocks[-20:], learning_rate=5e-3, save_strategy="steps", save_steps=20
    )
    before = rows.evaluate()["eval_loss"]
    rows.train()
    assert before > 7.5 and rows.evaluate()["eval_loss"] < 6  # nats; a guess among 3072 costs 8.03
    assert isinstance(bloomlab.Lab(model, reader).generate("Leo lives", 5), str)
    reopened(model, folder)
    weights = folder / "runs" / "checkpoint-20" / "model.safetensors"
    from safetensors.torch import load_file

    model.load_state_dict(load_file(weights))  # what Trainer keeps on the way, the tied table once


@workflow
def guide_of_text_classification(folder: Path) -> None:
    reader, languages = tokenizer(), ("en", "fr", "es", "sw")
    rows = [
        {**reader(told.text, truncation=True, max_length=40), "label": i % 4}
        for i, told in enumerate(stories(200, "cls", languages))
    ]
    names = dict(enumerate(languages))
    model = opened("BloomForSequenceClassification", num_labels=4, id2label=names, use_cache=False)
    collator = transformers.DataCollatorWithPadding(reader)
    learner = trainer(model, folder, collator, rows[:160], rows[160:], label_names=["labels"])
    learner.train()
    found = learner.predict(rows[160:])
    assert (found.predictions.argmax(-1) == found.label_ids).mean() > 0.9
    assert np.isfinite(learner.evaluate()["eval_loss"])
    reopened(model, folder)
    lab = bloomlab.Lab(opened("BloomForCausalLM"), reader)
    lab.heads["language"] = model
    assert lab.classify("Leo vive en Oslo.").label in languages


@workflow
def guide_of_token_classification(folder: Path) -> None:
    """Words that are already cut, one label a word: the word's first token learns it, the others are left out."""
    reader = tokenizer(add_prefix_space=True)

    def row(told: Any) -> dict[str, Any]:
        words, labels, end = told.text.split(), [], 0
        for word in words:
            start = told.text.index(word, end)
            end = start + len(word)
            tag = next((span.tag for span in told.spans if span.start < end and start < span.end), "O")
            labels.append(TAGS.index(tag) if tag in TAGS else 0)
        out = reader(words, is_split_into_words=True, truncation=True, max_length=60)
        places = out.word_ids()
        first = [word is not None and (i == 0 or places[i - 1] != word) for i, word in enumerate(places)]
        kept = [labels[word] if new else -100 for new, word in zip(first, places, strict=True)]
        return {**out, "labels": kept}

    rows = [row(told) for told in stories(240, "tags")]
    model = opened("BloomForTokenClassification", num_labels=len(TAGS), id2label=dict(enumerate(TAGS)))
    collator = transformers.DataCollatorForTokenClassification(reader)
    learner = trainer(model, folder, collator, rows[:200], rows[200:])
    learner.train()
    found = learner.predict(rows[200:])
    counts = found.label_ids > 0  # the words that are something
    assert (found.predictions.argmax(-1) == found.label_ids)[counts].mean() > 0.7
    reopened(model, folder)


@workflow
def guide_of_question_answering(folder: Path) -> None:
    """Long texts in windows that overlap; where the answer is not in a window, both ends point at its first token."""
    reader = tokenizer(padding_side="right")

    def rows(several: list[Any]) -> list[dict[str, Any]]:
        asked = [(f"{told.questions[0].question}\n", told.text, told.questions[0].answer) for told in several]
        questions, texts, answers = map(list, zip(*asked, strict=True))
        out = reader(
            questions,
            texts,
            truncation="only_second",
            max_length=36,
            stride=12,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        found = []
        for i, text in enumerate(out["overflow_to_sample_mapping"]):
            start = texts[text].index(answers[text])
            first = out.char_to_token(i, start, sequence_index=1)
            last = out.char_to_token(i, start + len(answers[text]) - 1, sequence_index=1)
            here = (0, 0) if first is None or last is None else (first, last)
            row = {name: out[name][i] for name in ("input_ids", "attention_mask")}
            found.append({**row, "start_positions": here[0], "end_positions": here[1]})
        return found

    train, held_out = rows(stories(300, "qa")), rows(stories(40, "qa held out"))
    assert len(train) > 300  # some texts have several windows
    model = opened("BloomForQuestionAnswering")
    learner = trainer(
        model, folder, transformers.DataCollatorWithPadding(reader), train, held_out, max_steps=50, learning_rate=1e-3
    )
    before = learner.evaluate()["eval_loss"]
    learner.train()
    assert learner.evaluate()["eval_loss"] < 0.7 * before
    starts, ends = (values.argmax(-1) for values in learner.predict(held_out).predictions[:2])
    right = [
        (a, b) == (row["start_positions"], row["end_positions"])
        for a, b, row in zip(starts, ends, held_out, strict=True)
    ]
    assert sum(right) > len(right) / 3
    reopened(model, folder)


# -- PEFT ----


@workflow
def lora_trains_saves_generates_and_merges(folder: Path) -> None:
    reader = tokenizer()
    batch = reader(["Leo lives in Lima.", "Ana lives in Lima now."], padding=True, return_tensors="pt")
    model = peft.get_peft_model(opened("BloomForCausalLM"), peft.LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16))
    before = model(**batch, labels=batch["input_ids"]).loss.item()
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-2)
    model.train()
    for _ in range(15):
        model(**batch, labels=batch["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        assert model(**batch, labels=batch["input_ids"]).loss.item() < before / 2
        live = model(**batch).logits
    prompt = reader("Leo lives", return_tensors="pt")
    written = model.generate(**prompt, max_new_tokens=4)
    assert " Lima" in reader.decode(written[0])

    model.save_pretrained(folder / "adapter")
    again = peft.PeftModel.from_pretrained(opened("BloomForCausalLM"), folder / "adapter").eval()
    with torch.no_grad():
        assert again(**batch).logits.equal(live)
    merged = again.merge_and_unload()
    with torch.no_grad():
        torch.testing.assert_close(merged(**batch).logits, live, atol=1e-3, rtol=1e-4)
    assert merged.generate(**prompt, max_new_tokens=4).equal(written)
    reopened(merged, folder)


@workflow
def lora_with_gradient_checkpointing_in_a_trainer(folder: Path) -> None:
    reader = tokenizer()
    rows = [dict(reader(told.text)) for told in stories(32, "lora")]
    model = peft.get_peft_model(opened("BloomForCausalLM"), peft.LoraConfig(task_type="CAUSAL_LM", r=4))
    collator = transformers.DataCollatorForLanguageModeling(reader, mlm=False)
    learner = trainer(model, folder, collator, rows, rows[:8], max_steps=3, gradient_checkpointing=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="gradient checkpointing keeps no cache")
        learner.train()
    assert model.base_model.model.is_gradient_checkpointing
    adapted = [value for name, value in model.named_parameters() if "lora_B" in name]
    assert adapted and all(value.abs().max() > 0 for value in adapted)


@workflow
def lora_on_every_head(folder: Path) -> None:
    ids = tokenizer()(TEXT, return_tensors="pt").input_ids
    for name, task in (
        ("BloomForSequenceClassification", "SEQ_CLS"),
        ("BloomForTokenClassification", "TOKEN_CLS"),
        ("BloomForQuestionAnswering", "QUESTION_ANS"),
    ):
        model = peft.get_peft_model(
            opened(name), peft.LoraConfig(task_type=task, r=4, target_modules=["query_key_value", "dense"])
        )
        model(input_ids=ids)[0].sum().backward()
        assert any(each.grad is not None for key, each in model.named_parameters() if "lora" in key)
        model.save_pretrained(folder / name)
        again = peft.PeftModel.from_pretrained(opened(name), folder / name).eval()
        assert again(input_ids=ids)[0].equal(model.eval()(input_ids=ids)[0])


# -- pipelines, and the bridge ----


@workflow
def pipelines(folder: Path) -> None:
    reader = tokenizer()
    write = transformers.pipeline("text-generation", model=opened("BloomForCausalLM"), tokenizer=reader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (said,) = write("Leo lives in", max_new_tokens=4, do_sample=False)
    lab = bloomlab.load()
    assert said["generated_text"] == lab.generate("Leo lives in", 4)
    labelled = transformers.pipeline("text-classification", model=tiny.head("language"), tokenizer=reader)(TEXT)
    assert labelled[0]["label"] == "en" and abs(labelled[0]["score"] - lab.classify(TEXT).score) < 1e-4
    tagged = transformers.pipeline("token-classification", model=tiny.head("tags"), tokenizer=reader)(TEXT)
    assert {(each["entity"], TEXT[each["start"] : each["end"]].strip()) for each in tagged} >= {("CITY", "Oslo")}
    try:
        transformers.pipeline("question-answering", model=tiny.head("answer"), tokenizer=reader)(
            question="Where does Leo live?", context=TEXT
        )
    except bloomlab.BloomlabError as error:
        assert "lab.answer(question, text)" in str(error)
    except KeyError as error:  # transformers 5 has no such pipeline any more, and says so
        assert "removed from transformers" in str(error)
    else:
        raise AssertionError("the pipeline that answers questions works: say so in docs/ecosystem.md")


@workflow
def one_memory_two_classes(folder: Path) -> None:
    ids = tokenizer()(TEXT, return_tensors="pt").input_ids
    for name in (
        "BloomModel",
        "BloomForCausalLM",
        "BloomForSequenceClassification",
        "BloomForTokenClassification",
        "BloomForQuestionAnswering",
    ):
        ours = opened(name)
        theirs = to_transformers(ours)
        assert isinstance(theirs, transformers.PreTrainedModel) and type(theirs).__name__ == name
        back = from_transformers(theirs)
        for mine, its, again in zip(ours.parameters(), theirs.parameters(), back.parameters(), strict=True):
            assert mine is its is again
        with torch.no_grad():
            torch.testing.assert_close(theirs(ids)[0], ours(ids)[0], atol=2e-4, rtol=0)
            assert back(ids)[0].equal(ours(ids)[0])
            next(theirs.parameters()).mul_(0.5)
            torch.testing.assert_close(theirs(ids)[0], ours(ids)[0], atol=2e-4, rtol=0)
    assert theirs.training is False


def main() -> int:
    failed = {}
    for name, function in WORKFLOWS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                function(Path(folder))
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"[:500]
    print(json.dumps({"transformers": transformers.__version__, "tried": sorted(WORKFLOWS), "failed": failed}))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
