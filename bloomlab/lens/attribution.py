"""Which tokens mattered? Three answers to three questions, in nats of a logit difference D, one number a token.

    left out     D − D with something else in the place of the token's embedding            a run for each token
    gradient     Σ embedding · gradient of D there                                          if a little of it were gone
    integrated   Σ (embedding − baseline) · mean gradient on the straight way between them  a share of the whole change

What stands in a token's place is the baseline of the third. Its shares sum to D − D of the baseline, but for an error
of the sum over steps: the residue. The questions differ, so the answers often do; `agreement` says how far.

Sources: gradient × input, Shrikumar et al., 2016 (arXiv 1605.01713); integrated gradients, Sundararajan et al.,
"Axiomatic Attribution for Deep Networks", 2017 (1703.01365), here at the points of Gauss and Legendre.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches, shorten
from bloomlab.guards.arguments import whole_within
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NamedEdit
from bloomlab.lens.cells import Cell, Run, in_place, read, swapped
from bloomlab.lens.gradients import gradients
from bloomlab.lens.lengths import Progress
from bloomlab.lens.trials import asked, rows_at_once, token_id
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token
from bloomlab.tracing.donors import in_words
from bloomlab.tracing.edits import fill
from bloomlab.weights.pretrained import without_gradients

STEPS = 32  # at first
MOST_STEPS = 512
RESIDUE = 0.005  # of the whole change: with a larger one the steps are doubled
EMBED = "h.0.resid_pre"  # the embedding, as the first layer gets it
ROWS_AT_ONCE = 8192  # of the table, for its mean


@dataclass(frozen=True)
class Attribution(NearMatches):
    """What each token of a text gives to a difference of two logits, in nats.

    Attributes:
        tokens: of the text.
        answer, rival: the tokens that are compared after it, as their texts.
        instead: what stands in a token's place, in words.
        difference: D of the text.
        baseline: D with that in the place of every token.
        left_out: (pos) by how much D falls with that in the place of this token alone; NaN where it was not run yet.
        gradient: (pos) embedding · gradient.
        integrated: (pos) integrated gradients; they sum to difference − baseline + residue.
        steps: how many points of the way the gradients were taken at.
    """

    tokens: tuple[Token, ...]
    answer: str
    rival: str
    instead: str
    difference: float
    baseline: float
    left_out: Tensor
    gradient: Tensor
    integrated: Tensor
    steps: int = 0

    @property
    def residue(self) -> float:
        """By how much the integrated gradients miss the change that they are to sum to, in nats."""
        return self.integrated.double().sum().item() - (self.difference - self.baseline)

    @property
    def residue_share(self) -> float:
        """The same as a share of the change."""
        change = abs(self.difference - self.baseline)
        return abs(self.residue) / change if change else float("inf" if self.residue else 0)

    @property
    def agreement(self) -> float:
        """Correlation of left out and integrated; NaN where one of them never varies."""
        both = torch.stack([self.left_out, self.integrated]).double()
        varies = both.shape[1] > 1 and bool((both.std(1) > 0).all())
        return torch.corrcoef(both)[0, 1].item() if varies else float("nan")

    @property
    def furthest(self) -> int:
        """The token at which left out and integrated are furthest apart."""
        return int((self.left_out - self.integrated).abs().argmax())

    def records(self) -> list[dict[str, Any]]:
        """A row for each token."""
        columns = self.left_out.tolist(), self.gradient.tolist(), self.integrated.tolist()
        return [
            {"pos": pos, "token": token.text, "left_out": out, "gradient": slope, "integrated": whole}
            for pos, (token, out, slope, whole) in enumerate(zip(self.tokens, *columns, strict=True))
        ]


def mean_embedding(model: BloomForCausalLM) -> NamedEdit:
    """The edit that puts the mean embedding of all tokens of the vocabulary in the place of an embedding."""
    body = model.transformer

    def run() -> Tensor:
        rows = body.word_embeddings.weight.split(ROWS_AT_ONCE)
        total = torch.stack([body.word_embeddings_layernorm(some).double().sum(0) for some in rows]).sum(0)
        return total[None, None] / len(body.word_embeddings.weight)

    mean: Tensor = without_gradients(run)
    return replace(fill(mean), text="the mean embedding")


def attribution(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    text: str,
    answer: str | None = None,
    rival: str | None = None,
    instead: NamedEdit | None = None,
    steps: int = STEPS,
) -> Iterator[Progress[Attribution]]:
    """What each token gives to the answer, in three ways, a batch of runs at a time; stop iterating to cancel.

    Args:
        answer, rival: texts of one token each; by default the likeliest next token and the runner-up.
        instead: an edit of the embedding that names no axis: drawn(texts), zero(), …; by default `mean_embedding`.
        steps: of the integrated gradients, at least; doubled up to 512 until the residue is 0.5 % of the change.

    Raises:
        InputError: an argument makes no sense, or the model was made under torch.inference_mode().
        HookError: the edit cannot stand there.
    """
    whole_within("steps", steps, 1, MOST_STEPS)
    if instead is not None and (not isinstance(instead, NamedEdit) or instead.again is None or instead.where):
        raise InputError(f"instead is an edit that names no axis, such as drawn(texts), but got {shorten(instead)}")
    ids = tokenizer.encode(text)
    if not ids:
        raise InputError("the text is empty; write at least one character")
    named = [token_id(tokenizer, one, name) if one else None for one, name in ((answer, "answer"), (rival, "rival"))]
    if named[0] is not None and named[0] == named[1]:
        raise InputError("answer and rival are the same token, so their difference is always 0; name two")
    rows = torch.tensor([ids], device=model.device)
    return _steps(model, tokenizer, rows, named, mean_embedding(model) if instead is None else instead, steps)


def _steps(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    ids: Tensor,
    named: list[int | None],
    instead: NamedEdit,
    steps: int,
) -> Iterator[Progress[Attribution]]:
    here = read(model, ids, [])
    pair = asked(here.logits, *named)
    columns, rows = ids.shape[1], rows_at_once(model, ids.shape[1])
    values = in_place(model, tokenizer, here, instead, [EMBED])
    empty = swapped(model, here, values, [Cell(EMBED, {})])[0]
    nothing = torch.full((columns,), torch.nan)
    found = Attribution(
        tuple(tokenizer.tokens_of_ids(ids[0].tolist())),
        tokenizer.decode([pair[0]]),
        tokenizer.decode([pair[1]]),
        in_words(instead),
        (here.logits[pair[0]] - here.logits[pair[1]]).item(),
        (empty[pair[0]] - empty[pair[1]]).item(),
        nothing,
        nothing,
        nothing,
    )
    done, total = 0, columns + 1 + steps
    left_out = nothing.clone()
    for first in range(0, columns, rows):
        some = range(first, min(columns, first + rows))
        logits = swapped(model, here, values, [Cell(EMBED, {"pos": pos}) for pos in some])
        left_out[first : first + rows] = found.difference - (logits[:, pair[0]] - logits[:, pair[1]])
        done += len(some)
        found = replace(found, left_out=left_out.clone())
        yield Progress(done, total, (found,))

    embedding = here.values[EMBED]
    slope = gradients(model, ids, embedding, pair, [EMBED])[1][EMBED][0]
    found = replace(found, gradient=(embedding[0].double() * slope.double()).sum(-1).float().cpu())
    yield Progress(done := done + 1, total, (found,))
    while True:
        for count, part in integrated(model, here, values[EMBED], pair, steps):
            if part is not None:
                found = replace(found, integrated=part.float(), steps=steps)
            again = found.steps == steps and found.residue_share > RESIDUE and 2 * steps <= MOST_STEPS
            yield Progress(done + count, total + 2 * steps * again, (found,))
        done += steps
        if not again:
            return
        steps *= 2
        total += steps


def integrated(
    model: BloomForCausalLM, here: Run, baseline: Tensor, pair: tuple[int, int], steps: int
) -> Iterator[tuple[int, Tensor | None]]:
    """Integrated gradients of D over the embedding: after each batch how many steps are done; at the end, (pos).

    `baseline` is (1, pos, hidden), where the way begins; the steps are at the points of Gauss and Legendre.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    end = here.values[EMBED]
    shares = torch.tensor((points + 1) / 2).to(end)
    mean, done = torch.zeros(end.shape[1:], dtype=torch.float64), 0
    for some, weight in zip(
        shares.split(rows := rows_at_once(model, end.shape[1])), torch.tensor(weights / 2).split(rows), strict=True
    ):
        states = baseline + some[:, None, None] * (end - baseline)
        found = gradients(model, here.ids, states, pair, [EMBED])[1][EMBED].double().cpu()
        mean += (weight[:, None, None] * found).sum(0)
        done += len(some)
        whole = ((end - baseline)[0].double().cpu() * mean).sum(-1) if done == steps else None
        yield done, whole
