"""What lesson 00 says: one head marks where a recap starts, and sixteen numbers switch copying on."""

from statistics import mean
from typing import Any

import torch
from torch import Tensor

from bloomlab import Lab, copied, drawn, hold, zero
from bloomlab.hooks import Edit
from bloomlab.lens.cases import Case
from bloomlab.lens.refute import HEADS, PLACES, RANDOM, TEXTS, Refutation
from bloomlab.lens.sizes import parts
from tests.claims.claim import claim
from tests.claims.kept import Asked, checked, finding
from tests.claims.stories import Recap, chances, ids_of, recaps

LESSON = "notebooks/00_welcome.ipynb"
CITY, STOP = 3, 16  # where a recap has the city, and the full stop after "again"
OTHER_STOPS = 4, 9  # the full stops of the story itself
MARK = "h.0.attn.mixed"  # the spot of the head that marks a recap
STORIES = 8
FEW = 5  # stories, where every head or every place is tried


def chance(lab: Lab, story: Recap, edit: dict[str, Edit] | None = None, text: str = "") -> float:
    """How likely the story's own city is to come next."""
    probs = lab.trace(text or story.text, read=["logits"], edit=edit)["logits"][0, -1].softmax(-1)
    return float(probs[lab.tokens(f" {story.city}")[0].id])


def plain(story: Recap) -> str:
    """The story without the announcement: "Let us say it cat." is as long, and announces nothing."""
    return story.text.replace("again", "cat")


@claim(
    "most of them are in the MLPs, then comes the table, then attention.",
    said_in=LESSON,
    value="learned numbers in the MLPs, and in the table",
    control="in the table, and in attention",
    holds=lambda value, control: value[0] > control[0] and value[1] > control[1],
    untrained="it counts the numbers, whatever they are",
)
def most_numbers_are_in_the_mlps(lab: Lab) -> tuple[list[float], list[float]]:
    counted = parts(lab.model.config)
    return [counted["MLPs"], counted["embedding"]], [counted["embedding"], counted["attention"]]


@claim(
    "“Let us say it again” announces that a story will be told once more.",
    said_in=LESSON,
    value="p(city) with “again”, 8 stories",
    control="with “cat” in its place",
    holds=lambda value, control: min(value) > 0.7 and max(control) < 0.2,
)
def again_announces_a_recap(lab: Lab) -> tuple[list[float], list[float]]:
    stories = recaps(lab, STORIES)
    return [chance(lab, story) for story in stories], [chance(lab, story, text=plain(story)) for story in stories]


def looks_of_the_last(lab: Lab, layer: int) -> Tensor:
    """How much the last token looks at each, in 8 stories: (story, head, key)."""
    spot = f"h.{layer}.attn.probs"
    return torch.stack([lab.trace(story.text, read=[spot])[spot][0, :, -1] for story in recaps(lab, STORIES)])


@claim(
    "It looks at the very word that comes next.",
    said_in=LESSON,
    value="attention of head 5 of layer 3 from the last token to the city, the least of 8 stories",
    control="to any other token, the most of 8 stories",
    holds=lambda value, control: value[0] > 0.6 and control[0] < 0.4,
)
def one_head_looks_at_the_city(lab: Lab) -> tuple[float, float]:
    looks = looks_of_the_last(lab, 3)[:, 5]
    others = looks[:, [key for key in range(looks.shape[1]) if key != CITY]]
    return float(looks[:, CITY].min()), float(others.max())


@claim(
    "Two heads of layer 3, the last layer, look at Oslo",
    said_in=LESSON,
    value="attention of heads 4 and 5 of layer 3 to the city, mean of 8 stories",
    control="of the other heads of that layer",
    holds=lambda value, control: min(value) > 0.5 and max(control) < 0.5,
)
def two_heads_of_the_last_layer_look_at_the_city(lab: Lab) -> tuple[list[float], list[float]]:
    looks = looks_of_the_last(lab, 3)[:, :, CITY].mean(0).tolist()
    return looks[4:6], [*looks[:4], *looks[6:]]


def silenced(lab: Lab, layer: int, heads: int | list[int], count: int = STORIES) -> list[float]:
    """p(city) in each story without these heads."""
    return [chance(lab, story, {f"h.{layer}.attn.mixed": zero(head=heads)}) for story in recaps(lab, count)]


@claim(
    "Without that head some of the probability is left, without both heads that look there hardly any.",
    said_in=LESSON,
    value="p(city) without that head, mean of 8 stories",
    control="without both heads that look there",
    holds=lambda value, control: value[0] > 0.25 and control[0] < value[0] / 2,
)
def two_heads_look_at_the_city(lab: Lab) -> tuple[float, float]:
    looks = [
        lab.trace(story.text, read=["h.3.attn.probs"])["h.3.attn.probs"][0, :, -1, CITY]
        for story in recaps(lab, STORIES)
    ]
    first, second = torch.stack(looks).mean(0).topk(2).indices.tolist()
    alone, both = silenced(lab, 3, first), silenced(lab, 3, [first, second])
    return mean(alone), mean(both)


