"""What lesson 02b says: what counting pairs is worth, where descent ends, what a BLOOM learns in 300 steps."""

import math
import random
from functools import cache
from statistics import mean

import torch
from torch import Tensor

from bloomlab import BloomConfig, BloomForCausalLM, BloomTokenizerFast, Lab
from bloomlab.tiny.facts import CITIES, PEOPLE
from bloomlab.tiny.from_nothing import ids_of, own_tokenizer, pair_table, pieces, stories
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import loss, sentences
from tests.claims.claim import claim

LESSON = "notebooks/02b_train_one.ipynb"
ITS_OWN = "is about a model that the lesson trains; nothing of the lab's weights is in it"
AT = (20, 60, 300)  # steps at which the model is kept
STEPS, RATE = 300, 0.003


@cache
def read() -> list[str]:
    return stories(3000)


@cache
def tokenizer() -> BloomTokenizerFast:
    return own_tokenizer(read())


@cache
def stream() -> Tensor:
    return ids_of(read(), tokenizer())


@cache
def exam() -> Tensor:
    return ids_of(stories(100, "exam", held=True), tokenizer())


@cache
def counts() -> Tensor:
    size, ids = tokenizer().vocab_size, stream()
    return torch.bincount(ids[:-1] * size + ids[1:], minlength=size**2).reshape(size, size).float()


def by_pairs() -> float:
    """The loss of the table of pairs in the exam."""
    return float(-pair_table(counts())[exam()[:-1], exam()[1:]].log().mean())


def mark(model: BloomForCausalLM) -> float:
    return loss(model, exam().unfold(0, 64, 64))


