"""What lesson 09 says: who looks back, who is needed for it, by which way; and where the city is kept."""

from collections.abc import Mapping
from functools import lru_cache
from statistics import median

import torch
from torch import Tensor

from bloomlab import Lab, copied, mean, patch, zero
from bloomlab.hooks import Edit
from bloomlab.lens.cases import Case
from bloomlab.lens.probe import probe
from bloomlab.lens.refute import PLACES, TEXTS
from bloomlab.tiny.measure import FIRST_ID, repeated_ids, token_before
from bloomlab.tiny.pairs import recaps as told_again
from bloomlab.tiny.rows import batch
from tests.claims.claim import claim
from tests.claims.kept import Asked, checked, finding
from tests.claims.stories import chances, ids_of, recaps

LESSON = "notebooks/09_interventions.ipynb"
HALF = 48
NEAR_CITY, LAST = 3, 19  # where a recap of tests.claims.stories has the city, and where the next one is due
AFTER_CITY, BEFORE_CITY = (5, 6, 7), (1, 2)  # He has a; lives in
STORIES = 8

Head = tuple[int, int]  # layer, head


# -------------------------------------------------------------------------------------- measurements


def without(*heads: Head) -> dict[str, Edit]:
    """The edit that removes some heads."""
    layers = {layer: [head for each, head in heads if each == layer] for layer, _ in heads}
    return {f"h.{layer}.attn.mixed": zero(head=those) for layer, those in layers.items()}


@lru_cache(maxsize=256)
def looked(lab: Lab, *removed: Head) -> tuple[Tensor, Tensor]:
    """Random tokens said twice, without some heads: see `looking`."""
    return looking(lab, without(*removed))


def looking(lab: Lab, edit: Mapping[str, Edit]) -> tuple[Tensor, Tensor]:
    """Random tokens said twice: how much each head looks 47 back (layer, head), and which tokens of each round are
    right (2 rounds)."""
    ids = tokens(lab)
    run = lab.trace(ids, ["attn.probs", "logits"], edit)
    back = run.stack("attn.probs").diagonal(1 - HALF, -2, -1)[..., 1:].mean((1, 3))
    right = (run["logits"][:, :-1].argmax(-1) == ids[:, 1:]).float()
    return back, torch.stack([right[:, : HALF - 1].mean(), right[:, HALF:].mean()])


def tokens(lab: Lab) -> Tensor:
    return repeated_ids(rows=4, vocab_size=lab.model.config.vocab_size)


def right(lab: Lab, *removed: Head) -> float:
    """The share of tokens that are right the second time."""
    return float(looked(lab, *removed)[1][1])


def stripe(lab: Lab, *removed: Head) -> float:
    """How much the best head looks back."""
    return float(looked(lab, *removed)[0][best(lab)])


def heads(lab: Lab) -> list[Head]:
    return [(layer, head) for layer in range(lab.model.config.n_layer) for head in range(lab.model.config.n_head)]


def best(lab: Lab) -> Head:
    """The head that looks back most."""
    back = looked(lab)[0]
    return max(heads(lab), key=lambda head: float(back[head]))


def pair(lab: Lab) -> list[Head]:
    """The two heads that look back most."""
    back = looked(lab)[0]
    return sorted(heads(lab), key=lambda head: -float(back[head]))[:2]


def earlier(lab: Lab) -> list[Head]:
    """Of each layer before that head, the one without which its stripe fades most; the most needed first."""
    n_head = lab.model.config.n_head
    layers = [[(layer, head) for head in range(n_head)] for layer in range(max(best(lab)[0], 1))]
    return sorted((min(row, key=lambda head: stripe(lab, head)) for row in layers), key=lambda head: stripe(lab, head))


# ------------------------------------------------------------------------------------ the test itself


@claim(
    "three rows in sixteen were random tokens, said again and again",
    said_in=LESSON,
    value="share of the rows of 80 steps of training that say a segment again and again",
    control="the same among the rows in which a document ends",
    holds=lambda value, control: 0.15 < value[0] < 0.23 and control[0] == 0,
    untrained="it is about the text of the training",
)
def part_of_the_training_is_this_very_test(lab: Lab) -> tuple[float, float]:
    ids = torch.cat([batch(step, 0, lab.tokenizer, lab.model.config.vocab_size)[0] for step in range(80)])
    repeats = torch.stack([(ids[:, size:] == ids[:, :-size]).all(1) for size in range(6, 100)]).any(0)
    documents = (ids == lab.tokenizer.eos_token_id).any(1)
    return float(repeats.float().mean()), float(repeats[documents].float().mean())


