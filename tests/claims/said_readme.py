"""What the README says of the head in its example."""

import torch

from bloomlab import Lab, zero
from bloomlab.hooks import Edit
from tests.claims.claim import claim
from tests.claims.said_00_welcome import CITY, MARK, STOP, STORIES, chance, lost_at
from tests.claims.stories import recaps

README = "README.md"


@claim(
    "put zeros in that head's place at the full stop after “again”, and the city is lost",
    said_in=README,
    value="p(city) lost, 8 stories",
    control="when head 2 of that layer is silenced there",
    holds=lambda value, control: min(value) > 0.5 and max(control) < 0.5,
)
def the_readme_example_holds_in_other_stories(lab: Lab) -> tuple[list[float], list[float]]:
    other: dict[str, Edit] = {MARK: zero(head=2, query=STOP)}
    return lost_at(lab, STOP), [chance(lab, story) - chance(lab, story, other) for story in recaps(lab, STORIES)]


@claim(
    "although it was another head that looked at it",
    said_in=README,
    value="attention from the end to the city: the head that gives it most, the least of 8 stories",
    control="the head that is silenced, the most of 8 stories",
    holds=lambda value, control: value[0] > 0.5 and control[0] < 0.05,
)
def another_head_looks_at_the_city(lab: Lab) -> tuple[float, float]:
    looks = torch.stack(
        [
            lab.trace(story.text, read=["attn.probs"]).stack("attn.probs")[:, 0, :, -1, CITY]
            for story in recaps(lab, STORIES)
        ]
    )
    return float(looks.flatten(1).max(1).values.min()), float(looks[:, 0, 1].max())
