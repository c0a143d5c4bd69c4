"""Beam search: follow several continuations at once and keep those that are likeliest as a whole.

Greedy choice can walk into a dead end: a likely word after which nothing fits. Beam search keeps `num_beams` live
continuations a text. Each step extends all of them by every token and keeps the best; one that reaches a stop token
is finished. Continuations of different length are compared by

    score = log-probability of all new tokens / (how many) ^ length_penalty

and the search ends when no live one could still beat the finished ones.
"""

import torch
from torch import Tensor

from bloomlab.generation.predict import adjust, predict
from bloomlab.generation.settings import Settings
from bloomlab.hooks import Hooks
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel


class Beams:
    """The search for one text: its live continuations, likeliest first, and the best finished ones."""

    def __init__(self, prompt: Tensor, settings: Settings) -> None:
        self.settings = settings
        self.n_prompt = len(prompt)
        self.live = prompt.expand(settings.num_beams, -1)  # (beam, pos)
        # all beams start equal, so only the first may be extended: the others would be its copies
        self.scores = torch.full((settings.num_beams,), -1e9, device=prompt.device)
        self.scores[0] = 0.0
        self.finished: list[tuple[float, Tensor]] = []  # (score, ids), best first
        self.open = True

    def extend(self, log_probs: Tensor, stop_ids: Tensor, last: bool) -> Tensor:
        """Take the best extensions: log_probs (beam, vocab) of the next token -> which beam each new one extends."""
        n_beam, vocab = log_probs.shape
        total = self.scores[:, None] + log_probs
        # among so many candidates at least num_beams do not end here, whatever the number of stop tokens
        keep = min(max(2, 1 + len(stop_ids)) * n_beam, total.numel())
        scores, places = total.flatten().topk(keep)
        parents, token_ids = places // vocab, places % vocab
        candidates = torch.cat([self.live[parents], token_ids[:, None]], 1)
        ends = torch.isin(token_ids, stop_ids) | last

        if self.open:
            for i in ends[:n_beam].nonzero()[:, 0].tolist():  # lower ranks are only considered as live beams
                self._finish(float(scores[i]), candidates[i])
        alive = (scores - 1e9 * ends).topk(n_beam).indices
        self.live, self.scores = candidates[alive], scores[alive]
        self.open = self.open and self._can_improve()
        return parents[alive]

    def _finish(self, score: float, ids: Tensor) -> None:
        if self.settings.early_stopping and len(self.finished) == self.settings.num_beams:
            return
        n_new = len(ids) - self.n_prompt
        self.finished.append((score / n_new**self.settings.length_penalty, ids))
        self.finished.sort(key=lambda item: -item[0])
        del self.finished[self.settings.num_beams :]

    def _can_improve(self) -> bool:
        if len(self.finished) < self.settings.num_beams:
            return True
        n_new = self.live.shape[1] - self.n_prompt
        best_live = float(self.scores[0]) / n_new**self.settings.length_penalty
        return not self.settings.early_stopping and best_live > self.finished[-1][0]

    def best(self) -> list[Tensor]:
        """The best continuations, finished ones first; after an interrupt, live ones make up the number."""
        sequences = [ids for _, ids in self.finished]
        return [*sequences, *self.live][: self.settings.num_return_sequences]


class BeamSearch:
    """The searches for all texts of a batch: `step` until `done`, then `result`."""

    def __init__(
        self,
        model: BloomPreTrainedModel,
        ids: Tensor,
        mask: Tensor,
        hooks: Hooks,
        settings: Settings,
    ) -> None:
        self.model, self.hooks, self.settings = model, hooks, settings
        self.stop_ids = torch.tensor(settings.stop_ids(model.config), dtype=torch.long, device=ids.device)
        self.searches = [Beams(row, settings) for row in ids]
        self.mask = mask.repeat_interleave(settings.num_beams, 0)  # (text · beam, pos)
        self.past: KVCache | None = None
        self.n_new = 0

    @property
    def done(self) -> bool:
        return self.n_new == self.settings.max_new_tokens or not any(search.open for search in self.searches)

    def step(self) -> None:
        """Extend every text's beams by one token."""
        n_beam = self.settings.num_beams
        ids = torch.cat([search.live for search in self.searches])
        logits, past = predict(self.model, ids, self.mask, self.past, self.settings.use_cache, self.hooks)
        scores = logits.float().log_softmax(-1)
        scores = adjust(scores, ids, self.mask, self.n_new, self.stop_ids, self.settings)
        last = self.n_new + 1 == self.settings.max_new_tokens
        rows = [
            i * n_beam + search.extend(scores[i * n_beam : (i + 1) * n_beam], self.stop_ids, last)
            for i, search in enumerate(self.searches)
        ]
        self.past = past.rows(torch.cat(rows)) if past else None
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)
        self.n_new += 1

    def result(self) -> Tensor:
        """The best continuations of every text, (text · num_return_sequences, pos), padded on the right."""
        sequences = [ids for search in self.searches for ids in search.best()]
        pad = self.settings.pad_id(self.model.config)
        return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=pad)