@claim(
    "The first time nobody can know what comes next. The second time it is easy for anybody who looks back",
    said_in=LESSON,
    value="share of random tokens that are right the second time",
    control="the same, the first time",
    holds=lambda value, control: value[0] > 0.9 and control[0] < 0.02,
)
def the_second_time_the_tokens_are_right(lab: Lab) -> tuple[float, float]:
    first, second = looked(lab)[1].tolist()
    return second, first


@claim(
    "Most heads can go and nothing happens.",
    said_in=LESSON,
    value="share of repeated tokens lost without the one or the other head that looks back",
    control="the same, without each of the less needed three quarters of the heads",
    holds=lambda value, control: min(value) > 0.3 and max(control) < 0.02,
)
def most_heads_can_go(lab: Lab) -> tuple[list[float], list[float]]:
    lost = {head: right(lab) - right(lab, head) for head in heads(lab)}
    least = sorted(lost.values())[: 3 * len(lost) // 4]
    return [lost[head] for head in pair(lab)], least


@claim(
    "another head that looks at the same place does part of the work, and only without both is hardly anything left.",
    said_in=LESSON,
    value="share of repeated tokens that are right without the one head, and without the other",
    control="without both",
    holds=lambda value, control: min(value) > 0.3 and control[0] < 0.05,
)
def two_heads_share_the_work(lab: Lab) -> tuple[list[float], float]:
    return [right(lab, head) for head in pair(lab)], right(lab, *pair(lab))


@claim(
    "Some heads in earlier layers are needed too, and they do not look 47 tokens back at all!",
    said_in=LESSON,
    value="share of repeated tokens lost without the two most needed earlier heads, one at a time",
    control="how much of their attention these heads give to the place 47 tokens back",
    holds=lambda value, control: min(value) > 0.1 and max(control) < 0.01,
)
def heads_that_do_not_look_back_are_needed(lab: Lab) -> tuple[list[float], list[float]]:
    needed = earlier(lab)[:2]
    return [right(lab) - right(lab, head) for head in needed], [float(looked(lab)[0][head]) for head in needed]


# -------------------------------------------------------------------------------------- the circuit


@claim(
    "But two other heads look there more, and with zeros in place of either the stripe hardly fades.",
    said_in=LESSON,
    value="how much of the stripe is lost without each of the two most needed earlier heads",
    control="the same, without each of the two earlier heads that look most at the token before",
    holds=lambda value, control: min(value) > 0.08 and max(control) < 0.06,
)
def the_heads_that_look_most_are_hardly_needed(lab: Lab) -> tuple[list[float], list[float]]:
    looks = token_before(lab.model, tokens(lab))
    before = [head for head in heads(lab) if head[0] < best(lab)[0]] or heads(lab)
    most = sorted(before, key=lambda head: -float(looks[head]))[:2]
    return [stripe(lab) - stripe(lab, head) for head in earlier(lab)[:2]], [
        stripe(lab) - stripe(lab, head) for head in most
    ]


@claim(
    "Do the heads without which the stripe fades most look at the token before?",
    said_in=LESSON,
    value="attention of the two most needed earlier heads to the token before",
    control="the same, of the middle one of all heads",
    holds=lambda value, control: min(value) > 0.25 and control[0] < 0.15,
)
def needed_heads_look_at_the_token_before(lab: Lab) -> tuple[list[float], float]:
    looks = token_before(lab.model, tokens(lab))
    return [float(looks[head]) for head in earlier(lab)[:2]], median(looks.flatten().tolist())


@claim(
    "Without any one of them, most of the stripe is still there.",
    said_in=LESSON,
    value="the stripe without each head of the earlier layers",
    control="the stripe without the most needed head of each of these layers at once",
    holds=lambda value, control: min(value) > 0.5 and control[0] < 0.1,
)
def one_head_less_leaves_most_of_the_stripe(lab: Lab) -> tuple[list[float], float]:
    alone = [stripe(lab, head) for head in heads(lab) if head[0] < best(lab)[0]]
    return alone or [stripe(lab)], stripe(lab, *earlier(lab))


@claim(
    "The last of the three is hardly missed alone; after the other two it is missed badly.",
    said_in=LESSON,
    value="share of the stripe that goes with the least needed of the three, once the other two are gone",
    control="the same, while all others are there",
    holds=lambda value, control: value[0] > 0.5 and control[0] < 0.1,
)
def what_one_head_loses_another_supplies(lab: Lab) -> tuple[float, float]:
    *two, last = earlier(lab)
    return 1 - stripe(lab, *two, last) / stripe(lab, *two), 1 - stripe(lab, last) / stripe(lab)


@claim(
    "at least five heads take part in this circuit",
    said_in=LESSON,
    value="share of repeated tokens lost without each of the five: two that look back, three earlier ones",
    control="the same, without each of the other heads",
    holds=lambda value, control: min(value) > 0.03 and max(control) < 0.02,
)
def five_heads_take_part(lab: Lab) -> tuple[list[float], list[float]]:
    five = [*pair(lab), *earlier(lab)]
    lost = {head: right(lab) - right(lab, head) for head in heads(lab)}
    return [lost[head] for head in five], [lost[head] for head in heads(lab) if head not in five]


@claim(
    "Queries have one, but it is the keys that the earlier head changes: what a token is found by.",
    said_in=LESSON,
    value="how much of the stripe is lost with only the keys of a run without the most needed earlier head",
    control="the same, with only the queries, and with only the values",
    holds=lambda value, control: value[0] > 0.2 and max(control) < 0.03,
)
def the_loss_goes_through_the_keys(lab: Lab) -> tuple[float, list[float]]:
    parts = {part: f"h.{best(lab)[0]}.attn.{part}" for part in "kqv"}
    other = lab.trace(tokens(lab), list(parts.values()), without(earlier(lab)[0]))
    lost = {
        part: stripe(lab) - float(looking(lab, {spot: patch(other[spot])})[0][best(lab)])
        for part, spot in parts.items()
    }
    return lost["k"], [lost["q"], lost["v"]]


@claim(
    "The key tells which token came before, not which one it belongs to.",
    said_in=LESSON,
    value="attention lost by a place if its key is that of a run in which the token before it is another; four places",
    control="the same, if the token at the place itself is another",
    holds=lambda value, control: min(value) > 0.6 and max(control) < 0.02,
)
def a_key_tells_of_the_token_before(lab: Lab) -> tuple[list[float], list[float]]:
    ids, places = tokens(lab), (10, 20, 30, 40)
    fresh = torch.randint(
        FIRST_ID, lab.model.config.vocab_size, (len(ids),), generator=torch.Generator().manual_seed(1)
    )
    layer, head = best(lab)
    keys, probs = f"h.{layer}.attn.k", f"h.{layer}.attn.probs"

    def lost(place: int, exchanged: int) -> float:
        changed = ids.clone()
        changed[:, exchanged] = fresh
        edit = {keys: patch(lab.trace(changed, [keys])[keys], pos=place)}
        before, after = (lab.trace(ids, [probs], edit)[probs][:, head] for edit in ({}, edit))
        query = place - 1 + HALF
        return float((before - after)[:, query, place].mean())

    return [lost(place, place - 1) for place in places], [lost(place, place) for place in places]


@claim(
    "bloomlab.mean() puts what is usual in a batch in their place, and then less of the stripe is lost.",
    said_in=LESSON,
    value="the stripe with the mean in place of each of the three earlier heads, and of all three",
    control="the stripe with zeros there",
    holds=lambda value, control: all(usual > none + 0.01 for usual, none in zip(value, control, strict=True)),
)
def the_mean_takes_less_than_zeros(lab: Lab) -> tuple[list[float], list[float]]:
    groups = [*([head] for head in earlier(lab)), earlier(lab)]
    usual = [
        looking(lab, {f"h.{layer}.attn.mixed": mean(head=head) for layer, head in group})[0][best(lab)]
        for group in groups
    ]
    return [float(share) for share in usual], [stripe(lab, *group) for group in groups]


# ------------------------------------------------------------------------------------------ the city


@lru_cache(maxsize=2)
def city_map(lab: Lab) -> Tensor:
    """How likely the other story's city becomes, with each of its states in turn: (layer, pos, story)."""
    stories = recaps(lab, STORIES)
    other = lab.trace([story.other_text for story in stories], ["resid_post"])
    ids = ids_of(lab, [story.other for story in stories])
    texts = [story.text for story in stories]

    def chance(spot: str, pos: int) -> list[float]:
        return chances(lab.trace(texts, ["logits"], {spot: patch(other[spot], pos=pos)})["logits"], ids)

    spots = [f"h.{layer}.resid_post" for layer in range(lab.model.config.n_layer)]
    return torch.tensor([[chance(spot, pos) for pos in range(LAST + 1)] for spot in spots])


def other_city(lab: Lab, layer: int, place: int, everywhere: bool) -> Asked:
    """The chance of the other story's city, with one state of it, in a story and in 8 others."""
    first, *others = [Case(one.text, one.other_text, f" {one.other}") for one in recaps(lab, 1 + STORIES)]
    edit = {f"h.{layer}.resid_post": copied(first.other, pos=place)}
    given = {"text": first.text, "answer": first.answer, "texts": others, "metric": "probability", "n": 1}
    return {**given, "edit": edit, "everywhere": everywhere}


@finding("After layer 0 the city is carried by the state of its own token.")
def city_after_layer_0(lab: Lab) -> Asked:
    return other_city(lab, 0, NEAR_CITY, everywhere=True)


@finding("After layer 1 the city is carried by the state of its own token.")
def city_after_layer_1(lab: Lab) -> Asked:
    return other_city(lab, 1, NEAR_CITY, everywhere=True)


@finding("After layer 2 the city is carried by the state of its own token.")
def city_after_layer_2(lab: Lab) -> Asked:
    return other_city(lab, 2, NEAR_CITY, everywhere=True)


@claim(
    "For most of the way the city is kept where it was said.",
    said_in=LESSON,
    value="p(the other story's city) with its state from the city's place, after all layers but the last; 8 stories",
    control="the same, with any other state of any token but the last, means of 9 stories; the highest",
    holds=lambda value, control: min(value) > 0.3 and max(control) < 0.1,
    findings=["city-after-layer-0", "city-after-layer-1", "city-after-layer-2"],
)
def the_city_stays_at_its_place(lab: Lab) -> tuple[list[float], float]:
    layers = [checked(lab, f"city-after-layer-{layer}").found for layer in range(3)]
    elsewhere = [one.after for found in layers for one in found.of(PLACES) if one.name != f"token {LAST}"]
    return [after for found in layers for after in found.values(TEXTS).tolist()], max(elsewhere)


@finding("After the last layer the city is in the state of the last token.")
def city_at_the_end(lab: Lab) -> Asked:
    return other_city(lab, 3, LAST, everywhere=False)


@finding("After the layer before it is not: that state brings no city.")
def not_yet_at_the_end(lab: Lab) -> Asked:
    return other_city(lab, 2, LAST, everywhere=False)


@claim(
    "In the last layer it jumps to the end, where it is needed",
    said_in=LESSON,
    value="p(the other story's city) with its last token's state after the last layer; 8 stories",
    control="the same after the layer before",
    holds=lambda value, control: min(value) > 0.6 and max(control) < 0.2,
    untrained="of any model the last state alone decides: this tells only where the map must end",
    findings=["city-at-the-end", "not-yet-at-the-end"],
)
def the_city_jumps_to_the_end(lab: Lab) -> tuple[list[float], list[float]]:
    last, before = (checked(lab, name).found for name in ("city-at-the-end", "not-yet-at-the-end"))
    return last.values(TEXTS).tolist(), before.values(TEXTS).tolist()


@claim(
    "The two heads that looked back on random tokens are the ones that fetch the city.",
    said_in=LESSON,
    value="p(the other story's city) with what these two heads mixed for the last token in it; 8 stories",
    control="the same with every other two neighbouring heads of the model",
    holds=lambda value, control: min(value) > 0.3 and max(control) < 0.1,
)
def the_induction_heads_fetch_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    stories = recaps(lab, STORIES)
    other = lab.trace([story.other_text for story in stories], ["attn.mixed"])
    ids = ids_of(lab, [story.other for story in stories])
    texts = [story.text for story in stories]

    def chance(layer: int, those: list[int]) -> list[float]:
        spot = f"h.{layer}.attn.mixed"
        return chances(lab.trace(texts, ["logits"], {spot: patch(other[spot], head=those, query=LAST)})["logits"], ids)

    two = pair(lab)
    pairs = [(layer, [head, head + 1]) for layer, head in heads(lab) if head % 2 == 0]
    control = [
        one for layer, those in pairs if not {(layer, head) for head in those} & {*two} for one in chance(layer, those)
    ]
    return chance(two[0][0], [head for _, head in two]), control


@lru_cache(maxsize=2)
def probed(lab: Lab) -> Tensor:
    """How often a linear probe reads the city, by state and token: (embed and layers, pos).

    The lesson's stories, in 27 cities: it is fitted to those of two thirds of the people, and tried on the others'.
    """
    others = told_again(lab.tokenizer, 400, between=" ")
    spots = ["embed", *(f"h.{layer}.resid_post" for layer in range(lab.model.config.n_layer))]
    run = lab.trace([one.text for one in others], spots)
    people = [one.text.split()[0] for one in others]
    tried = [person in sorted(set(people))[::3] for person in people]
    return probe(torch.stack([run[spot] for spot in spots]), [str(one.answer) for one in others], tried)


@claim(
    "A linear probe (a matrix fitted to other people's stories) reads it nearly always at He, has and a.",
    said_in=LESSON,
    value="share of 139 stories whose city, one of 27, a linear probe reads at He, has and a, after each layer",
    control="the same at the two tokens before the city",
    holds=lambda value, control: min(value) > 0.8 and max(control) < 0.15,
    untrained="every attention leaves such a trace: the next sentence says so",
)
def other_tokens_hold_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    read = probed(lab)[1:]
    return read[:, AFTER_CITY].flatten().tolist(), read[:, BEFORE_CITY].flatten().tolist()


@claim(
    "But it also can in a model that never learned anything",
    said_in=LESSON,
    value="share of 139 stories whose city a probe reads at He, has and a after each layer of an untrained model",
    control="the same before its first layer",
    holds=lambda value, control: min(value) > 0.8 and max(control) < 0.15,
    untrained="it is about an untrained model",
)
def an_untrained_model_holds_the_city_too(lab: Lab) -> tuple[list[float], list[float]]:
    torch.manual_seed(0)
    blank = Lab(type(lab.model)(lab.model.config), lab.tokenizer)
    read = probed(blank)[:, AFTER_CITY]
    return read[1:].flatten().tolist(), read[0].tolist()


@claim(
    "at the last token the probe reads the city one layer before a patch there changes much",
    said_in=LESSON,
    value="share of stories whose city a probe reads at the last token, before the last layer",
    control="p(the other story's city) with its state from there; the middle one of 8 stories",
    holds=lambda value, control: value[0] > 0.9 and control[0] < 0.05,
)
def readable_comes_before_used(lab: Lab) -> tuple[float, float]:
    return float(probed(lab)[-2, LAST]), median(city_map(lab)[-2, LAST].tolist())


@claim(
    "They know the city, and the answer does not come from them.",
    said_in=LESSON,
    value="share of 139 stories whose city, one of 27, a linear probe reads at He, has and a, after each layer",
    control="p(the other story's city) with its state from there, 8 stories",
    holds=lambda value, control: min(value) > 0.8 and max(control) < 0.1,
    untrained="every attention leaves such a trace, and a patch of one word does nothing in a model that says nothing",
)
def known_is_not_used(lab: Lab) -> tuple[list[float], list[float]]:
    return probed(lab)[1:, AFTER_CITY].flatten().tolist(), city_map(lab)[:, AFTER_CITY].flatten().tolist()


@claim(
    "from the first layer on it does not name the city at its own place, and yet it is there, and is used.",
    said_in=LESSON,
    value="p(the other story's city) with its state from the city's place, after all layers but the last; 8 stories",
    control="whether the lens names the city there (0 or 1)",
    holds=lambda value, control: min(value) > 0.3 and max(control) == 0,
)
def the_lens_misses_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    stories = recaps(lab, STORIES)
    states = lab.trace([story.text for story in stories], ["resid_post"]).stack("resid_post")[:-1, :, NEAR_CITY]
    named = lab.model.lm_head(lab.model.transformer.ln_f(states)).argmax(-1)
    hits = named == ids_of(lab, [story.city for story in stories])
    return city_map(lab)[:-1, NEAR_CITY].flatten().tolist(), hits.float().flatten().tolist()