@claim(
    "With zeros in place of head 1 of layer 0 little is left of Oslo, and no other head is missed as much.",
    said_in=LESSON,
    value="p(city) lost without head 1 of layer 0, mean of 5 stories",
    control="lost without the next most needed head of all 32",
    holds=lambda value, control: value[0] > 0.5 and value[0] > control[0] + 0.1,
)
def one_head_is_missed_most(lab: Lab) -> tuple[float, float]:
    whole = sum(chance(lab, story) for story in recaps(lab, FEW))
    lost = {
        (layer, head): (whole - sum(silenced(lab, layer, head, FEW))) / FEW for layer in range(4) for head in range(8)
    }
    first = lost.pop((0, 1))
    return first, max(lost.values())


def asked(lab: Lab, announced: bool, edit: dict[str, Any], everywhere: bool = False) -> Asked:
    """The chance of the own city in a story and in 8 others, with an edit; `copied` copies from the announced story."""
    stories = recaps(lab, 1 + STORIES)
    cases = [Case(story.text if announced else plain(story), story.text, f" {story.city}") for story in stories]
    given = {"text": cases[0].text, "answer": cases[0].answer, "texts": cases[1:], "metric": "probability"}
    return {**given, "edit": edit, "everywhere": everywhere, "n": 20 if everywhere else 1}


def lost_in(found: Refutation) -> list[float]:
    """How much of the chance an edit takes away in each of the 8 other stories."""
    return [-change for change in found.changes(TEXTS).tolist()]


def lost_at(lab: Lab, place: int, count: int = STORIES) -> list[float]:
    """How much p(city) falls when the head is silenced at one place."""
    edit: dict[str, Edit] = {MARK: zero(head=1, query=place)}
    return [chance(lab, story) - chance(lab, story, edit) for story in recaps(lab, count)]


@finding("Head 1 of layer 0 is needed at the full stop after “again”, and at no other token.")
def full_stop(lab: Lab) -> Asked:
    return asked(lab, True, {MARK: zero(head=1, query=STOP)}, everywhere=True)


@claim(
    "It is needed at one place only: the full stop after “again”. At the city it can go, and nothing is lost.",
    said_in=LESSON,
    value="p(city) lost when it is silenced at the full stop, 8 stories",
    control="when it is silenced at the city, mean of 9 stories",
    holds=lambda value, control: min(value) > 0.5 and max(control) < 0.05,
    findings=["full-stop"],
)
def it_is_needed_at_the_full_stop_only(lab: Lab) -> tuple[list[float], float]:
    found = checked(lab, "full-stop").found
    (city,) = [place for place in found.of(PLACES) if place.name == f"token {CITY}"]
    return lost_in(found), -city.change


@finding("With what head 1 of layer 0 writes in other stories that are told again nothing is lost.")
def told_again(lab: Lab) -> Asked:
    texts = [story.text for story in recaps(lab, 64, seed=5)]
    return asked(lab, True, {MARK: drawn(texts, head=1, query=STOP)})


@finding("With what head 1 of layer 0 writes in stories that announce nothing the city is lost.")
def announces_nothing(lab: Lab) -> Asked:
    texts = [plain(story) for story in recaps(lab, 64, seed=5)]
    return asked(lab, True, {MARK: drawn(texts, head=1, query=STOP)})


@claim(
    "Put in what this head writes in other stories that are told again, and nothing is lost. "
    "Put in what it writes in stories that announce nothing, and Oslo is lost as before.",
    said_in=LESSON,
    value="p(city) with the head's numbers from one of 64 other stories that are told again, 8 stories",
    control="from one of 64 stories that announce nothing",
    holds=lambda value, control: min(value) > 0.7 and max(control) < 0.3,
    findings=["told-again", "announces-nothing"],
)
def its_numbers_say_that_a_story_is_told_again(lab: Lab) -> tuple[list[float], list[float]]:
    with_others, with_none = (checked(lab, name).found for name in ("told-again", "announces-nothing"))
    return with_others.values(TEXTS).tolist(), with_none.values(TEXTS).tolist()


@claim(
    "Put the recap on a line of its own, and the head can go everywhere: nothing is lost.",
    said_in=LESSON,
    value="p(city) lost when it is silenced at every token, recap on a line of its own, 8 stories",
    control="the same stories with the recap on the same line",
    holds=lambda value, control: max(value) < 0.05 and min(control) > 0.5,
)
def on_a_line_of_its_own_it_is_not_needed(lab: Lab) -> tuple[list[float], list[float]]:
    edit: dict[str, Edit] = {MARK: zero(head=1)}

    def lost(text: str, city: str) -> float:
        whole, silent = (lab.trace(text, read=["logits"], edit=each)["logits"][0, -1:] for each in (None, edit))
        before, after = (chances(logits[None], ids_of(lab, [city]))[0] for logits in (whole, silent))
        return before - after

    stories = recaps(lab, STORIES)
    apart = [lost(story.text.replace(". Let us", ".\nLet us"), story.city) for story in stories]
    return apart, [lost(story.text, story.city) for story in stories]


