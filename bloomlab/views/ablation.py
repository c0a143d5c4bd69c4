"""What a model loses without one of its parts: the result of `lab.ablate`, as tables without script."""

from collections.abc import Sequence
from typing import Any

from bloomlab.errors import NearNames
from bloomlab.guards.frames import InPandas
from bloomlab.guards.memory import saying_that_memory_is_full
from bloomlab.lens.effect import Effect
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token
from bloomlab.views.shared.tables import table, text_cell, token_names, word

SHOWN_TOKENS = 200  # rows of the table; the effect itself holds all


@saying_that_memory_is_full
class Ablation(NearNames, InPandas):
    """One text, read twice: by the whole model, and with zeros in place of one part.

    Attributes:
        spot: the name of the spot.
        edit: what was done there, as Python.
        tokens: of the text.
        effect: the numbers: `effect.kl`, `effect.loss_change`, … (see `bloomlab.lens.effect.Effect`).
        stamp: model, weights, dtype.
    """

    def __init__(
        self, spot: str, edit: str, tokens: Sequence[Token], effect: Effect, tokenizer: BloomTokenizerFast, stamp: str
    ) -> None:
        self.spot, self.edit, self.tokens, self.effect, self.stamp = spot, edit, tuple(tokens), effect, stamp
        self._tokenizer = tokenizer

    @property
    def kl(self) -> float:
        """How far the prediction after the text moved, in nats; 0 means not at all."""
        return self.effect.kl[-1].item()

    @property
    def loss_change(self) -> float | None:
        """How much more surprised the model is by the text, in nats per token; None for a text of one token."""
        return self.effect.loss_change[:-1].double().mean().item() if len(self.tokens) > 1 else None

    def records(self) -> list[dict[str, Any]]:
        """Each token: KL and change of the loss after it, in nats, and the likeliest next token before and after."""
        return [
            {
                "pos": pos,
                "token": name,
                "KL": self.effect.kl[pos].item(),
                "loss change": self.effect.loss_change[pos].item(),
                **dict(zip(("before", "after"), self._likeliest(pos), strict=True)),
            }
            for pos, name in enumerate(token_names(self.tokens))
        ]

    def _likeliest(self, pos: int) -> list[str]:
        return [word(self._tokenizer, token_id) for token_id in self.effect.predicted[:, pos].tolist()]

    def _rows(self) -> list[list[str]]:
        """For each token: its place and name, KL, change of the loss, and the likeliest next token in each run."""
        difference, shown = self.effect, token_names(self.tokens)
        rows = []
        for pos in range(min(len(shown), SHOWN_TOKENS)):
            change = difference.loss_change[pos].item()
            predicted = self._likeliest(pos)
            loss = "" if change != change else f"{change:+.4f}"
            rows.append([str(pos), shown[pos], f"{difference.kl[pos]:.4f}", loss, *predicted])
        return rows

    def _next(self) -> list[list[str]]:
        """The next token after the text: name, probability before, after."""
        probs = self.effect.probs.T.tolist()
        names = [word(self._tokenizer, token_id) for token_id in self.effect.ids.tolist()]
        return [[name, f"{p:.4f}", f"{q:.4f}"] for name, (p, q) in zip(names, probs, strict=True)]

    def _summary(self) -> str:
        loss = self.loss_change
        change = "" if loss is None else f"; loss {loss:+.4f} nats per token"
        return f"{self.edit} at {self.spot}: the next token moved by {self.kl:.4f} nats (KL){change}"

    def __repr__(self) -> str:
        likeliest = [f"  {name:<14}{p:>8} → {q}" for name, p, q in self._next()]
        lines = [
            f"{pos:>4}  {name:<14}{kl:>8}{change:>10}  {before:<14}{after}"
            for pos, name, kl, change, before, after in self._rows()
        ]
        head = f"{'':>4}  {'after':<14}{'KL':>8}{'loss':>10}  {'it first':<14}without it"
        return "\n".join([self._summary(), "next token, before → without it:", *likeliest, head, *lines, *self._rest()])

    def _rest(self) -> list[str]:
        rest = len(self.tokens) - SHOWN_TOKENS
        return [f"{rest} more tokens: .effect has them all"] if rest > 0 else []

    def _repr_html_(self) -> str:
        next_token = table(
            ["next token", "before", "without it"],
            [[text_cell(name), p, q] for name, p, q in self._next()],
            self._summary(),
        )
        rows = (
            [
                f"{pos} {text_cell(name)}",
                kl,
                change,
                text_cell(before),
                text_cell(after) if after != before else "the same",
            ]
            for pos, name, kl, change, before, after in self._rows()
        )
        by_token = table(
            ["after", "KL, nats", "change of the loss, nats", "it said", "without it"],
            rows,
            "After each token: how far the prediction moved, and how much worse the token that follows was foreseen.",
        )
        rest = "".join(f"<p>{line}</p>" for line in self._rest())
        return f"<div>{next_token}{by_token}{rest}<p><small>{text_cell(self.stamp)}</small></p></div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
