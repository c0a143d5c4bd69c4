"""Measure the shipped model against its floors: what it must reach to be shipped at all.

    python -m bloomlab.tiny.evaluate              prints the figures; exit code 1 if a floor is missed
    python -m bloomlab.tiny.evaluate --samples 5  prints what it writes in each language
    python -m bloomlab.tiny.evaluate --write      keeps the figures beside the weights, and puts them into the card

Training again gives another model, never the same bits; it is held to these floors, not to the old numbers.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import BloomlabError, CheckpointError
from bloomlab.guards.files import read_json, write_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.alibi import previous_token_bound
from bloomlab.model.alibi import slopes
from bloomlab.tasks.ask import answer, classify, tag
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.card import put_figures, tables
from bloomlab.tiny.documents import SHORT, documents
from bloomlab.tiny.facts import Pool
from bloomlab.tiny.floors import FIGURES, floors
from bloomlab.tiny.heads import HEADS, open_head
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import (
    GOLDEN_TEXTS,
    MAX_BYTES,
    absent,
    attention_distance,
    documents_read,
    golden_distance,
    grammatical,
    look_back,
    loss,
    loss_by_length,
    loss_by_position,
    pack,
    questions,
    recall,
    repeated_ids,
    token_before,
    validation_rows,
    write_on,
)
from bloomlab.tiny.measure_heads import answer_exact_match, language_accuracy, tag_f1
from bloomlab.weights.pretrained import BloomPreTrainedModel

TRAINED = 256  # tokens in a row of training
LONGEST = 8 * TRAINED
READ = 60_000  # documents of training that its stories are looked for in: a quarter of all
GAPS = (0, 40, 120, 300)  # tokens between a fact and the question about it


# ------------------------------------------------------------------------------------------- measuring


def evaluate(where: Path | None = None) -> dict[str, Any]:
    """Measure the model of a folder (the shipped one), its heads too, in under a minute of processor time.

    Returns the figures, plain numbers and lists: see `tables` for what each is. "wrong" has the sentences that are
    not grammatical; it is not kept.

    Raises:
        CheckpointError, TokenizerError: the folder does not hold a whole model.
    """
    start = time.process_time()
    where = where or folder()
    model = BloomForCausalLM.from_pretrained(where).eval()
    tokenizer = BloomTokenizerFast.from_pretrained(where)
    heads = {task: open_head(where / "heads", task) for task in HEADS}
    figures = {**of_trunk(model, tokenizer), **of_writing(model, tokenizer, where)}
    figures["heads"] = of_heads(heads, tokenizer)
    figures["examples"] = examples(model, heads, tokenizer)
    figures["golden"] = golden_distance(model, tokenizer, where / "golden.json")
    figures["golden_heads"] = _heads_distance(where / FIGURES, head_logits(heads, tokenizer))
    figures["seconds"] = round(time.process_time() - start)
    return figures


def of_trunk(model: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """What it foresees, and where its heads look: on text, and on random tokens said twice."""
    rows = validation_rows(tokenizer)
    repeated = repeated_ids(vocab_size=model.config.vocab_size)
    induction, repeats = look_back(model)
    long = validation_rows(tokenizer, length=512, rows=32)
    by_slope = slopes(model.config.n_head)
    return {
        "loss": _round(loss(model, rows)),
        "loss_of": {code: _round(loss(model, _rows_of(code, tokenizer))) for code in LANGUAGES},
        "by_length": {str(n): _round(value) for n, value in loss_by_length(model, long, (128, 256, 512)).items()},
        "by_position": [
            _round(x) for x in loss_by_position(model, validation_rows(tokenizer, length=LONGEST, rows=8), TRAINED)
        ],
        "repeats": _round(repeats),
        "repeats_far": {str(half): _round(repeated_right(model, half)) for half in (96, 192)},
        "induction": _table(induction),
        "previous": _table(token_before(model, repeated)),
        "distance": _table(attention_distance(model, rows[:32])),
        "slopes": list(by_slope),
        "bounds": [_round(previous_token_bound(slope)) for slope in by_slope],
    }


@torch.no_grad()
def repeated_right(model: BloomForCausalLM, half: int) -> float:
    """The share of random tokens that are foreseen when `half` of them are said again."""
    ids = repeated_ids(rows=8, half=half, vocab_size=model.config.vocab_size)
    predicted = model(ids).logits[:, half:-1].argmax(-1)
    return float((predicted == ids[:, half + 1 :]).float().mean())


def _rows_of(code: str, tokenizer: BloomTokenizerFast) -> Tensor:
    """Validation rows in one language; a translation needs two, so there is none."""
    kinds = {kind: share for kind, share in SHORT.items() if kind != "translation"}
    only = {code: LANGUAGES[code], "the same": LANGUAGES[code]}
    read = documents(f"validation {code}", Pool(held=True, known=True), only, kinds)
    return pack((document.text for document in read if document.news), tokenizer, 128, 16)


def of_writing(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, where: Path) -> dict[str, Any]:
    """What it writes: grammar, novelty, sums, and answers in its own words, near and far from the fact."""
    written = write_on(model, tokenizer)
    share, wrong = grammatical(written)
    of_language = {code: [pair for pair in written if pair[0].code == code] for code in LANGUAGES}
    drawn = write_on(model, tokenizer, do_sample=True, temperature=0.7, seed=0)
    sums = [(f"{a} + {b} =", f" {a + b}") for a in range(13) for b in range(13)]
    asked = {str(gap): questions(tokenizer, 150, gap=gap) for gap in GAPS}
    asked |= {f"{people} people": questions(tokenizer, 150, people=people) for people in (1, 3, 4)}
    asked["unseen"] = questions(tokenizer, 150, unseen=True)
    return {
        "grammatical": {
            "all": _round(share),
            "drawn": _round(grammatical(drawn)[0]),
            **{code: _round(grammatical(pairs)[0]) for code, pairs in of_language.items()},
        },
        "wrong": wrong,
        "absent": _round(absent(drawn, itertools.islice(documents_read(where), READ))),
        "sums": sum(recall(model, tokenizer, sums)),
        "recall": {name: _share(recall(model, tokenizer, cases)) for name, cases in asked.items()},
    }


def of_heads(heads: dict[str, BloomPreTrainedModel], tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """How often the task heads are right: of (person, city) pairs and of spellings that training never shows."""
    measures: dict[str, Callable[..., Any]] = {
        "language": language_accuracy,
        "tags": tag_f1,
        "answer": lambda *args, **kind: {"all": answer_exact_match(*args, **kind)},
    }
    return {
        task: {
            kind: {name: _round(x) for name, x in measure(heads[task], tokenizer, unseen=kind == "unseen").items()}
            for kind in ("held", "unseen")
        }
        for task, measure in measures.items()
    }


def examples(
    model: BloomForCausalLM, heads: dict[str, BloomPreTrainedModel], tokenizer: BloomTokenizerFast
) -> list[list[str]]:
    """What it says where it cannot know better: [asked, said] each."""
    lines = []
    for prompt in ("The capital of France is", "13 + 14 =", "Leo lives in"):
        ids = model.generate(torch.tensor([tokenizer.encode(prompt)]), max_new_tokens=12, progress=False)
        lines.append([f"continue: {prompt}", tokenizer.decode(ids[0])[len(prompt) :].split("\n")[0]])
    foreign = ("Das ist ein deutscher Satz.", "Water boils at one hundred degrees.", "Leo")
    for result in classify(heads["language"], tokenizer, foreign):
        lines.append([f"language of: {result.text}", f"{result.label} {result.score:.2f}"])
    (tagged,) = tag(heads["tags"], tokenizer, ["He has a black cat."])
    named = ", ".join(f"{entity.text} {entity.tag} {entity.score:.2f}" for entity in tagged.entities)
    lines.append([f"tags of: {tagged.text}", named])
    asked = {
        "Where does Ana live?": "Leo lives in Oslo.",
        "What does Leo eat?": "Leo has a black cat. Ana lives in Paris.",
    }
    for held in answer(heads["answer"], tokenizer, list(asked), list(asked.values())):
        lines.append([f"{held.question} asked of: {held.context}", f"{held.text} {held.score:.2f}"])
    return lines


@torch.no_grad()
def head_logits(heads: dict[str, BloomPreTrainedModel], tokenizer: BloomTokenizerFast) -> dict[str, list[float]]:
    """What the heads say of the golden texts: the last logits of each."""
    logits: dict[str, list[float]] = {task: [] for task in heads}
    for task, head in heads.items():
        for text in GOLDEN_TEXTS:
            output = head(torch.tensor([tokenizer.encode(text)]).to(head.device))
            if task == "answer":
                values = torch.stack([output.start_logits[0, -1], output.end_logits[0, -1]])
            else:
                values = output.logits[0, -1] if task == "tags" else output.logits[0]
            logits[task] += [round(x, 5) for x in values.tolist()]
    return logits


def _heads_distance(path: Path, logits: dict[str, list[float]]) -> float:
    """How far the heads' logits are from those kept; 0 where none are kept yet, because these will be."""
    if not path.is_file():
        return 0.0
    kept = read_json(path, MAX_BYTES, CheckpointError)["head_logits"]
    return max(abs(float(a) - b) for task in logits for a, b in zip(kept[task], logits[task], strict=True))


