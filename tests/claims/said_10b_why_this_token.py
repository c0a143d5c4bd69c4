"""What lesson 10b says: what a receipt counts and leaves out, what an answer rests on, which part came first."""

from collections.abc import Iterable
from functools import cache

from bloomlab import Lab, tiny, zero
from bloomlab.lens.attribution import Attribution
from bloomlab.lens.cases import Case
from bloomlab.lens.receipt import READ, Receipt, receipt
from bloomlab.tiny.pairs import recaps
from tests.claims.claim import claim
from tests.claims.said_10_a_circuit_forms import TRAINING, at

LESSON = "notebooks/10b_why_this_token.ipynb"
TEXT = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CAT, AGAIN, FIRST_IN = 8, 15, 2


def of_eight(lab: Lab, heads: Iterable[int] = ()) -> list[dict[str, float]]:
    """The direct lines of eight recaps, each against the mean of the other cities; some heads of layer 3 silenced."""
    cases = recaps(lab.tokenizer, 64)
    cities = {lab.tokens(str(city))[0].id for case in cases for city in (case.answer, case.rival)}
    edit = {"h.3.attn.mixed": zero(head=list(heads))} if heads else {}
    found = []
    for case in cases[:8]:
        token = lab.tokens(str(case.answer))[0].id
        each = receipt(lab.model, lab.trace(case.text, READ, edit=edit), token, [*(cities - {token})])
        found.append(dict(zip(each.names, each.direct.tolist(), strict=True)))
    return found


@cache
def table(lab: Lab, zeros: bool = False) -> Receipt:
    """The lesson's receipt; with zeros in the place of each part, or what another story has there."""
    return lab.receipt(TEXT, " Oslo", versus=" Sydney", instead=zero() if zeros else None).receipt


def part(found: Receipt, name: str) -> tuple[float, float]:
    """What a part adds itself, and its total."""
    i = found.names.index(name)
    assert found.total is not None
    return float(found.direct[i]), float(found.total[i])


@claim(
    "Heads 3.4 and 3.5 look back at Oslo and copy it, and MLP 3 reads what they brought.",
    said_in=LESSON,
    value="nats that MLP 3's own line loses when heads 3.4 and 3.5 are silenced, eight recaps",
    control="when the six other heads of that layer are",
    holds=lambda value, control: min(value) > 3 > max(control),
)
def mlp_3_reads_what_the_heads_brought(lab: Lab) -> tuple[list[float], list[float]]:
    whole = of_eight(lab)

    def lost(heads: list[int]) -> list[float]:
        return [before["MLP 3"] - now["MLP 3"] for before, now in zip(whole, of_eight(lab, heads), strict=True)]

    return lost([4, 5]), lost([0, 1, 2, 3, 6, 7])


@claim(
    "All of them. A direct line counts only what a part itself hands to the last step.",
    said_in=LESSON,
    value="share of Oslo's lead that is lost with the embeddings of another story",
    control="share that the embedding adds itself",
    holds=lambda value, control: value[0] > 0.9 and abs(control[0]) < 0.05,
)
def embeddings_work_through_others(lab: Lab) -> tuple[float, float]:
    direct, total = part(table(lab), "embedding")
    return total / table(lab).difference, direct / table(lab).difference


@claim(
    "Hardly anything: in that story, too, a recap began, and the head says the same.",
    said_in=LESSON,
    value="share of Oslo's lead that is lost with zeros in the place of head 0.1",
    control="with what another such story has there",
    holds=lambda value, control: value[0] > 0.6 and abs(control[0]) < 0.1,
)
def it_matters_what_stands_in_the_place(lab: Lab) -> tuple[float, float]:
    lead = table(lab).difference
    return part(table(lab, True), "head 0.1")[1] / lead, part(table(lab), "head 0.1")[1] / lead


@cache
def rests(lab: Lab) -> Attribution:
    found = lab.attribution(TEXT, " Oslo", " Sydney").found
    assert isinstance(found, Attribution)
    return found


@claim(
    "The first ' in', by which Oslo is found again, and ' again', which says that a recap begins. Leaving out the cat "
    "costs nothing.",
    said_in=LESSON,
    value="nats of Oslo's lead lost without the first ' in', and without ' again'",
    control="without ' cat'",
    holds=lambda value, control: min(value) > 3 and control[0] < 0.1,
)
def two_words_besides_oslo(lab: Lab) -> tuple[list[float], float]:
    lost = rests(lab).left_out.tolist()
    return [lost[FIRST_IN], lost[AGAIN]], lost[CAT]


@claim(
    "Again costs more than 3 nats when it is left out, and gets next to nothing from integrated gradients.",
    said_in=LESSON,
    value="nats of Oslo's lead lost without ' again'",
    control="what integrated gradients give it",
    holds=lambda value, control: value[0] > 3 and abs(control[0]) < 0.2,
)
def two_methods_disagree(lab: Lab) -> tuple[float, float]:
    return float(rests(lab).left_out[AGAIN]), float(rests(lab).integrated[AGAIN])


@claim(
    "It goes on as it would have after Oslo: what was written is text like any other.",
    said_in=LESSON,
    value="of eight recaps, in how many the right city is in the eight tokens that the model writes by itself",
    control="in the seven after it was made to write the other city",
    holds=lambda value, control: value[0] >= 7 and control[0] <= 1,
)
def it_does_not_come_back(lab: Lab) -> tuple[int, int]:
    def names(case: Case, made: str, count: int) -> bool:
        text = f"{case.text}{made}"
        city = str(case.answer)
        return city in lab.generate(text, max_new_tokens=count, progress=False).removeprefix(text)

    cases = recaps(lab.tokenizer, 8)
    return sum(names(case, "", 8) for case in cases), sum(names(case, str(case.rival), 7) for case in cases)


@cache
def grown(step: int) -> dict[str, float]:
    """The mean direct lines of eight recaps after a step."""
    found = of_eight(at(step))
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


@claim(
    "The head that copies comes first. MLP 3 reads what heads bring, and its line grows after theirs, until it is the "
    "longest of all.",
    said_in=LESSON,
    value="share of its final line that head 3.4 has at step 1600; MLP 3's final line over the longest other one",
    control="share that MLP 3 has at step 1600; its line over the longest other one at that step",
    holds=lambda value, control: value[0] > 0.4 > 0.3 > control[0] and value[1] > 1 > control[1],
    untrained=TRAINING,
)
def the_head_comes_first(lab: Lab) -> tuple[list[float], list[float]]:
    last = int(tiny.history()["step"][-1])

    def over_others(step: int) -> float:
        return grown(step)["MLP 3"] / max(line for name, line in grown(step).items() if name != "MLP 3")

    head, mlp = (grown(1600)[name] / grown(last)[name] for name in ("head 3.4", "MLP 3"))
    return [head, over_others(last)], [mlp, over_others(1600)]


@claim(
    "More than their two direct lines together: MLP 3 has less to read now.",
    said_in=LESSON,
    value="nats of Oslo's lead over Sydney that are lost without heads 3.4 and 3.5",
    control="the sum of their two direct lines",
    holds=lambda value, control: value[0] > control[0] + 1,
)
def together_they_are_missed_more(lab: Lab) -> tuple[float, float]:
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))

    def lead(heads: list[int]) -> float:
        edit = {"h.3.attn.mixed": zero(head=heads)} if heads else {}
        scores = lab.trace(TEXT, ["logits"], edit=edit)["logits"][0, -1]
        return float(scores[oslo] - scores[sydney])

    return lead([]) - lead([4, 5]), sum(part(table(lab), f"head 3.{head}")[0] for head in (4, 5))
