"""What the embedded model must reach to be shipped at all."""

from dataclasses import dataclass
from typing import Any

FIGURES = "figures.json"  # beside the weights: what `evaluate --write` measured


@dataclass(frozen=True)
class Floor:
    """One number the model must reach; it is true if the model does."""

    name: str
    reached: float
    sign: str  # "≥" or "≤"
    limit: float

    @property
    def holds(self) -> bool:
        return self.reached >= self.limit if self.sign == "≥" else self.reached <= self.limit

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        verdict = "pass" if self.holds else "FAIL"
        return f"{self.name:<58} {self.sign} {self.limit:<8.4g} {self.reached:<10.4g} {verdict}"


def floors(figures: dict[str, Any]) -> list[Floor]:
    """What the figures must reach."""
    heads, by_length = figures["heads"], figures["by_length"]
    return [
        Floor("validation loss, nats per token", figures["loss"], "≤", 1.32),
        Floor("attention of the best induction head", _most(figures["induction"]), "≥", 0.80),
        Floor("48 random tokens said twice: right the second time", figures["repeats"], "≥", 0.90),
        Floor("attention of the best head to the token before", _most(figures["previous"]), "≥", 0.33),
        Floor("language named right, held-out pairs", heads["language"]["held"]["all"], "≥", 0.98),
        Floor("tags, F1, held-out pairs", heads["tags"]["held"]["all"], "≥", 0.98),
        Floor("tags, F1, names in spellings never read", heads["tags"]["unseen"]["all"], "≥", 0.90),
        Floor("answer found exactly, held-out pairs", heads["answer"]["held"]["all"], "≥", 0.93),
        Floor("answer found exactly, names in spellings never read", heads["answer"]["unseen"]["all"], "≥", 0.80),
        Floor("two people told apart, answered in its own words", figures["recall"]["0"], "≥", 0.80),
        Floor("the same, 120 tokens or more after the facts", figures["recall"]["120"], "≥", 0.80),
        Floor("grammatical sentences, greedy, ten languages", figures["grammatical"]["all"], "≥", 0.97),
        Floor("its stories that 60,000 documents of training do not hold", figures["absent"], "≥", 0.90),
        Floor("loss in rows of 512 (limit: in rows of 128)", by_length["512"], "≤", by_length["128"]),
        Floor("distance from the golden logits", figures["golden"], "≤", 1e-3),
        Floor("distance from the heads' golden logits", figures["golden_heads"], "≤", 1e-3),
    ]


def _most(table: list[list[float]]) -> float:
    return max(max(row) for row in table)
