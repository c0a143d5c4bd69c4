"""What lesson 10 says of the training: when the circuit formed, what the loss shows of it, which half came first."""

import copy
from functools import lru_cache
from itertools import pairwise, permutations

import torch
from torch import Tensor

from bloomlab import BloomForCausalLM, Lab, load, tiny
from bloomlab.tiny.facts import CITIES
from bloomlab.tiny.measure import look_back, loss, repeated_ids, token_before, validation_rows
from tests.claims.claim import claim
from tests.claims.stories import chances, ids_of, recaps

LESSON = "notebooks/10_a_circuit_forms.ipynb"
TRAINING = "it is about this one training; its snapshots do not depend on the lab"
FORMS = (1600, 2000)  # between these steps
FIRST, FINAL = tiny.snapshots()[0], int(tiny.history()["step"][-1])
HOME = {"Leo": "Oslo", "Ana": "Lima", "Paul": "Tokyo", "Rosa": "Paris", "Ivan": "Lagos", "Emma": "Delhi"}


# -------------------------------------------------------------------------------------- measurements


@lru_cache(maxsize=8)
def at(step: int) -> Lab:
    """The model as it was after a step."""
    return load() if step == FINAL else load("tiny", revision=f"step{step}")


@lru_cache(maxsize=8)
def looks(step: int) -> tuple[float, float]:
    """How much the best head looks back after a step, and how many repeated tokens are right."""
    look, right = look_back(at(step).model)
    return float(look.max()), right


@lru_cache(maxsize=1)
def induction_head() -> tuple[int, int]:
    """The head that looks back most in the finished model."""
    look, _ = look_back(at(FINAL).model)
    layer, head = divmod(int(look.argmax()), look.shape[1])
    return layer, head


@lru_cache(maxsize=8)
def cities_named(step: int) -> tuple[float, float, float]:
    """Of the lesson's sixty stories, the share that goes on with a city, with one of the story, with the right one."""
    told = [(f"{a} lives in {HOME[a]}. {b} lives in {HOME[b]}.", a, b) for a, b in permutations(HOME, 2)]
    stories = [(text, asked) for text, *both in told for asked in both]
    one = at(step)
    texts = [f"{text} Let us say it again. {asked} lives in" for text, asked in stories]
    best = one.trace(texts, ["logits"])["logits"][:, -1].argmax(-1).tolist()
    words = [one.tokenizer.decode([token]).strip() for token in best]
    counts = (
        sum(word in CITIES for word in words),
        sum(f" {word}." in text for word, (text, _) in zip(words, stories, strict=True)),
        sum(word == HOME[asked] for word, (_, asked) in zip(words, stories, strict=True)),
    )
    any_city, of_story, right = (count / len(stories) for count in counts)
    return any_city, of_story, right


def history(name: str, step: int) -> float:
    """What was measured after a step of the training."""
    rows = tiny.history()
    return rows[name][rows["step"].index(step)]


