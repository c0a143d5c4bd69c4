"""What lesson 11 says: the curve tells little, the exam tells much, and a frozen trunk needs more batches."""

from functools import cache

import torch

from bloomlab import BloomForTokenClassification, Lab, fit, tiny
from bloomlab.tiny.labelled import TAGS, batch
from tests.claims.claim import claim

LESSON = "notebooks/11_fine_tune.ipynb"
ABOUT_TRAINING = "opens the shipped weights itself, and an untrained trunk as its control"


@cache
def trained(kind: str, batches: int = 50) -> tuple[int, float]:
    """After how many batches the loss has halved, and the mark in the exam; the trunk is one of three kinds."""
    tokenizer = tiny_tokenizer()
    names = dict(enumerate(TAGS))
    torch.manual_seed(0)
    model = BloomForTokenClassification.from_pretrained(tiny.folder(), id2label=names)
    if kind == "untrained":
        torch.manual_seed(0)
        model = BloomForTokenClassification(model.config)
    if kind == "frozen":
        model.base_model.requires_grad_(False)
    lessons = [batch("tags", f"lesson {number}", 8, tokenizer) for number in range(batches)]
    losses = fit(model, lessons, learning_rate=1.5e-3, head_learning_rate=7.5e-3, progress=False)
    half = next((number for number, loss in enumerate(losses) if loss < losses[0] / 2), batches)
    exam = batch("tags", "exam", 64, tokenizer)
    named = exam["labels"] > 0
    with torch.no_grad():
        answers = model(exam["input_ids"], attention_mask=exam["attention_mask"]).logits.argmax(-1)
    return half, float((answers == exam["labels"])[named].float().mean())


@cache
def tiny_tokenizer():  # type: ignore[no-untyped-def]
    from bloomlab import BloomTokenizerFast

    return BloomTokenizerFast.from_pretrained(tiny.folder())


@claim(
    "The loss halves about as quickly on a trunk that knows nothing",
    said_in=LESSON,
    value="batches until the loss has halved, on an untrained trunk",
    control="the most that would still be quick: a quarter of the 50 batches",
    holds=lambda value, control: value[0] < control[0],
    untrained=ABOUT_TRAINING,
)
def the_loss_halves_quickly_anyway(lab: Lab) -> tuple[float, float]:
    return float(trained("untrained")[0]), 12.5


@claim(
    "The exam tells them apart: with the trained trunk the head gets far more of the names right.",
    said_in=LESSON,
    value="share right in the exam, trained trunk, 50 batches",
    control="untrained trunk, the same 50 batches",
    holds=lambda value, control: value[0] > control[0] + 0.1,
    untrained=ABOUT_TRAINING,
)
def the_exam_tells_the_trunks_apart(lab: Lab) -> tuple[float, float]:
    return trained("trained")[1], trained("untrained")[1]


@claim(
    "Most of what is missing comes with more batches: after 600 of them it gets nearly as far.",
    said_in=LESSON,
    value="share right in the exam, head alone, 600 batches",
    control="head alone, 50 batches",
    holds=lambda value, control: value[0] > control[0] + 0.03 and value[0] > trained("trained")[1] - 0.05,
    untrained=ABOUT_TRAINING,
)
def a_frozen_trunk_needs_more_batches(lab: Lab) -> tuple[float, float]:
    return trained("frozen", 600)[1], trained("frozen")[1]
