"""The checks of lessons 10b and 10c: receipts and what they leave out; what is the same in every language."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import torch

from bloomlab.checks.verdict import Verdict, exercise
from bloomlab.errors import BloomlabError, shorten
from bloomlab.hooks import Edit
from bloomlab.lens.receipt import READ, Receipt, receipt

if TYPE_CHECKING:
    from bloomlab.lab import Lab


@exercise("the name of a part, a text", str)
def differs_most(found: Receipt, name: str) -> Verdict:
    """10b: the part whose total effect is farthest from what it adds itself.

    Args:
        found: with totals, as `lab.receipt(text).receipt` has them.
    """
    if name not in found.names:
        return Verdict(False, f"there is no part {shorten(name, 30)}; the parts are {', '.join(found.names[:3])}, …")
    if found.total is None:
        return Verdict(False, "this receipt has no totals; take the one of lab.receipt(text).")
    apart = (found.total - found.direct).nan_to_num()
    best, most_direct, most_total = (
        found.names[int(each.nan_to_num().abs().argmax())] for each in (apart, found.direct, found.total)
    )
    i = found.names.index(name)
    said = f"{name} adds {found.direct[i]:+.2f} itself, and {found.total[i]:+.2f} in all"
    if name == best:
        return Verdict(True, f"{said}: others turn what it wrote into the answer.")
    if name == most_direct:
        return Verdict(False, f"{said}: that is the largest line, but both its numbers are nearly alike.")
    if name == most_total:
        return Verdict(False, f"{said}: the largest total, but another part's two numbers lie farther apart.")
    return Verdict(False, f"{said}; look for two numbers that lie farther apart.")


@exercise("a token, a text", str)
def rival_for(lab: "Lab", text: str, word: str, part: str, rival: str) -> Verdict:
    """10b: a rival against which a part adds more, itself, to the lead of a word than any other part does."""
    ids = [lab.tokens(each).ids for each in (word, rival)]
    if len(ids[1]) != 1:
        return Verdict(False, f"{shorten(rival, 30)} is {len(ids[1])} tokens; take one. Is there a space in front?")
    if ids[0] == ids[1]:
        return Verdict(False, f"a token has no lead over itself; take another one than {word!r}.")
    found = receipt(lab.model, lab.trace(text, read=[*READ, "logits"]), ids[0][0], ids[1][0])
    best = found.names[int(found.direct.argmax())]
    lines = dict(zip(found.names, found.direct.tolist(), strict=True))
    if found.difference <= 0:
        return Verdict(False, f"{word!r} has no lead over {rival!r}; take one that is less likely.")
    if best == part:
        lead = f"{lines[part]:+.2f} of {found.difference:.2f}"
        return Verdict(True, f"over {rival!r} no part adds more to the lead than {part}: {lead}.")
    said = f"over {rival!r} {best} adds more, {lines[best]:+.2f}, than {part}, {lines[part]:+.2f}"
    return Verdict(False, f"{said}. What kind of word does {part} tell from a city?")


@exercise("a number", int, float)
def lead_lost(lab: "Lab", text: str, word: str, rival: str, edit: Mapping[str, Edit], lost: float) -> Verdict:
    """10b: how much of the lead of a word over its rival an edit takes, in nats of their logits."""

    def scores(edit: Mapping[str, Edit]) -> torch.Tensor:
        return lab.trace(text, read=["logits"], edit=edit)["logits"][0, -1]

    one, other = (lab.tokens(each)[0].id for each in (word, rival))
    try:
        whole, changed = scores({}), scores(edit)
    except BloomlabError as error:
        return Verdict(False, f"the edit does not fit: {error}.")
    before, after = (float(each[one] - each[other]) for each in (whole, changed))
    chances = [float(each.softmax(-1)[one]) for each in (whole, changed)]

    def near(value: float) -> bool:
        return abs(lost - value) < 0.005

    if near(before - after):
        return Verdict(True, f"the lead was {before:.2f}, and without it it is {after:.2f}: {lost:.2f} nats are lost.")
    slips = {
        after - before: "the sign: what is lost is before, less after.",
        after: "that is the lead that is left; how much of it is lost?",
        before: "that is the lead itself; run the text once more, with the edit.",
        float(whole[one] - changed[one]): f"that is what {word!r} loses; {rival!r} changes too, and a lead is over it.",
        chances[0] - chances[1]: "that is of the probability; a receipt counts in logits, before softmax.",
    }
    said = next((says for value, says in slips.items() if near(value)), None)
    return Verdict(False, said or f"logit of {word!r} less that of {rival!r}: without the edit, less the same with it.")


@exercise("a set of pairs (layer, head)", set, list, tuple)
def in_every(losses: Mapping[str, torch.Tensor], least: float, heads: Collection[tuple[int, int]]) -> Verdict:
    """10c: the heads that are missed in every language, each by more than so much.

    Args:
        losses: by language, (layer, head) what is lost without the head.

    >>> losses = {"en": torch.tensor([[0.5, 0.2]]), "fr": torch.tensor([[0.4, 0.0]])}
    >>> in_every(losses, 0.1, {(0, 0), (0, 1)})
    Not yet: head 0.1 costs 0.00 in fr; it is not missed in every language.
    """
    stack = torch.stack(list(losses.values()))
    n_layer, n_head = stack.shape[1:]
    every = [(layer, head) for layer in range(n_layer) for head in range(n_head)]
    said = list(heads)
    if stray := [each for each in said if each not in every]:
        wanted = "expected pairs (layer, head), such as (3, 4)"
        return Verdict(False, f"{wanted}, but got {shorten(stray[0], 40)}.")
    right = {each for each in every if bool((stack[:, *each] > least).all())}
    for layer, head in said:
        if (layer, head) not in right:
            code, loss = min(losses.items(), key=lambda item: float(item[1][layer, head]))
            said_of = f"head {layer}.{head} costs {loss[layer, head]:.2f} in {code}"
            return Verdict(False, f"{said_of}; it is not missed in every language.")
    if missing := sorted(right - set(said)):
        layer, head = missing[0]
        least_of = float(stack[:, layer, head].min())
        return Verdict(False, f"one is missing: there is a head of layer {layer} that costs {least_of:.2f} or more.")
    named = " and ".join(f"{layer}.{head}" for layer, head in sorted(right)) or "none"
    any_of = int((stack > least).any(0).sum())
    return Verdict(True, f"{named}, of {any_of} that are missed in some language.")