def trained(steps: int, rate: float = RATE, ids: Tensor | None = None, keep: tuple[int, ...] = ()) -> "Training":
    """The lesson's training: the model, its loss at each step, and the model as it was after the steps of `keep`."""
    torch.manual_seed(0)
    model = BloomForCausalLM(BloomConfig(vocab_size=tokenizer().vocab_size, hidden_size=64, n_layer=2, n_head=4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    kept, losses = {0: copied(model)}, []
    for step in range(steps):
        read = pieces(stream() if ids is None else ids, step)
        surprise = model(read, labels=read).loss
        assert surprise is not None
        optimizer.zero_grad()
        surprise.backward()
        optimizer.step()
        losses.append(surprise.item())
        if step + 1 in keep:
            kept[step + 1] = copied(model)
    return model, losses, kept


Training = tuple[BloomForCausalLM, list[float], dict[int, BloomForCausalLM]]


def copied(model: BloomForCausalLM) -> BloomForCausalLM:
    other = BloomForCausalLM(model.config)
    other.load_state_dict(model.state_dict())
    return other


@cache
def the_training() -> Training:
    return trained(STEPS, keep=AT)


@cache
def short(rate: float = RATE, few: int = 0) -> tuple[float, float]:
    """Sixty steps, on all stories or on a few: the loss of the last step, and the mark in the exam."""
    model, losses, _ = trained(60, rate, ids_of(read()[:few], tokenizer()) if few else None)
    return losses[-1], mark(model)


def context(model: BloomForCausalLM, length: int) -> float:
    """The loss in the exam of a model that may read so many tokens before each."""
    windows = exam().unfold(0, length + 1, 1)
    with torch.no_grad():
        scores = torch.cat([model(part[:, :-1]).logits[:, -1] for part in windows.split(512)])
    return float(torch.nn.functional.cross_entropy(scores, windows[:, -1]))


def surprises(model: BloomForCausalLM) -> tuple[list[float], list[float]]:
    """At names and cities (their first tokens), and at the rest of "Let us say it again."."""
    rows = exam().unfold(0, 64, 64)
    with torch.no_grad():
        logits = model(rows).logits[:, :-1]
    nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
    encode = tokenizer().encode
    names = torch.tensor(sorted({encode(f" {word}")[0] for word in (*PEOPLE, *CITIES)}))
    phrase = torch.tensor([encode(word)[0] for word in (" us", " say", " it", " again")])
    found = rows[:, 1:]
    at_names, at_phrase = ([float(nats[found == i].mean()) for i in ids if i in found] for ids in (names, phrase))
    return at_names, at_phrase


def grammatical(model: BloomForCausalLM) -> float:
    """The share of what it babbles, 30 times, that is a sentence the world could say."""
    lab = Lab(model, tokenizer())
    said = [
        sentence
        for seed in range(30)
        for sentence in sentences(lab.generate("Leo", max_new_tokens=24, do_sample=True, seed=seed))
    ]
    return sum(LANGUAGES["en"].says(sentence) for sentence in said) / max(len(said), 1)


def right_city(one: Lab) -> tuple[float, float]:
    """In forty stories told again, the mean chance of the right city, and of all cities together."""
    rng = random.Random(0)
    encode = tokenizer().encode
    cities = [city for city in CITIES if len(encode(f" {city}")) == len(one.tokens(f" {city}")) == 1]
    ids = torch.tensor([one.tokens(f" {city}")[0].id for city in cities])
    right, all_cities = [], []
    for _ in range(40):
        name, city = rng.choice(["Leo", "Paul", "Hugo"]), rng.randrange(len(cities))
        text = f"{name} lives in {cities[city]}. He has a cat.\nLet us say it again. {name} lives in"
        probs = one.trace(text, ["logits"])["logits"][0, -1].softmax(-1)[ids]
        right.append(float(probs[city]))
        all_cities.append(float(probs.sum()))
    return mean(right), mean(all_cities)


# ----------------------------------------------------------------------------------------- the claims


@claim(
    "Nearly all pairs never occur.",
    said_in=LESSON,
    value="share of the table's cells that are above 0",
    control="share of its rows that have such a cell",
    holds=lambda value, control: value[0] < 0.01 < control[0],
    untrained=ITS_OWN,
)
def nearly_all_pairs_never_occur(lab: Lab) -> tuple[float, float]:
    seen = counts() > 0
    return float(seen.float().mean()), float(seen.any(1).float().mean())


@claim(
    "Every two neighbours fit together, but most of the sentences do not: the table does not know what came two tokens "
    "ago.",
    said_in=LESSON,
    value="share of the sentences drawn from the table of pairs that the world could say",
    control="the same of the model after 300 steps",
    holds=lambda value, control: value[0] < 0.5 and control[0] > value[0] + 0.15,
    untrained=ITS_OWN,
)
def a_table_of_pairs_writes_no_sentences(lab: Lab) -> tuple[float, float]:
    table, said = pair_table(counts()), []
    for _ in range(30):
        written = tokenizer().encode("Leo")
        for _ in range(24):
            written.append(int(torch.multinomial(table[written[-1]], 1)))
        said += sentences(tokenizer().decode(written))
    return sum(LANGUAGES["en"].says(sentence) for sentence in said) / len(said), grammatical(the_training()[0])


@claim(
    "Counting pairs takes away most of the surprise: e to this loss is the number of tokens between which the table "
    "hesitates, about six instead of 706.",
    said_in=LESSON,
    value="e to the table's loss in the exam",
    control="e to the loss of a model that was never trained",
    holds=lambda value, control: 5.5 < value[0] < 6.5 and 550 < control[0] < 850,
    untrained=ITS_OWN,
)
def counting_takes_most_of_the_surprise_away(lab: Lab) -> tuple[float, float]:
    return math.exp(by_pairs()), math.exp(mark(the_training()[2][0]))


@claim(
    "The bottom of the valley is where the model says what the counts say.",
    said_in=LESSON,
    value="how far p is from the share that was counted, after a hundred steps down",
    control="where it began",
    holds=lambda value, control: value[0] < 0.005 < control[0],
    untrained=ITS_OWN,
)
def descent_ends_where_counting_does(lab: Lab) -> tuple[float, float]:
    row = counts()[tokenizer().encode(" is")[0]]
    share = row[tokenizer().encode(" the")[0]] / row.sum()
    w = torch.tensor(3.0)
    began = torch.sigmoid(w)
    for _ in range(100):
        w = w - (torch.sigmoid(w) - share)  # the derivative of the loss by w
    return float((torch.sigmoid(w) - share).abs()), float((began - share).abs())


@claim(
    "A model that knows nothing gives every token about the same probability, so its loss is close to the log of the "
    "number of tokens.",
    said_in=LESSON,
    value="how far the first loss is from the log of 706",
    control="the same after 300 steps",
    holds=lambda value, control: value[0] < 0.1 < control[0],
    untrained=ITS_OWN,
)
def the_first_loss_is_that_of_a_guess(lab: Lab) -> tuple[float, float]:
    _, losses, _ = the_training()
    return abs(losses[0] - math.log(706)), abs(losses[-1] - math.log(706))


@claim(
    "First bytes at random, then tokens that are common, then pairs that fit, then whole sentences.",
    said_in=LESSON,
    value="share of its sentences that the world could say, after 300 steps",
    control="after 20 steps, and after none",
    holds=lambda value, control: value[0] > 0.5 and max(control) < 0.05,
    untrained=ITS_OWN,
)
def whole_sentences_come_last(lab: Lab) -> tuple[float, list[float]]:
    model, _, kept = the_training()
    return grammatical(model), [grammatical(kept[20]), grammatical(kept[0])]


@claim(
    "The curve falls steeply, then ever more slowly",
    said_in=LESSON,
    value="by how much the mark in the exam falls in the first 60 steps, in nats",
    control="in the 240 steps after them",
    holds=lambda value, control: value[0] > 3 * control[0] > 0,
    untrained=ITS_OWN,
)
def the_curve_falls_ever_more_slowly(lab: Lab) -> tuple[float, float]:
    model, _, kept = the_training()
    return mark(kept[0]) - mark(kept[60]), mark(kept[60]) - mark(model)


@claim(
    "From here on it must use more than the last token.",
    said_in=LESSON,
    value="loss in the exam when it may read two tokens before each, and when it may read 32",
    control="when it may read one, and the loss of the table of pairs",
    holds=lambda value, control: max(value) < min(control) - 0.1,
    untrained=ITS_OWN,
)
def it_uses_more_than_the_last_token(lab: Lab) -> tuple[list[float], list[float]]:
    model = the_training()[0]
    return [context(model, 2), context(model, 32)], [context(model, 1), by_pairs()]


@claim(
    "In the exam, too, it is less surprised than the table, so it has not just learned its stories by heart.",
    said_in=LESSON,
    value="its loss in the exam after 300 steps",
    control="the table's",
    holds=lambda value, control: value[0] < control[0] - 0.2,
    untrained=ITS_OWN,
)
def it_beats_the_table_in_the_exam(lab: Lab) -> tuple[float, float]:
    return mark(the_training()[0]), by_pairs()


@claim(
    "Names and cities surprise it, and the beginning of a sentence; the rest of a sentence hardly does, and us say it "
    "again not at all.",
    said_in=LESSON,
    value="mean surprise at each name and city",
    control="at us, say, it, again",
    holds=lambda value, control: min(value) > 1.5 and max(control) < 0.1,
    untrained=ITS_OWN,
)
def names_surprise_it(lab: Lab) -> tuple[list[float], list[float]]:
    return surprises(the_training()[0])


@claim(
    "It knows that a city must come, and has no idea which.",
    said_in=LESSON,
    value="mean chance of any city in forty stories told again; and of the right one, in the lab's model",
    control="of the right one, in the model after 300 steps",
    holds=lambda value, control: min(value) > 0.6 and control[0] < 0.1,
    untrained=ITS_OWN,
)
def it_does_not_copy(lab: Lab) -> tuple[list[float], float]:
    from bloomlab import load

    right, any_city = right_city(Lab(the_training()[0], tokenizer()))
    return [any_city, right_city(load())[0]], right


@claim(
    "It is learning 20 stories by heart.",
    said_in=LESSON,
    value="after 60 steps on 20 stories: how much higher the loss is in the exam than on what it reads",
    control="the same on 3,000 stories",
    holds=lambda value, control: value[0] > 1 > 0.2 > control[0],
    untrained=ITS_OWN,
)
def twenty_stories_are_learned_by_heart(lab: Lab) -> tuple[float, float]:
    (few, few_exam), (many, many_exam) = short(few=20), short()
    return few_exam - few, many_exam - many


@claim(
    "Three times as large steps get farther in the same time. Thirty times as large ones jump from one side of the "
    "valley to the other: the loss stays high.",
    said_in=LESSON,
    value="mark after 60 steps with a rate of 0.01, and the table's loss",
    control="with a rate of 0.003, and of 0.1",
    holds=lambda value, control: value[0] < value[1] < control[0] < control[1],
    untrained=ITS_OWN,
)
def a_rate_is_found_by_trying(lab: Lab) -> tuple[list[float], list[float]]:
    return [short(0.01)[1], by_pairs()], [short()[1], short(0.1)[1]]