def _share(right: list[bool]) -> float:
    return _round(sum(right) / len(right))


def _round(value: float) -> float:
    return round(float(value), 4)


def _table(values: Tensor) -> list[list[float]]:
    return [[_round(x) for x in row] for row in values.tolist()]


# -------------------------------------------------------------------------------------------- printing


def write(figures: dict[str, Any], where: Path) -> None:
    """Keep the figures, and what the heads say of the golden texts, in the model's folder."""
    heads = {task: open_head(where / "heads", task) for task in HEADS}
    kept = {name: value for name, value in figures.items() if name not in ("wrong", "golden", "golden_heads")}
    logits = head_logits(heads, BloomTokenizerFast.from_pretrained(where))
    write_json(where / FIGURES, {**kept, "golden": 0.0, "golden_heads": 0.0, "head_logits": logits})


def samples(where: Path, count: int) -> str:
    """What the model makes of half sentences, drawn at temperature 0.7: `count` in each language."""
    model, tokenizer = BloomForCausalLM.from_pretrained(where).eval(), BloomTokenizerFast.from_pretrained(where)
    written = write_on(model, tokenizer, count, do_sample=True, temperature=0.7, seed=0)
    return "\n\n".join(f"[{language.code}] {text}" for language, text in written)


def main() -> int:
    parser = argparse.ArgumentParser(description="measure bloomlab's embedded model against its floors")
    parser.add_argument("folder", type=Path, nargs="?", default=folder(), help="the model (default: the shipped one)")
    parser.add_argument("--write", action="store_true", help="keep the figures there, and in the card if it ships")
    parser.add_argument("--samples", type=int, default=0, help="print so many texts in each language, measure nothing")
    arguments = parser.parse_args()
    try:
        if arguments.samples:
            print(samples(arguments.folder, arguments.samples))
            return 0
        figures = evaluate(arguments.folder)
        if arguments.write:
            write(figures, arguments.folder)
            if arguments.folder == folder():
                put_figures()
    except BloomlabError as error:
        print(error, file=sys.stderr)
        return 1
    held = floors(figures)
    print(f"{'floor':<58} {'limit':<10} {'reached':<10}")
    print(*held, sep="\n")
    print(f"\n{tables(figures)}")
    if figures["wrong"]:
        print("\nnot grammatical:", *figures["wrong"], sep="\n    ")
    print(f"\n{figures['seconds']} seconds of processor time")
    return 0 if all(floor.holds for floor in held) else 1


if __name__ == "__main__":
    sys.exit(main())
