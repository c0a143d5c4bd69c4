"""A text and all that was written on from it, as a tree: each node is one token, read, with the scores of the next.

A tree is never changed: a step, or a branch, is a new tree with one node more. A node keeps the keys and values of its
own column only. The cache of a place is put together from the columns on the way to it, so going back and branching
off need no run of the model, and a tree takes memory by the token, however often it branches.

    probability of a branch = Π p(token | what stands before it)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bloomlab.errors import GenerationError, NearMatches
from bloomlab.generation.beam import BeamSearch
from bloomlab.generation.predict import predict
from bloomlab.generation.prompt import Prompt, begin
from bloomlab.generation.settings import Settings
from bloomlab.generation.stopping import endings
from bloomlab.hooks import Edits, Hooks
from bloomlab.model.cache import KVCache
from bloomlab.weights.pretrained import BloomPreTrainedModel

BY_HAND = "by hand"


@dataclass(frozen=True, eq=False)
class Node(NearMatches):
    """One token of a tree; the first node is the whole prompt.

    Attributes:
        parent: the number of the node before it; -1 for the prompt.
        token_id: the token; -1 for the prompt.
        log_prob: the log-probability of this token in the model, nats; 0 for the prompt.
        how: "greedy", "drawn", "beam", or BY_HAND; "" for the prompt.
        settings: those that it was chosen with.
        logits: (vocab) the scores of the token after it, before any setting.
        columns: keys and values of its own columns.
    """

    parent: int
    token_id: int
    log_prob: float
    how: str
    settings: Settings
    logits: Tensor
    columns: KVCache


@dataclass(frozen=True, eq=False)
class Tree(NearMatches):
    """A prompt (pos) and the nodes, the prompt's first, a parent before its children."""

    prompt: Tensor
    nodes: tuple[Node, ...]

    def path(self, at: int) -> list[int]:
        """The nodes on the way from the prompt to a node, both included."""
        way = [at]
        while self.nodes[way[-1]].parent >= 0:
            way.append(self.nodes[way[-1]].parent)
        return way[::-1]

    def new_ids(self, at: int) -> list[int]:
        """The tokens that were written on the way to a node."""
        return [self.nodes[node].token_id for node in self.path(at)[1:]]

    def ids(self, at: int) -> Tensor:
        """The whole text at a node: (pos)."""
        return torch.cat([self.prompt, self.prompt.new_tensor(self.new_ids(at))])

    def cache(self, at: int) -> KVCache:
        """Keys and values of every column of the text at a node."""
        return KVCache.joined([self.nodes[node].columns for node in self.path(at)])

    def log_prob(self, at: int) -> float:
        """The log-probability of all that was written on the way to a node, nats."""
        return sum(self.nodes[node].log_prob for node in self.path(at))

    def child(self, at: int, token_id: int) -> int:
        """The child of a node that adds this token; -1 if there is none."""
        found = (i for i, node in enumerate(self.nodes) if node.parent == at and node.token_id == token_id)
        return next(found, -1)

    def children(self) -> list[list[int]]:
        """Of each node, the nodes after it."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            if node.parent >= 0:
                found[node.parent].append(number)
        return found

    @property
    def nbytes(self) -> int:
        """Bytes that its caches and logits take up."""
        return sum(node.columns.nbytes + node.logits.nbytes for node in self.nodes)


def planted(model: BloomPreTrainedModel, prompt: Tensor, settings: Settings, edit: Edits | None = None) -> Tree:
    """The tree of a prompt (pos) and nothing written yet: one pass over it."""
    row = prompt[None]
    logits, past = predict(model, row, begin(model, row).mask, None, True, Hooks(edit=edit))
    return Tree(prompt, (Node(-1, -1, 0.0, "", settings, logits[0], _kept(past)),))


def grown(
    model: BloomPreTrainedModel,
    tree: Tree,
    at: int,
    token_id: int,
    settings: Settings,
    how: str = BY_HAND,
    edit: Edits | None = None,
    past: KVCache | None = None,
) -> tuple[Tree, int, KVCache | None]:
    """The tree with this token after a node, which node that is, and its cache where it is at hand.

    The model reads one column; none, if the token is there already. `past` is `tree.cache(at)`, if it is at hand.

    Raises:
        GenerationError: the scores are not finite.
    """
    there = tree.child(at, token_id)
    if there >= 0:
        return tree, there, None
    past = tree.cache(at) if past is None else past
    row = torch.cat([tree.ids(at), tree.prompt.new_tensor([token_id])])[None]
    logits, after = predict(model, row, torch.ones_like(row), past, True, Hooks(edit=edit))
    log_prob = float(tree.nodes[at].logits.double().log_softmax(-1)[token_id])
    node = Node(at, token_id, log_prob, how, settings, logits[0], _kept(after, past.length))
    return Tree(tree.prompt, (*tree.nodes, node)), len(tree.nodes), after


def searched(
    model: BloomPreTrainedModel,
    tree: Tree,
    at: int,
    settings: Settings,
    edit: Edits | None = None,
    tokenizer: Any = None,
) -> tuple[Tree, list[int]]:
    """The tree with every beam that a search kept alive on its way, and the ends it gives back, best first.

    The first of them is what `generate(num_beams=…)` writes, with the seed where beams are drawn. The tokens are those
    of the search; each is then read once as the tree reads it, so that a node's scores do not depend on how it was
    come by.

    Raises:
        GenerationError: the scores are not finite, or `use_cache` is off.
    """
    if not settings.use_cache:
        raise GenerationError("a tree is made of caches; leave use_cache=True")
    row, start = tree.ids(at)[None], len(tree.ids(at))
    ends, generator = endings(settings, model.config, tokenizer, row.device), torch.Generator(row.device)
    generator.manual_seed(settings.seed or 0)
    prompt = Prompt(row, torch.ones_like(row))
    search = BeamSearch(model, prompt, model.checked(Hooks(edit=edit)), settings, ends, generator)
    texts: list[list[int]] = []
    while not search.done:
        search.step()
        texts += search.searches[0].live.tolist()
    found = search.searches[0]
    texts += [ids.tolist() for _, ids in found.finished]
    best = [ids.tolist() for _, ids in found.best()]
    nodes = {}
    for ids in texts:
        node = at
        for token_id in ids[start:]:
            tree, node, _ = grown(model, tree, node, token_id, settings, "beam", edit)
        nodes[tuple(ids)] = node
    return tree, [nodes[tuple(ids)] for ids in best]


def parting(first: Iterable[int], second: Iterable[int]) -> int:
    """The place of the first token at which two texts part; the length of the shorter, if one goes on as the other.

    >>> parting([5, 6, 7], [5, 6, 8, 9]), parting([5], [5, 6])
    (2, 1)
    """
    place = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        place += 1
    return place


def _kept(cache: KVCache | None, start: int = 0) -> KVCache:
    """The columns from one on, in memory of their own: a view would keep the whole cache alive."""
    if cache is None:
        raise GenerationError("this model returned no cache; a tree needs one, so leave config.use_cache on")
    return cache.columns(slice(start, None)).copied() if start else cache
