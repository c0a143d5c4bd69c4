"""What a view's edits are worth: the four results of what can stand in a place, the controls, and many texts.

All of it is plain data for the page, a step at a time. `Worth` has the model and the texts that a view draws from; it
keeps nothing that is shown.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import BloomlabError, InputError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, NamedEdit
from bloomlab.lens.cases import Case
from bloomlab.lens.direction import Direction, direction
from bloomlab.lens.effect import kl
from bloomlab.lens.held import WAYS, Held, held
from bloomlab.lens.instead import Effects, effects, ends, moved_most, spread
from bloomlab.lens.keep import Kept, keep
from bloomlab.lens.refute import CONTROLS, DOSES, ROUNDING, TEXTS, Refutation, in_case, refute
from bloomlab.lens.trials import METRICS, SpotEdits, by_spot, measured, token_id
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.donors import copied, hold, steer
from bloomlab.tracing.edits import zero
from bloomlab.tracing.record import record
from bloomlab.tracing.trace import Trace
from bloomlab.views.shared.edits import COPIED, INSTEAD, EditList, in_place, words
from bloomlab.views.shared.like_texts import TEXTS as TEXTS_LIKE
from bloomlab.views.shared.like_texts import LikeTexts

AT_ONCE = 1 << 34  # parameters × columns that are measured unasked: less than a second
DIRECTIONS = 3  # random ones beside a direction
MADE = "made"  # the edits as they stand, among what could stand there
KINDS = (*CONTROLS, DOSES, TEXTS)
NOTHING: dict[str, Any] = {
    "state": "idle",  # or running, done, stopped, error
    "doing": "",  # compare, refute, held, curve, keep or without
    "done": 0,
    "total": 0,
    "message": "",
    "texts": "",  # what the texts are called that these numbers are means over, if they are
    "metric": "",
    "answer": "",
    "rival": "",
    "others": None,  # how many other texts there are
    "before": None,
    "lines": [],  # of what stands in the place: name, value; of many texts low, high, against, dots
    "doses": [],  # of one edit by itself, how much it changes where it is made
    "nothing": False,  # whether the edits change nothing at all, exactly
    "refuted": {},  # before, after, rows of dots by kind, sentence
    "kept": {},  # mode, parts, instead, among, sentence; rows: name, share (None if none can be told), dots
    "curve": {},  # answer, rival, size, limit, falls apart, sentence; rows: dose, target, loss, written, dots, losses
    "held": {},  # before, after, together, texts, sentence; rows: part, whole, q, k, v (or None), of many low, high
}


@dataclass(frozen=True)
class Asked:
    """What is measured: a text with edits, and by what.

    Attributes:
        text: the text that is shown.
        edits: the list as it stands.
        donor: the text to copy from, if one is at hand.
        metric, answer, rival: as `lab.refute` takes them; "" for the tokens whose chance changes most.
        many: whether in all texts.
    """

    text: str
    edits: EditList
    donor: str = ""
    metric: str = METRICS[0]
    answer: str = ""
    rival: str = ""
    many: bool = False

    @property
    def copies(self) -> str:
        """The one text that the edits copy from, else the donor."""
        made = [getattr(edit, "again", None) for several in self.edits.on.values() for edit in several]
        texts = {again.args[0] for again in made if again is not None and again.func is copied}
        return texts.pop() if len(texts) == 1 else self.donor if not texts else ""


class Worth:
    """Measures what edits are worth with one model, in the texts that were given, or in like ones.

    `like` gives the texts.
    """

    def __init__(self, model: BloomForCausalLM, tokenizer: BloomTokenizerFast, like: LikeTexts) -> None:
        self.model, self.tokenizer, self.like = model, tokenizer, like

    def _outputs(self, text: str, spots: Sequence[str]) -> tuple[str, Mapping[str, Tensor]]:
        """What the like texts have at these spots, (text, …), and what they are called; nothing where that is dear."""
        if not self.cheap(text):
            return "", {}
        try:
            texts = self.like.set_of(text)
            run = record(self.model, self.tokenizer, list(texts.texts), spots)
        except BloomlabError:
            return "", {}
        return texts.name, {spot: run[spot] for spot in spots}

    # ---- what is measured ----

    def cheap(self, text: str) -> bool:
        """Whether it is measured unasked."""
        return self.model.num_parameters() * len(self.tokenizer.encode(text)) * (TEXTS_LIKE + 6) < AT_ONCE

    def compared(self, asked: Asked) -> Iterator[dict[str, Any]]:
        """The four results of what can stand in the place of the last edit, beside the edits as they are.

        Raises:
            BloomlabError: the edits cannot be made, or a token is not one.
        """
        yield {"state": "running", "doing": "compare", "done": 0, "total": 1, "message": ""}
        edits = by_spot(self.model, asked.edits.on)
        runs = [record(self.model, self.tokenizer, asked.text, list(edits), one) for one in (None, asked.edits.on)]
        yield _dose(runs, asked.edits, *self._outputs(asked.text, list(edits)))
        logits = ends(self.model, self.tokenizer, asked.text, edits)
        asked = self._with_tokens(asked, logits)
        first, others, _ = self._texts(asked)
        cases = [first, *(others if asked.many else [])]
        ways = {
            name: [way, *(in_case(way, case) for case in cases[1:])] for name, way in self._ways(asked, edits).items()
        }
        facts = self._facts(asked, logits)
        for step in effects(self.model, self.tokenizer, cases, ways, asked.metric):
            found = step.results[-1] if step.results else None
            yield {
                "done": step.done,
                "total": step.total,
                "metric": asked.metric,
                "answer": asked.answer,
                "rival": asked.rival,
                "others": len(others),
                "texts": f"this text and {self.like.name(len(cases) - 1)}" if asked.many else "",
                "facts": facts,
                **({} if found is None else _of_effects(found, asked.many)),
            }

    def refuted(self, asked: Asked, answer: str, rival: str) -> Iterator[dict[str, Any]]:
        """The edits among their controls; of each kind the runs that there are so far.

        Raises:
            BloomlabError: the edits cannot be made, or a token is not one.
        """
        asked = replace(asked, answer=answer, rival=rival)
        yield {"state": "running", "doing": "refute", "done": 0, "total": 1, "message": ""}
        edits = by_spot(self.model, asked.edits.on)
        first, others, why = self._texts(asked)
        said = ", ".join(words(spot, one) for spot, several in asked.edits.on.items() for one in several)
        settings = asked.metric, first.answer or None, first.rival or None, others or None
        steps = refute(self.model, self.tokenizer, asked.text, edits, *settings, everywhere=asked.many and bool(others))
        for step in steps:
            if step.results:
                found = replace(step.results[-1], edit=said)
                yield {"done": step.done, "total": step.total, "refuted": _of_controls(found, why)}
            else:
                yield {"done": step.done, "total": step.total}

    def held(self, asked: Asked, answer: str, rival: str) -> Iterator[dict[str, Any]]:
        """What is left of the change with each part that noticed it held as it was.

        Raises:
            BloomlabError: the edits cannot be made, or a token is not one.
        """
        yield {"state": "running", "doing": "held", "done": 0, "total": 1, "message": ""}
        first, others, _ = self._texts(replace(asked, answer=answer, rival=rival))
        cases = [first, *(others if asked.many else [])]
        for step in held(self.model, self.tokenizer, cases, by_spot(self.model, asked.edits.on), asked.metric):
            found = {"held": _of_held(step.results[-1])} if step.results else {}
            yield {"done": step.done, "total": step.total, **found}

    def kept(
        self, asked: Asked, answer: str, rival: str, mode: str, parts: Sequence[str], among: str, instead: str
    ) -> Iterator[dict[str, Any]]:
        """How much of the answer these parts keep by themselves; or "without", how much is left when they are gone.

        It is a question of the text and the model, whatever edits stand. `among` is as in `lab.keep`,
        `instead` "zero", "usual" or "drawn".

        Raises:
            BloomlabError: there are no such parts, or no texts to take from.
        """
        yield {"state": "running", "doing": mode, "done": 0, "total": 1, "message": ""}
        first, others, _ = self._texts(replace(asked, answer=answer, rival=rival))
        cases = [first, *(others if asked.many else [])]
        stands, said = zero(), "zeros"
        if instead != "zero":
            texts = self.like.set_of(asked.text)
            stands = in_place(instead, texts, {})
            said = f"what {'is usual in' if instead == 'usual' else 'is drawn from'} {texts.name}"
        for step in keep(self.model, self.tokenizer, cases, parts, stands, mode, among, asked.metric):
            found = {"kept": _of_kept(replace(step.results[-1], instead=said))} if step.results else {}
            yield {"done": step.done, "total": step.total, **found}

    def curve(self, asked: Asked, answer: str, rival: str) -> Iterator[dict[str, Any]]:
        """What each dose of the last direction does by itself, dose by dose.

        Raises:
            BloomlabError: there is no direction, or it is in every layer; or there is nothing to measure it by.
        """
        found = asked.edits.direction
        if found is None:
            raise InputError("no direction is added here, so there is no dose to measure")
        yield {"state": "running", "doing": "curve", "done": 0, "total": 1, "message": ""}
        _, spot, edit = found
        first, second, _ = edit.again.args  # type: ignore[union-attr]  # it is steer's
        if not (asked.answer or asked.rival):  # of the two whose chance moves most, the one that it makes likelier
            logits = ends(self.model, self.tokenizer, asked.text, by_spot(self.model, {spot: edit}))
            pair = [self.tokenizer.encode(token)[0] for token in (answer, rival)]
            before, after = (logits[:, pair[0]] - logits[:, pair[1]]).tolist()
            answer, rival = (rival, answer) if after < before else (answer, rival)
        given = asked.text, answer or None, rival or None, asked.metric
        steps = direction(self.model, self.tokenizer, first, second, spot, *given, n=DIRECTIONS, where=edit.where)
        for step in steps:
            measured_so_far = {"curve": _of_curve(step.results[-1])} if step.results else {}
            yield {"done": step.done, "total": step.total, **measured_so_far}

    def texts(self, asked: Asked) -> tuple[Case, list[Case]]:
        """The text itself as a case, and the others.

        Raises:
            InputError: there are none, but numbers of many texts are asked for.
        """
        first, others, _ = self._texts(asked)
        return first, others

    def _texts(self, asked: Asked) -> tuple[Case, list[Case], str]:
        """The text itself as a case, the others, and why there are none.

        Raises:
            InputError: there are none, but numbers of many texts are asked for.
        """
        first = Case(asked.text, "", asked.answer, asked.rival)
        try:
            return first, self.like.cases(asked.text, asked.copies, asked.answer, asked.rival), ""
        except InputError as error:
            if asked.many:
                raise
            return first, [], str(error)

    def _with_tokens(self, asked: Asked, logits: Tensor) -> Asked:
        """The same, with the tokens that are compared: those that were named, or those whose chance changes most."""
        answer, rival = moved_most(self.tokenizer, logits)
        if asked.answer:
            token_id(self.tokenizer, asked.answer, "answer")
            rival = answer if answer != asked.answer else rival
        if asked.rival:
            token_id(self.tokenizer, asked.rival, "rival")
        asked = replace(asked, answer=asked.answer or answer, rival=asked.rival or rival)
        if asked.answer == asked.rival:
            raise InputError("answer and rival are the same token, so their difference is always 0; name two")
        return asked

    def _facts(self, asked: Asked, logits: Tensor) -> dict[str, float]:
        """What the record keeps of a change, whatever the page measures it by."""
        answer, rival = (self.tokenizer.encode(token)[0] for token in (asked.answer, asked.rival))
        found: dict[str, float] = {}
        for name, metric in (("logit difference", METRICS[0]), ("p", METRICS[1])):
            before, after = measured(logits, answer, rival, metric).tolist()
            found |= {f"{name} before": rounded(before), f"{name} after": rounded(after)}
        return {**found, "KL": rounded(float(kl(*logits.double().log_softmax(-1))))}

    def _ways(self, asked: Asked, edits: SpotEdits) -> dict[str, SpotEdits]:
        """The edits as they are; and with what else could stand in the place of the last of them."""
        found = {MADE: edits}
        entries = [entry for number, entry in enumerate(asked.edits.entries) if number not in asked.edits.off]
        place = _last_place(entries)
        if place is None:
            return found
        spot, edit = place
        for kind in INSTEAD:
            one = self._instead(kind, asked, edit)
            if one is not None:
                others = EditList(tuple((spot, one) if entry is place else entry for entry in entries))
                found[kind] = by_spot(self.model, others.on)
        return found

    def _instead(self, kind: str, asked: Asked, edit: NamedEdit) -> NamedEdit | None:
        if kind == "zero":
            return zero(**edit.where)
        if kind == "copied":
            again = edit.again
            if again is not None and again.func is copied:
                return edit
            same = asked.copies and len(self.tokenizer.encode(asked.copies)) == len(self.tokenizer.encode(asked.text))
            return copied(asked.copies, **edit.where) if same else None
        try:
            return in_place(kind, self.like.set_of(asked.text), edit.where)
        except BloomlabError:
            return None


def _last_place(entries: Sequence[tuple[str, Edit]]) -> tuple[str, NamedEdit] | None:
    """The last edit in whose place something else could stand."""
    for place in reversed(entries):
        spot, edit = place
        stays = isinstance(edit, NamedEdit) and edit.again is not None and edit.again.func in (hold, steer)
        if isinstance(edit, NamedEdit) and not stays and any(spot == p or spot.endswith(f".{p}") for p in COPIED):
            return place  # type: ignore[return-value]  # its second is a NamedEdit, as was just asked
    return None


def _of_effects(found: Effects, many: bool) -> dict[str, Any]:
    lines = []
    for name in found.after:
        line: dict[str, Any] = {"name": name, "value": rounded(found.mean(name))}
        if many:
            low, high = found.spread(name)
            line |= {"low": rounded(low), "high": rounded(high), "against": found.against(name)}
            line |= {"dots": [rounded(value) for value in found.after[name].tolist()]}
        lines.append(line)
    lines += [{"name": name, "value": None, "why": why} for name, why in found.refused.items()]
    return {"before": rounded(float(found.before.mean())), "lines": lines}


def _of_controls(found: Refutation, why: str) -> dict[str, Any]:
    rows = []
    for kind in KINDS:
        runs = found.of(kind)
        missing = found.missing.get(kind, why if kind == TEXTS else "")
        dots = [[one.name, rounded(one.before), rounded(one.after)] for one in runs]
        rows.append({"kind": kind, "dots": dots, "why": "" if runs else missing})
    return {
        "before": rounded(found.before),
        "after": rounded(found.after),
        "rows": rows,
        "sentence": found.sentence,
        "everywhere": found.everywhere,
        "as far": 0 if abs(found.change) < ROUNDING else len(found.as_far),
        "controls": sum(len(found.of(kind)) for kind in CONTROLS),
    }


def _of_held(found: Held) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for place in found.order:
        ways = zip(WAYS, found.left[place].mean(-1).tolist(), strict=True)
        row = {"part": found.parts[place]} | {way: rounded(left) if left == left else None for way, left in ways}
        if len(found.before) > 1:
            row |= zip(("low", "high"), map(rounded, spread(found.left[place, 0])), strict=True)
        rows.append(row)
    means = {name: getattr(found, name).mean().item() for name in ("before", "after", "together")}
    more = {"texts": len(found.before), "rows": rows, "sentence": found.sentence}
    return {**{name: rounded(mean) for name, mean in means.items()}, **more}


def _of_kept(found: Kept) -> dict[str, Any]:
    """The curve: of the first 1, 2, … parts the share of the answer, and those of random sets as large."""
    shares = found.share(found.values)
    rows = [
        {
            "name": f"{'+ ' if size > 1 else ''}{found.parts[size - 1]}",
            "share": rounded(share) if math.isfinite(share) else None,
            "dots": [rounded(one) for one in found.share(found.chance[size]).tolist() if math.isfinite(one)],
        }
        for size, share in enumerate(shares.tolist())
        if size
    ]
    named = {"mode": found.mode, "parts": list(found.parts), "instead": found.instead, "among": found.among}
    return {**named, "rows": rows, "sentence": found.sentence}


def _of_curve(found: Direction) -> dict[str, Any]:
    """The curve: a row for each dose, with what random directions as long do."""
    rows = [
        {
            "dose": dose,
            "target": rounded(target),
            "loss": rounded(nats),
            "written": written,
            "dots": [rounded(one) for one in found.chance_target[place].tolist()],
            "losses": [rounded(one) for one in found.chance_loss[place].tolist()],
        }
        for place, (dose, target, nats, written) in enumerate(
            zip(found.doses.tolist(), found.target.tolist(), found.loss.tolist(), found.written, strict=True)
        )
    ]
    return {
        "answer": found.answer,
        "rival": found.rival,
        "size": rounded(found.size),
        "limit": rounded(math.log(found.vocab)),
        "falls apart": found.falls_apart,
        "rows": rows,
        "sentence": found.sentence,
    }


def rounded(value: float) -> float:
    """A number as the page gets it: more digits than are shown."""
    return round(value, 6)


def _dose(runs: Sequence[Trace], edits: EditList, name: str, outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """How much an edit changes where it is made, in words; and whether nothing changes there, exactly.

    Of two traces, without and with the edits. Of several edits no size is said: one may stand behind another. `outputs`
    are what other texts have there: how far out is what stands there now, from their mean, among them?
    """
    before, after = runs
    changes = {spot: (after[spot] - before[spot]).nan_to_num() for spot in after.edit}
    if not any(change.any() for change in changes.values()):
        return {"nothing": True, "doses": []}
    if len(edits.entries) - len(edits.off) != 1:
        return {"nothing": False, "doses": []}
    moved = {spot: change != 0 for spot, change in changes.items()}
    count = sum(int(places.sum()) for places in moved.values())
    sizes = [torch.cat([run[spot][places].flatten() for spot, places in moved.items()]).norm().item() for run in runs]
    length = f", length {sizes[0]:.3g} → {sizes[1]:.3g}" if all(map(math.isfinite, sizes)) else ""
    dose = f"{count:,} number{'' if count == 1 else 's'}{length}"
    if outputs and length:
        others = torch.cat([outputs[spot][:, places[0]] for spot, places in moved.items()], 1)
        now = torch.cat([after[spot][places].flatten() for spot, places in moved.items()])
        share = further_out(now, others)
        dose += f", further out than {share:.0%} of what {name} have there"
    return {"nothing": False, "doses": [dose]}


def further_out(now: Tensor, others: Tensor) -> float:
    """The share of others (other, number) that are nearer to their mean than this one (number).

    >>> further_out(torch.tensor([2.0]), torch.tensor([[-4.0], [0.0], [1.0], [3.0]]))
    0.5
    """
    mean = others.mean(0)
    return float(((others - mean).norm(dim=1) < (now - mean).norm()).float().mean())
