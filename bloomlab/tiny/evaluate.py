"""Measure the shipped model against its floors: what it must reach to be shipped at all.

    python -m bloomlab.tiny.evaluate              prints two tables; exit code 1 if a floor is missed

Training again gives another model, never the same bits; it is held to these floors, not to the old numbers.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bloomlab.errors import BloomlabError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens.alibi import previous_token_bound
from bloomlab.model.alibi import slopes
from bloomlab.tiny import folder
from bloomlab.tiny.heads import open_head
from bloomlab.tiny.measure import (
    absent,
    attention_distance,
    documents_read,
    golden_distance,
    grammatical,
    look_back,
    loss,
    loss_by_length,
    loss_by_position,
    questions,
    recall,
    repeated_ids,
    token_before,
    validation_rows,
    write_on,
)
from bloomlab.tiny.measure_heads import answer_exact_match, language_accuracy, tag_f1
from bloomlab.tokenizer import BloomTokenizerFast


@dataclass(frozen=True)
class Floor:
    """One number the model must reach."""

    name: str
    reached: float
    sign: str  # "≥" or "≤"
    limit: float

    @property
    def holds(self) -> bool:
        return self.reached >= self.limit if self.sign == "≥" else self.reached <= self.limit

    def __str__(self) -> str:
        verdict = "pass" if self.holds else "FAIL"
        return f"{self.name:<52} {self.sign} {self.limit:<8.4g} {self.reached:<10.4g} {verdict}"


def evaluate(model_folder: Path | None = None) -> dict[str, Any]:
    """Measure the model of a folder (the shipped one) in about a minute.

    Returns "floors" (a list of Floor), "induction", "previous" and "distance" (layer, head), "slopes" and "bounds"
    (one a head), "wrong" (the sentences that are not grammatical), "language", "tags" and "unseen tags" (each label's
    share or F1), "by position" (the loss of each 256 positions, to eight times what the model was trained on).

    Raises:
        CheckpointError, TokenizerError: the folder does not hold a whole model.
    """
    where = model_folder or folder()
    model = BloomForCausalLM.from_pretrained(where).eval()
    tokenizer = BloomTokenizerFast.from_pretrained(where)

    unseen = validation_rows(tokenizer)
    induction, repeats = look_back(model)
    previous = token_before(model, repeated_ids(vocab_size=model.config.vocab_size))
    share, wrong = grammatical(write_on(model, tokenizer))
    by_length = loss_by_length(model, validation_rows(tokenizer, length=512, rows=32), (128, 512))
    near, far = (recall(model, tokenizer, questions(tokenizer, 150, gap=gap)) for gap in (0, 120))
    told = write_on(model, tokenizer, count=5, do_sample=True, temperature=0.7, seed=0)

    heads: dict[str, Any] = {task: open_head(where / "heads", task) for task in ("language", "tags", "answer")}
    language = language_accuracy(heads["language"], tokenizer)
    tags, unseen_tags = (tag_f1(heads["tags"], tokenizer, unseen=new) for new in (False, True))
    answers, unseen_answers = (answer_exact_match(heads["answer"], tokenizer, unseen=new) for new in (False, True))
    floors = [
        Floor("validation loss, nats a token", loss(model, unseen), "≤", 1.32),
        Floor("attention of the best induction head", float(induction.max()), "≥", 0.80),
        Floor("random tokens said twice: right the second time", repeats, "≥", 0.90),
        Floor("attention of the best previous-token head", float(previous.max()), "≥", 0.33),
        Floor("two people told apart: answers right", sum(near) / len(near), "≥", 0.80),
        Floor("the same, 120 tokens or more later", sum(far) / len(far), "≥", 0.80),
        Floor("grammatical sentences in ten languages", share, "≥", 0.97),
        Floor("stories written that training did not show", absent(told, documents_read(where)), "≥", 0.90),
        Floor("loss in rows of 512 (limit: in rows of 128)", by_length[512], "≤", by_length[128]),
        Floor("language of a text, held-out pairs", language["all"], "≥", 0.98),
        Floor("tags, F1, held-out pairs", tags["all"], "≥", 0.98),
        Floor("tags, F1, names in unseen spellings", unseen_tags["all"], "≥", 0.90),
        Floor("answers found, held-out pairs", answers, "≥", 0.93),
        Floor("answers found, names in unseen spellings", unseen_answers, "≥", 0.80),
        Floor("distance from the golden logits", golden_distance(model, tokenizer, where / "golden.json"), "≤", 1e-3),
    ]
    by_head = slopes(model.config.n_head)
    return {
        "floors": floors,
        "induction": induction,
        "previous": previous,
        "distance": attention_distance(model, unseen[:32]),
        "slopes": by_head,
        "bounds": [previous_token_bound(slope) for slope in by_head],
        "wrong": wrong,
        "language": language,
        "tags": tags,
        "unseen tags": unseen_tags,
        "by position": loss_by_position(model, validation_rows(tokenizer, length=2048, rows=4), width=256),
    }


def heads_table(result: dict[str, Any]) -> str:
    """One line a head: its slope, the bound, and in every layer its scores and how many tokens back it looks."""
    layers = range(len(result["previous"]))
    numbers = " ".join(f"{layer:>5}" for layer in layers)
    lines = [f"head  slope    bound   token before, layer {numbers}   induction {numbers}   distance {numbers}"]
    for head, (slope, bound) in enumerate(zip(result["slopes"], result["bounds"], strict=True)):
        before = " ".join(f"{result['previous'][layer, head]:5.2f}" for layer in layers)
        after = " ".join(f"{result['induction'][layer, head]:5.2f}" for layer in layers)
        back = " ".join(f"{result['distance'][layer, head]:5.1f}" for layer in layers)
        start = f"{head:<5} {f'1/{round(1 / slope)}':<8} {bound:<7.3f} {'':19} {before}"
        lines.append(f"{start}   {'':9} {after}   {'':8} {back}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="measure bloomlab's embedded model against its floors")
    parser.add_argument("folder", type=Path, nargs="?", default=folder(), help="the model (default: the shipped one)")
    where = parser.parse_args().folder
    start = time.monotonic()
    try:
        result = evaluate(where)
    except BloomlabError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{'floor':<52} {'limit':<10} {'reached':<10}")
    print(*result["floors"], sep="\n")
    print(f"\n{heads_table(result)}")
    for name in ("language", "tags", "unseen tags"):
        print(f"\n{name}: " + ", ".join(f"{label} {value:.3f}" for label, value in result[name].items()))
    print("\nloss by position, 256 at a time: " + " ".join(f"{value:.3f}" for value in result["by position"]))
    if result["wrong"]:
        print("\nnot grammatical:", *result["wrong"], sep="\n    ")
    print(f"\n{time.monotonic() - start:.0f} seconds")
    return 0 if all(floor.holds for floor in result["floors"]) else 1


if __name__ == "__main__":
    sys.exit(main())