def stripe(model: BloomForCausalLM) -> float:
    """How much of its attention the head that becomes the induction head gives to what came next last time."""
    layer, head = induction_head()
    ids = repeated_ids(rows=4, vocab_size=model.config.vocab_size)
    spot = f"h.{layer}.attn.probs"
    probs = Lab(model, at(FINAL).tokenizer).trace(ids, [spot])[spot][:, head]
    return float(probs.diagonal(1 - ids.shape[1] // 2, -2, -1)[:, 1:].mean())


def chimera(model: BloomForCausalLM, other: BloomForCausalLM) -> BloomForCausalLM:
    """A model with the induction head's layer of another one."""
    layer, _ = induction_head()
    mixed = copy.deepcopy(model)
    mixed.transformer.h[layer] = other.transformer.h[layer]
    return mixed


# ----------------------------------------------------------------------------------------- the claims


@claim(
    "First it names a city, any city; then a city of the story.",
    said_in=LESSON,
    value="share of sixty stories that go on with any city at the first snapshot, and with one of the story at 1800",
    control="share that goes on with one of the story at the first snapshot, and with the right one at 1800",
    holds=lambda value, control: min(value) > 0.95 and max(control) < 0.6,
    untrained=TRAINING,
)
def first_a_city_then_one_of_the_story(lab: Lab) -> tuple[list[float], list[float]]:
    (any_city, early, _), (_, of_story, right) = cities_named(FIRST), cities_named(1800)
    return [any_city, of_story], [early, right]


@claim(
    "Words and a city come early; whose city it is comes late.",
    said_in=LESSON,
    value="share of sixty stories that go on with any city at the first snapshot, and with the right one at the end",
    control="share that goes on with the right one at the first snapshot, and at 1800",
    holds=lambda value, control: value[0] > 0.95 and value[1] > 0.75 and max(control) < 0.6,
    untrained=TRAINING,
)
def whose_city_it_is_comes_late(lab: Lab) -> tuple[list[float], list[float]]:
    (any_city, _, early), (_, _, late) = cities_named(FIRST), cities_named(FINAL)
    return [any_city, late], [early, cities_named(1800)[2]]


@claim(
    "It rises a little there, and falls everywhere else.",
    said_in=LESSON,
    value="change of the loss from step 1800 to 2000, in nats; the lesson's 16 rows",
    control="the same from each other snapshot to the next",
    holds=lambda value, control: 0 < value[0] < 0.1 and max(control) < -0.01,
    untrained=TRAINING,
)
def the_loss_rises_between_two_snapshots(lab: Lab) -> tuple[float, list[float]]:
    steps, rows = [*tiny.snapshots(), FINAL], validation_rows(at(FINAL).tokenizer, rows=16)
    found = {step: loss(at(step).model, rows) for step in steps}
    changes = {before: found[after] - found[before] for before, after in pairwise(steps)}
    return changes.pop(1800), list(changes.values())


@claim(
    "When the circuit has just formed, it names a city of the story every time, and the right one every second time: "
    "a coin would do as well.",
    said_in=LESSON,
    value="share of sixty stories that go on with the right city in the finished model",
    control="the same at steps 1800 and 2000",
    holds=lambda value, control: value[0] > 0.75 and all(abs(share - 0.5) < 0.1 for share in control),
    untrained=TRAINING,
)
def then_the_right_city(lab: Lab) -> tuple[float, list[float]]:
    return cities_named(FINAL)[2], [cities_named(step)[2] for step in (1800, 2000)]


@claim(
    "For a long time next to nothing; then, within a short part of the training, most of it.",
    said_in=LESSON,
    value="attention of the best head to what came next last time, gained in 400 steps from step 1600",
    control="the same, gained in all the 1600 steps before, and in the 2800 after",
    holds=lambda value, control: value[0] > 0.6 and max(control) < 0.25,
    untrained=TRAINING,
)
def the_circuit_forms_suddenly(lab: Lab) -> tuple[float, list[float]]:
    before, after = (history("induction", step) for step in FORMS)
    return after - before, [before, history("induction", FINAL) - after]


@claim(
    "The tokens are right later than the head looks: looking is not yet copying.",
    said_in=LESSON,
    value="attention of the best head to what came next last time, after 1800 and 2000 steps",
    control="share of repeated tokens that are right then",
    holds=lambda value, control: all(look > right + 0.1 for look, right in zip(value, control, strict=True)),
    untrained=TRAINING,
)
def looking_comes_before_copying(lab: Lab) -> tuple[list[float], list[float]]:
    measured = [looks(step) for step in (1800, 2000)]
    return [look for look, _ in measured], [right for _, right in measured]


@claim(
    "In the first of our snapshots the head that will be the induction head gives the city nearly all its attention, "
    "and yet the model hardly expects that city.",
    said_in=LESSON,
    value="attention of that head to the city of a story told again, at the first snapshot; 8 stories",
    control="p(city) at the end of these stories",
    holds=lambda value, control: min(value) > 0.85 and max(control) < 0.3,
    untrained=TRAINING,
)
def it_looks_at_the_city_long_before_it_says_it(lab: Lab) -> tuple[list[float], list[float]]:
    early, (layer, head) = at(FIRST), induction_head()
    stories = recaps(early, 8)
    spot = f"h.{layer}.attn.probs"
    run = early.trace([story.text for story in stories], [spot, "logits"])
    return run[spot][:, head, -1, 3].tolist(), chances(run["logits"], ids_of(early, [story.city for story in stories]))


@claim(
    "Near and far begin earlier and go on rising long after.",
    said_in=LESSON,
    value="share of their whole rise that near and far make before the circuit forms, and after it has formed",
    control="the same of induction",
    holds=lambda value, control: min(value) > 0.25 and max(control) < 0.22,
    untrained=TRAINING,
)
def telling_people_apart_is_something_of_its_own(lab: Lab) -> tuple[list[float], list[float]]:
    def outside(name: str) -> list[float]:
        before, after, whole = (history(name, step) for step in (*FORMS, FINAL))
        return [before / whole, 1 - after / whole]

    return [*outside("near"), *outside("far")], outside("induction")


@claim(
    "The loss falls all the way, except where the circuit forms: there it stops falling for 400 steps.",
    said_in=LESSON,
    value="change of the loss in the 400 steps in which the circuit forms, in nats",
    control="the same in the other stretches of 400 steps",
    holds=lambda value, control: value[0] > -0.005 and max(control) < -0.005,
    untrained=TRAINING,
)
def the_loss_stops_falling_once(lab: Lab) -> tuple[float, list[float]]:
    start, end = FORMS
    stretches = [(step, step + end - start) for step in range(400, FINAL, end - start)]
    changes = {pair: history("loss", pair[1]) - history("loss", pair[0]) for pair in stretches}
    return changes.pop(FORMS), list(changes.values())


@claim(
    "Where two tokens come again and go on as they did before, the predictions get better in these steps; elsewhere "
    "they get a little worse.",
    said_in=LESSON,
    value="loss saved between steps 1600 and 2000 where two tokens come again and go on as they did before, in nats",
    control="the same, elsewhere",
    holds=lambda value, control: value[0] > 0.04 and control[0] < 0,
    untrained=TRAINING,
)
def an_average_hides_both(lab: Lab) -> tuple[float, float]:
    ids = validation_rows(at(FINAL).tokenizer, rows=64)
    again = torch.zeros(ids[:, 1:].shape, dtype=torch.bool)
    for row, tokens in enumerate(ids.tolist()):
        went_on: dict[tuple[int, int], int] = {}
        for place, (two, following) in enumerate(zip(pairwise(tokens[:-1]), tokens[2:], strict=True), start=1):
            again[row, place] = went_on.get(two) == following
            went_on[two] = following
    before, after = (losses(at(step), ids) for step in FORMS)
    saved = before - after
    return float(saved[again].mean()), float(saved[~again].mean())


def losses(one: Lab, ids: Tensor) -> Tensor:
    """The loss of each token but the first, (row, pos), in nats."""
    with torch.no_grad():
        parts = [
            torch.nn.functional.cross_entropy(one.model(rows).logits[:, :-1].mT, rows[:, 1:], reduction="none")
            for rows in ids.split(16)
        ]
    return torch.cat(parts)


@claim(
    "A head with the steepest slope gives the token before nearly a quarter of its attention, even if it has learned "
    "nothing",
    said_in=LESSON,
    value="attention to the token before of the heads with the steepest slope, untrained",
    control="the same, with the flattest slope",
    holds=lambda value, control: all(0.22 < look < 0.25 for look in value) and max(control) < 0.1,
    untrained="it is about an untrained model",
)
def alibi_alone_looks_at_the_token_before(lab: Lab) -> tuple[list[float], list[float]]:
    ids = repeated_ids(rows=4, vocab_size=lab.model.config.vocab_size)
    before = token_before(untrained(lab), ids)
    return before[:, 0].tolist(), before[:, -1].tolist()


@claim(
    "The layer that reads was half ready. The earlier layers did not write anything yet that it could read.",
    said_in=LESSON,
    value="how much the head looks back in the finished model with its layer of the first snapshot",
    control="in the first snapshot with the layer of the finished model, and in the first snapshot itself",
    holds=lambda value, control: value[0] > 0.3 and max(control) < 0.05,
    untrained=TRAINING,
)
def the_reading_layer_was_half_ready(lab: Lab) -> tuple[float, list[float]]:
    early, final = at(FIRST).model, at(FINAL).model
    return stripe(chimera(final, early)), [stripe(chimera(early, final)), stripe(early)]


@claim(
    "The oldest layer looks back as soon as the earlier layers are those of the finished model.",
    said_in=LESSON,
    value="how much the head looks back in the finished model with its layer of the first snapshot",
    control="the same, with a layer that learned nothing",
    holds=lambda value, control: value[0] > 0.3 and control[0] < 0.05,
    untrained=TRAINING,
)
def a_layer_that_learned_nothing_does_not_read(lab: Lab) -> tuple[float, float]:
    final = at(FINAL).model
    return stripe(chimera(final, at(FIRST).model)), stripe(chimera(final, untrained(lab)))


def untrained(lab: Lab) -> BloomForCausalLM:
    torch.manual_seed(0)
    return BloomForCausalLM(lab.model.config).eval()
