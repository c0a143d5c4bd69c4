"""What lesson 02 says: rows of similar words are neighbours; a layer norm drops length and mean."""

from itertools import product
from statistics import mean

from torch import Tensor
from torch.nn.functional import normalize

from bloomlab import BloomForCausalLM, Lab
from bloomlab.tiny.facts import CITIES, WORDS
from bloomlab.tiny.language import LANGUAGES
from tests.claims.claim import claim
from tests.claims.stories import ids_of, one_token

FOOD = "rice eggs bread apples bananas tomatoes mangoes oranges honey cheese".split()
LESSON = "notebooks/02_embeddings.ipynb"


def directions(model: BloomForCausalLM) -> Tensor:
    """The rows of the table, each with length 1."""
    return normalize(model.transformer.word_embeddings.weight.detach(), dim=-1)


def same_kind(lab: Lab, model: BloomForCausalLM) -> list[float]:
    """For animals, cities, food and digits: how many of the 5 nearest rows are of the same kind, as a share."""
    rows, shares = directions(model), []
    for kind, before in ((WORDS["animal"], " "), (CITIES, " "), (FOOD, " "), ("0123456789", "")):
        ids = ids_of(lab, one_token(lab, kind, before), before)
        nearest = (rows[ids] @ rows.T).topk(6).indices[:, 1:]  # the nearest of all is the word itself
        shares.append(float((nearest[..., None] == ids).any(-1).float().mean()))
    return shares


@claim(
    "Mostly animals near the cat, cities near Oslo, food near the eggs, digits near 7.",
    said_in=LESSON,
    value="share of the 5 nearest rows that are of the same kind: animals, cities, food, digits",
    control="one word in a hundred of the vocabulary: what chance would give at most",
    holds=lambda value, control: min(value) > 0.5 > control[0],
)
def words_of_a_kind_are_neighbours(lab: Lab) -> tuple[list[float], float]:
    return same_kind(lab, lab.model), len(CITIES) / lab.model.config.vocab_size


@claim(
    "In a model that was never trained there are no such neighbours.",
    said_in=LESSON,
    value="share of the 5 nearest rows that are of the same kind, trained",
    control="never trained",
    holds=lambda value, control: min(value) > 0.5 and max(control) < 0.1,
)
def an_untrained_model_has_no_such_neighbours(lab: Lab) -> tuple[list[float], list[float]]:
    return same_kind(lab, lab.model), same_kind(lab, BloomForCausalLM(lab.model.config))


@claim(
    "With their own language: each lies near the other animals of that language, and *cat* is farther away.",
    said_in=LESSON,
    value="cosine of an animal and the other animals of its language, mean of six languages",
    control="of an animal and its name in the other languages",
    holds=lambda value, control: value[0] > control[0] + 0.15,
)
def animals_lie_with_their_own_language(lab: Lab) -> tuple[float, float]:
    rows, ids = directions(lab.model), {}
    for code, animal in product(("en", "fr", "es", "id", "vi", "sw"), WORDS["animal"]):
        word = LANGUAGES[code].word("animal", animal)["one"]
        if one_token(lab, [word]):
            ids[code, animal] = int(ids_of(lab, [word]))
    pairs = [(one, other) for one, other in product(ids, ids) if ids[one] != ids[other]]
    cosine = {pair: float(rows[ids[pair[0]]] @ rows[ids[pair[1]]]) for pair in pairs}
    company = mean(cosine[one, other] for one, other in pairs if one[0] == other[0])
    return company, mean(cosine[one, other] for one, other in pairs if one[1] == other[1])


@claim(
    "After the norm, neither the length of a row matters nor its mean",
    said_in=LESSON,
    value="change of the normed row when it is tripled, and when 1 is added to all of it",
    control="when 1 is added to its first number only",
    holds=lambda value, control: max(value) < 0.05 < control[0],
    untrained="a fact about every layer norm",
)
def a_layer_norm_drops_length_and_mean(lab: Lab) -> tuple[list[float], float]:
    norm = lab.model.transformer.word_embeddings_layernorm
    row = lab.model.transformer.word_embeddings.weight[lab.tokens(" Leo")[0].id].detach()
    uneven = row.clone()
    uneven[0] += 1
    tripled, shifted, other = (
        float((norm(changed) - norm(row)).abs().max().detach()) for changed in (3 * row, row + 1, uneven)
    )
    return [tripled, shifted], other
