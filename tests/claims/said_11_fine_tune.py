"""What lesson 11 says: the curve tells little, the exam tells much, a frozen trunk needs more, a free one forgets."""

import math
from functools import cache
from typing import NamedTuple

import torch

from bloomlab import BloomForCausalLM, BloomForTokenClassification, Lab, fit, tiny
from bloomlab.tiny.labelled import TAGS, batch
from bloomlab.tiny.measure import look_back, loss, validation_rows
from tests.claims.claim import claim

LESSON = "notebooks/11_fine_tune.ipynb"
ABOUT_TRAINING = "opens the shipped weights itself, and an untrained trunk as its control"


class Trained(NamedTuple):
    """What came of a training.

    Attributes:
        half: after how many batches the loss had halved.
        mark: the share that is right in the exam.
        first: the loss of the first batch, in nats.
        writes: the loss of the trunk under its old last step, in nats.
        repeats: how often that says the token of a repetition.
    """

    half: int
    mark: float
    first: float
    writes: float
    repeats: float


@cache
def trained(kind: str, batches: int = 50) -> Trained:
    """Train a head for names on a trunk of one of three kinds: trained, untrained, frozen."""
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
    mark = float((answers == exam["labels"])[named].float().mean())
    writer = BloomForCausalLM.from_pretrained(tiny.folder())
    writer.transformer.load_state_dict(model.transformer.state_dict())
    rows = validation_rows(tokenizer, rows=16)
    return Trained(half, mark, losses[0], loss(writer, rows), look_back(writer)[1])


@cache
def tiny_tokenizer():  # type: ignore[no-untyped-def]
    from bloomlab import BloomTokenizerFast

    return BloomTokenizerFast.from_pretrained(tiny.folder())


@claim(
    "All eight tags are nearly alike to it.",
    said_in=LESSON,
    value="probability of the tag that comes first, five new heads, mean over the tokens of the lesson's text",
    control="the same of the head that has learned",
    holds=lambda value, control: max(value) < 0.35 and control[0] > 0.9,
    untrained=ABOUT_TRAINING,
)
def a_new_head_is_sure_of_nothing(lab: Lab) -> tuple[list[float], float]:
    ids = torch.tensor([lab.tokens("Leo lives in Oslo. He has a cat.").ids])

    def sure(head: BloomForTokenClassification) -> float:
        with torch.no_grad():
            return float(head(ids).logits[0].softmax(-1).amax(-1).mean())

    new = []
    for seed in range(5):
        torch.manual_seed(seed)
        new.append(sure(BloomForTokenClassification.from_pretrained(tiny.folder(), id2label=dict(enumerate(TAGS)))))
    return new, sure(lab.heads["tags"])  # type: ignore[arg-type]


@claim(
    "The loss halves about as quickly on a trunk that knows nothing",
    said_in=LESSON,
    value="batches until the loss has halved, on an untrained trunk",
    control="the most that would still be quick: a quarter of the 50 batches",
    holds=lambda value, control: value[0] < control[0],
    untrained=ABOUT_TRAINING,
)
def the_loss_halves_quickly_anyway(lab: Lab) -> tuple[float, float]:
    return float(trained("untrained").half), 12.5


@claim(
    "The exam tells them apart: with the trained trunk the head gets far more of the names right.",
    said_in=LESSON,
    value="share right in the exam, trained trunk, 50 batches",
    control="untrained trunk, the same 50 batches",
    holds=lambda value, control: value[0] > control[0] + 0.1,
    untrained=ABOUT_TRAINING,
)
def the_exam_tells_the_trunks_apart(lab: Lab) -> tuple[float, float]:
    return trained("trained").mark, trained("untrained").mark


@claim(
    "Most of what is missing comes with more batches: after 600 of them it gets nearly as far.",
    said_in=LESSON,
    value="share right in the exam, head alone, 600 batches",
    control="head alone, 50 batches",
    holds=lambda value, control: value[0] > control[0] + 0.03 and value[0] > trained("trained").mark - 0.05,
    untrained=ABOUT_TRAINING,
)
def a_frozen_trunk_needs_more_batches(lab: Lab) -> tuple[float, float]:
    return trained("frozen", 600).mark, trained("frozen").mark


@claim(
    "It writes badly now, and it looks back less well: it has forgotten.",
    said_in=LESSON,
    value="nats that the loss of writing rises, and share of repetitions lost, after the training of head and trunk",
    control="of the head alone",
    holds=lambda value, control: value[0] > 1 and value[1] > 0.05 and max(map(abs, control)) < 1e-6,
    untrained=ABOUT_TRAINING,
)
def a_free_trunk_forgets(lab: Lab) -> tuple[list[float], list[float]]:
    rows = validation_rows(lab.tokenizer, rows=16)
    writes, repeats = loss(lab.model, rows), look_back(lab.model)[1]
    free, frozen = trained("trained"), trained("frozen")
    return [free.writes - writes, repeats - free.repeats], [frozen.writes - writes, repeats - frozen.repeats]


@claim(
    "And nothing was forgotten, so many heads can share this one trunk.",
    said_in=LESSON,
    value="nats that the loss of writing rises when a head learns alone, 600 batches",
    control="when the trunk learns too, 50 batches",
    holds=lambda value, control: abs(value[0]) < 1e-6 and control[0] > 1,
    untrained=ABOUT_TRAINING,
)
def a_frozen_trunk_forgets_nothing(lab: Lab) -> tuple[float, float]:
    writes = loss(lab.model, validation_rows(lab.tokenizer, rows=16))
    return trained("frozen", 600).writes - writes, trained("trained").writes - writes


@claim(
    "One matrix alone learns more slowly.",
    said_in=LESSON,
    value="share right in the exam, head alone, 50 batches",
    control="head and trunk, the same 50 batches",
    holds=lambda value, control: value[0] < control[0] - 0.03,
    untrained=ABOUT_TRAINING,
)
def one_matrix_learns_more_slowly(lab: Lab) -> tuple[float, float]:
    return trained("frozen").mark, trained("trained").mark


@claim(
    "About 2.08, and that is where the curve begins.",
    said_in=LESSON,
    value="nats that each of 5 batches costs a new head more than a guess among eight",
    control="after 50 batches",
    holds=lambda value, control: max(map(abs, value)) < 0.4 and control[0] < -1,
    untrained=ABOUT_TRAINING,
)
def the_curve_begins_at_a_guess(lab: Lab) -> tuple[list[float], float]:
    lessons = [batch("tags", f"lesson {number}", 8, tiny_tokenizer()) for number in range(50)]
    head = BloomForTokenClassification.from_pretrained(tiny.folder(), id2label=dict(enumerate(TAGS)))
    guess = math.log(len(TAGS))
    with torch.no_grad():
        first = [float(head(**lesson).loss) - guess for lesson in lessons[:5]]
    last = fit(head, lessons, learning_rate=1.5e-3, head_learning_rate=7.5e-3, progress=False)[-1]
    return first, last - guess
