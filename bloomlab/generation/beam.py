"""Beam search: follow several continuations at once and keep those that are likeliest as a whole.

Greedy choice can walk into a dead end: a likely word after which nothing fits. Beam search keeps `num_beams` live
continuations a text. Each step extends all of them by every token and keeps the best; one that reaches a stop token
is finished. Continuations of different length are compared by

    score = log-probability of all new tokens / (how many) ^ length_penalty

and the search ends when no live one could still beat the finished ones.
"""

import torch
from torch import Tensor

from bloomlab.generation.predict import adjust, narrow, nothing_left, predict
from bloomlab.generation.prompt import Prompt
from bloomlab.generation.settings import Settings
from bloomlab.generation.stopping import Ends
from bloomlab.hooks import Hooks
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

    def extend(self, scores: Tensor, candidates: Tensor, parents: Tensor, ends: Tensor) -> Tensor:
        """Take the best of the candidates (candidate, pos): -> which beam each new one extends.

        Of each candidate, `scores` is its log-probability, `parents` the beam it extends, `ends` whether it ends.
        """
        n_beam = self.settings.num_beams
        enough = self.settings.early_stopping is True and len(self.finished) == n_beam
        if self.open and not enough:
            for i in ends[:n_beam].nonzero()[:, 0].tolist():  # lower ranks are only considered as live beams
                self._finish(float(scores[i]), candidates[i])
        # the first ones where all have ended, at the last step: topk takes any of those that are equal
        alive = scores.masked_fill(ends, -torch.inf).argsort(descending=True, stable=True)[:n_beam]
        self.live, self.scores = candidates[alive], (scores - 1e9 * ends)[alive]
        self.open = self.open and self._can_improve()
        return parents[alive]

    def _finish(self, score: float, ids: Tensor) -> None:
        n_new = len(ids) - self.n_prompt
        self.finished.append((score / n_new**self.settings.length_penalty, ids))
        self.finished.sort(key=lambda item: -item[0])
        del self.finished[self.settings.num_beams :]

    def _can_improve(self) -> bool:
        settings = self.settings
        if len(self.finished) < settings.num_beams:
            return True
        longest = settings.early_stopping == "never" and settings.length_penalty > 0
        n_new = settings.max_new_tokens if longest else self.live.shape[1] - self.n_prompt
        best_live = float(self.scores[0]) / n_new**settings.length_penalty
        return settings.early_stopping is not True and best_live > self.finished[-1][0]

    def best(self) -> list[tuple[float, Tensor]]:
        """The best continuations with their scores, finished ones first; after an interrupt, live ones, too."""
        n_new = max(1, self.live.shape[1] - self.n_prompt)
        live = (self.scores / n_new**self.settings.length_penalty).tolist()
        return [*self.finished, *zip(live, self.live, strict=True)][: self.settings.num_return_sequences]


class BeamSearch:
    """The searches for all texts of a batch: `step` until `done`, then `result`."""

    def __init__(
        self,
        model: BloomPreTrainedModel,
        prompt: Prompt,
        hooks: Hooks,
        settings: Settings,
        ends: Ends,
        generator: torch.Generator,
    ) -> None:
        self.model, self.hooks, self.settings = model, hooks, settings
        self.ends, self.generator = ends, generator
        self.stop_ids = torch.tensor(settings.stop_ids(model.config), dtype=torch.long, device=prompt.ids.device)
        # among so many candidates at least num_beams do not end here, whatever the number of stop tokens
        self.per_beam = max(2, 1 + len(self.stop_ids))
        self.searches = [Beams(row, settings) for row in prompt.ids]
        _, self.mask, self.past, self.embeds = prompt.repeated(settings.num_beams)  # (text · beam, …)
        self.n_new = 0
        self.keeps_scores = self.keeps_logits = False
        self.scores: list[Tensor] = []  # if they are kept: each step's log-probabilities (text · beam, vocab)
        self.logits: list[Tensor] = []  # and the model's own scores

    @property
    def done(self) -> bool:
        return self.n_new == self.settings.max_new_tokens or not any(search.open for search in self.searches)

    def step(self) -> None:
        """Extend every text's beams by one token.

        Raises:
            GenerationError: the rules leave a text no token.
        """
        settings, ids = self.settings, torch.cat([search.live for search in self.searches])
        finite = not settings.remove_invalid_values
        inputs = (self.mask, self.past, settings.use_cache, self.hooks, self.embeds, finite)
        logits, past = predict(self.model, ids, *inputs)
        scores = adjust(logits.float().log_softmax(-1), ids, self.mask, self.n_new, self.stop_ids, settings)
        scores = narrow(scores, settings, self.per_beam)
        self.scores += [scores] * self.keeps_scores
        self.logits += [logits] * self.keeps_logits
        rows = self._extended(ids, scores)
        self.past, self.embeds = past.rows(rows) if past else None, None
        self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], 1)
        self.n_new += 1

    def _extended(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Extend the beams by these scores (text · beam, vocab): -> which row each new beam extends."""
        n_beam, (n_row, vocab) = self.settings.num_beams, scores.shape
        total = (torch.cat([search.scores for search in self.searches])[:, None] + scores).view(-1, n_beam * vocab)
        if not total.amax(-1).isfinite().all():
            raise nothing_left()
        n_candidate = min(self.per_beam * n_beam, total.shape[1])
        if self.settings.greedy:
            places = total.topk(n_candidate).indices
        else:  # none twice, each as often as its probability says
            places = torch.multinomial(total.softmax(-1), n_candidate, generator=self.generator)
        parents = places // vocab + torch.arange(0, n_row, n_beam, device=ids.device)[:, None]  # (text, candidate)
        candidates = torch.cat([ids[parents], (places % vocab)[..., None]], 2)  # (text, candidate, pos)
        last = self.n_new + 1 == self.settings.max_new_tokens
        ends = self.ends(candidates.flatten(0, 1), scores[parents.flatten()]).view_as(parents) | last
        found = zip(self.searches, total.gather(1, places), candidates, parents, ends, strict=True)
        return torch.cat([search.extend(*candidate) for search, *candidate in found])

    def result(self) -> Tensor:
        """The best continuations of every text, (text · num_return_sequences, pos), padded on the right."""
        sequences = [ids for search in self.searches for _, ids in search.best()]
        pad = self.settings.pad_id(self.model.config)
        return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=pad)

    def result_scores(self) -> Tensor:
        """By which the best continuations were compared, (text · num_return_sequences)."""
        return torch.tensor([score for search in self.searches for score, _ in search.best()], device=self.mask.device)