@claim(
    "at no other place does it take away more than a tenth",
    said_in=LESSON,
    value="p(city) lost at the full stop, the least of 5 stories",
    control="lost at any other place, the most of 5 stories",
    holds=lambda value, control: control[0] < 0.1 < value[0],
)
def no_other_place_matters(lab: Lab) -> tuple[float, float]:
    elsewhere = [
        max(lost_at(lab, place, FEW)) for place in range(len(lab.tokens(recaps(lab, 1)[0].text))) if place != STOP
    ]
    return min(lost_at(lab, STOP, FEW)), max(elsewhere)


def logits_with_the_mark(lab: Lab, story: Recap) -> Tensor:
    """What is said at the end of a plain story, with the head's numbers copied from "again"."""
    edit: dict[str, Edit] = {MARK: copied(story.text, head=1, query=STOP)}
    logits: Tensor = lab.trace(plain(story), read=["logits"], edit=edit)["logits"][0, -1]
    return logits


@finding("Sixteen numbers, copied from the same story with “again”, switch copying on.")
def sixteen(lab: Lab) -> Asked:
    return sixteen_with(lab, {}, everywhere=True)


def sixteen_with(lab: Lab, held: dict[str, Any], everywhere: bool = False) -> Asked:
    """The sixteen numbers copied, with other parts held as they were."""
    copies = copied(recaps(lab, 1)[0].text, head=1, query=STOP)
    return asked(lab, False, {MARK: copies, **held}, everywhere)


@claim(
    "Copy those 16 numbers into a story that announces nothing, and it is told again all the same.",
    said_in=LESSON,
    value="p(city) with the head's 16 numbers copied there, mean of 9 stories",
    control="with a change of the same size in each of 20 random directions",
    holds=lambda value, control: value[0] > 0.4 and max(control) < 0.2,
    findings=["sixteen"],
)
def sixteen_numbers_switch_copying_on(lab: Lab) -> tuple[float, list[float]]:
    found = checked(lab, "sixteen").found
    return found.after, found.values(RANDOM).tolist()


@claim(
    "In every story that we tried, the right city then came first",
    said_in=LESSON,
    value="share of 8 stories in which no token is likelier than the right city",
    control="without the 16 numbers",
    holds=lambda value, control: value[0] == 1 and control[0] < 0.6,
)
def the_right_city_comes_first(lab: Lab) -> tuple[float, float]:
    stories = recaps(lab, STORIES)
    cities = ids_of(lab, [story.city for story in stories])
    marked = torch.stack([logits_with_the_mark(lab, story) for story in stories])
    bare = torch.stack([lab.trace(plain(story), read=["logits"])["logits"][0, -1] for story in stories])
    return float((marked.argmax(-1) == cities).float().mean()), float((bare.argmax(-1) == cities).float().mean())


@claim(
    "The same numbers of another head, or at another place, do nothing.",
    said_in=LESSON,
    value="p(city) with that head's numbers at the full stop, mean of 9 stories",
    control="the best of the other seven heads there, and of that head at all other places",
    holds=lambda value, control: value[0] > 0.4 and max(control) < 0.25,
    findings=["sixteen"],
)
def other_heads_and_places_do_nothing(lab: Lab) -> tuple[float, list[float]]:
    found = checked(lab, "sixteen").found
    return found.after, [found.furthest(kind).after for kind in (HEADS, PLACES)]


@claim(
    "It looks at again and at nothing else",
    said_in=LESSON,
    value="attention from that full stop to the token before it, the least of 8 stories",
    control="from the other two full stops to the token before, the most",
    holds=lambda value, control: value[0] > 0.9 and control[0] < 0.5,
)
def it_looks_at_again(lab: Lab) -> tuple[float, float]:
    looks = [lab.trace(story.text, read=["h.0.attn.probs"])["h.0.attn.probs"][0, 1] for story in recaps(lab, STORIES)]
    others = [look[stop, stop - 1] for look in looks for stop in OTHER_STOPS]
    return float(min(look[STOP, STOP - 1] for look in looks)), float(max(others))


@finding("Held as they were, the queries of head 1 of layer 1 leave the copying as it is.")
def queries_held(lab: Lab) -> Asked:
    return sixteen_with(lab, {"h.1.attn.q": hold(head=1)})


@finding("Held as they were, the keys of head 1 of layer 1 leave no copying: it finds the place by them.")
def keys_held(lab: Lab) -> Asked:
    return sixteen_with(lab, {"h.1.attn.k": hold(head=1)})


@claim(
    "head 1 of the next layer finds that place by it",
    said_in=LESSON,
    value="p(city) with the 16 numbers, that head's queries as they were without, mean of 8 stories",
    control="with its keys as they were without",
    holds=lambda value, control: value[0] > 0.4 and control[0] < 0.2,
    findings=["queries-held", "keys-held"],
)
def the_next_layer_finds_the_mark(lab: Lab) -> tuple[float, float]:
    queries, keys = (checked(lab, name).found.values(TEXTS).mean().item() for name in ("queries-held", "keys-held"))
    return queries, keys
