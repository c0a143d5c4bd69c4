"""What lesson 13 says: what size buys, what is learned by heart, what shares room, and whom the model expects."""

import math
import random
from functools import cache
from itertools import islice
from statistics import mean

import torch
from torch.nn.functional import normalize

from bloomlab import BloomTokenizerFast, Lab
from bloomlab.lens.superposition import kept, squeezed
from bloomlab.tiny import folder, sizes
from bloomlab.tiny.facts import CITIES, PEOPLE, Pool
from bloomlab.tiny.measure import documents_read, loss, validation_rows
from tests.claims.claim import claim

LESSON = "notebooks/13_three_sizes.ipynb"
TRAINED = "about models that were trained for the lesson, as they were measured then"
TOY = "is about a model that the lesson trains; nothing of the lab's weights is in it"


@cache
def many() -> list[list[float]]:
    """The losses on held-out text of the starts of each size, the smallest size first."""
    return list(sizes.held(sizes.kept(), "many").values())


def few(width: int) -> tuple[float, float]:
    """After twenty documents, again and again: the loss on them, and on held-out text."""
    (run,) = [run for run in sizes.kept() if run["read"] == "few" and run["width"] == width]
    return run["learned"][-1], run["held"][-1]


@claim(
    "A third larger step did not buy as much as the second: the line bends.",
    said_in=LESSON,
    value="share of the loss that is left from the second size to the third, each start",
    control="from the first size to the second",
    holds=lambda value, control: min(value) > max(control) + 0.1,
    untrained=TRAINED,
)
def the_line_bends(lab: Lab) -> tuple[list[float], list[float]]:
    small, middle, large = many()
    return [b / a for a, b in zip(middle, large, strict=True)], [b / a for a, b in zip(small, middle, strict=True)]


@claim(
    "the starts of one size lie much closer together than the sizes do",
    said_in=LESSON,
    value="nats between a size and the next, at the least: the best start of one, the worst of the other",
    control="nats between the starts of a size",
    holds=lambda value, control: min(value) > 2 * max(control),
    untrained=TRAINED,
)
def starts_lie_closer_than_sizes(lab: Lab) -> tuple[list[float], list[float]]:
    small, middle, large = many()
    return [min(small) - max(middle), min(middle) - max(large)], [max(each) - min(each) for each in many()]


@claim(
    "So it is not the text that bends the line: most of it can be learned.",
    said_in=LESSON,
    value="loss of the lab's model on the held-out text",
    control="of the largest of the three, each start",
    holds=lambda value, control: value[0] < min(control) - 0.4,
)
def the_text_can_be_learned(lab: Lab) -> tuple[float, list[float]]:
    return loss(lab.model, validation_rows(lab.tokenizer, 64, sizes.ROWS)), many()[-1]


# ------------------------------------------------------------------------------------ learned by heart


@claim(
    "Worse than a guess. It is sure of what comes next, as it was in its twenty, and whoever is sure pays most when it "
    "comes otherwise.",
    said_in=LESSON,
    value="loss on held-out text of the three that have read twenty documents again and again",
    control="a guess among 3,072 tokens; and their losses on the twenty",
    holds=lambda value, control: min(value) > max(control) + 1,
    untrained=TRAINED,
)
def by_heart_is_worse_than_a_guess(lab: Lab) -> tuple[list[float], list[float]]:
    learned, held = zip(*map(few, sizes.WIDTHS), strict=True)
    return list(held), [math.log(3072), *learned]


@claim(
    "Most of them it recites, and of documents that it has not read, none.",
    said_in=LESSON,
    value="share of its documents that it goes on with for twelve tokens, word for word",
    control="of as many others",
    holds=lambda value, control: value[0] > 0.5 and control[0] == 0,
    untrained=TRAINED,
)
def it_recites(lab: Lab) -> tuple[float, float]:
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    reader = Lab(sizes.by_heart(), tokenizer)

    def share(texts: list[str]) -> float:
        ids = [row for row in map(tokenizer.encode, texts) if len(row) >= 24]
        said = [reader.generate(tokenizer.decode(row[:12]), 12, progress=False) for row in ids]
        return mean(one == tokenizer.decode(row[:24]) for one, row in zip(said, ids, strict=True))

    told = sizes.texts(3 * sizes.FEW)
    return share(told[: sizes.FEW]), share(told[sizes.FEW :])


# --------------------------------------------------------------------------------------- superposition


@claim(
    "Two features that are seldom there together may share room: they disturb each other, but rarely.",
    said_in=LESSON,
    value="features that are kept in 5 dimensions, each there 3 times in 100; two starts",
    control="each there always",
    holds=lambda value, control: min(value) > 12 and max(control) == 5,
    untrained=TOY,
)
def rare_features_share_room(lab: Lab) -> tuple[list[float], list[float]]:
    return [kept(squeezed(0.03, seed=seed)) for seed in (0, 1)], [kept(squeezed(1, seed=seed)) for seed in (0, 1)]


def typical(rows: torch.Tensor) -> float:
    """The median cosine of two rows, without its sign."""
    rows = normalize(rows, dim=1)
    return float((rows @ rows.T)[~torch.eye(len(rows), dtype=torch.bool)].abs().median())


@claim(
    "Nearly as close to a right angle as if they were random: in 128 dimensions there is room for thousands of "
    "directions that hardly disturb each other. Words of one kind are another matter.",
    said_in=LESSON,
    value="median cosine of two cities in the lab's table, and of two people",
    control="of any two tokens; of two random directions",
    holds=lambda value, control: min(value) > 0.3 and max(control) < 0.1,
)
def tokens_stand_nearly_at_right_angles(lab: Lab) -> tuple[list[float], list[float]]:
    table = lab.model.transformer.word_embeddings.weight.detach()
    kinds = [[lab.tokens(f" {word}").ids for word in words] for words in (CITIES, PEOPLE)]
    drawn = torch.randn(table.shape, generator=torch.Generator().manual_seed(0))
    return [typical(table[[ids[0] for ids in kind if len(ids) == 1]]) for kind in kinds], [
        typical(table),
        typical(drawn),
    ]


# ------------------------------------------------------------------------------------------------ bias


def she(lab: Lab, names: list[str]) -> float:
    """The share of She among She and He after "… lives in a city.", on average over the names and two cities."""
    texts = [f"{name} lives in {city}." for name in names for city in ("Oslo", "Lima")]
    last = lab.trace(texts, ["logits"])["logits"][:, -1].softmax(-1)
    women, men = (last[:, lab.tokens(word)[0].id] for word in (" She", " He"))
    return float((women / (women + men)).mean())


@claim(
    "Well above what it read, and for the men of its own texts, too, it is about even.",
    said_in=LESSON,
    value="share of She among She and He: for sixty people with names that it has never read",
    control="in 4,000 documents that it has read; and for the men of its own texts",
    holds=lambda value, control: value[0] > 0.58 > max(control) and min(control) > 0.4,
)
def it_expects_she(lab: Lab) -> tuple[float, list[float]]:
    draw = random.Random(0)
    strangers = [Pool(unseen=True).person(draw) for _ in range(60)]
    text = " ".join(islice(documents_read(folder()), 4000))
    told = text.count(" She ") / (text.count(" She ") + text.count(" He "))
    return she(lab, strangers), [told, she(lab, [name for name in PEOPLE if PEOPLE[name][0] == "m"])]
