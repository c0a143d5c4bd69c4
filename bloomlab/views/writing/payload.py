"""What the writing view draws from, as plain data: the tree, the next token's bars, the cache."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any
from weakref import WeakKeyDictionary

from bloomlab.errors import InputError
from bloomlab.generation.settings import Settings
from bloomlab.generation.tree import Node, Tree
from bloomlab.lens.cache import (
    KEEP,
    cache_bytes,
    change_of,
    evict,
    kept,
    multiplications,
    transplant,
    uncached_difference,
    value_norms,
)
from bloomlab.lens.writing import Choice, loop_period
from bloomlab.text.tokens import DisplayToken, display_tokens
from bloomlab.views.shared.tables import token_names, word
from bloomlab.views.writing.writing import CHANGEABLE, Writing, settings_in_words

FAR = 2048  # columns of the cache that its bytes are told for
TOP = 10
ANY_LENGTH = ("max_new_tokens", "progress", "use_cache")  # settings that no single step depends on
OFF, OTHERS = "read afresh", "of the other text"
KEPT = (*KEEP, OFF, OTHERS)
JOINERS = "\n\t \u200c\u200d"  # they have no picture, but a text needs them

_norms: "WeakKeyDictionary[Node, list[list[float]]]" = WeakKeyDictionary()  # a node never changes


def tree_payload(writing: Writing, message: str = "") -> dict[str, Any]:
    """The tree: of each node its parent, token, name and log-probability; `rows` without a fork, to list them by.

    `prompt` and `flow` are the text as one reads it: what cannot be seen, such as a mark that turns the direction of
    all that follows, is a name. Of a character of several tokens, all comes with the last.
    """
    nodes = writing.tree.nodes
    shown, flow = [""] * len(nodes), [""] * len(nodes)
    rows = writing.segments()
    for row in rows:
        path = writing.tree.path(row[-1])
        tokens = writing.tokenizer.tokens_of_ids([nodes[node].token_id for node in path[1:]])
        for node, name in zip(path[1:], token_names(tokens), strict=True):
            if node in row:
                shown[node] = name
        for chip in display_tokens(tokens):
            last = path[chip.tokens[-1] + 1]
            if last in row:
                flow[last] = _read(chip)
    return {
        "prompt": "".join(map(_read, display_tokens(writing.tokenizer.tokens_of_ids(writing.tree.ids(0))))),
        "parents": [node.parent for node in nodes],
        "ids": [node.token_id for node in nodes],
        "shown": shown,
        "flow": flow,
        "log_probs": [round(node.log_prob, 6) for node in nodes],
        "how": [node.how for node in nodes],
        "norms": [_norms_of(node) for node in nodes],
        "rows": rows,
        "settings": settings_in_words(writing.settings),
        "searches": writing.settings.num_beams > 1,
        "message": message,
    }


def bars_payload(writing: Writing, node: int) -> dict[str, Any]:
    """What can come after a node, before and after the settings, and how the node itself came about."""
    numbers = writing.numbers_at(node)
    chosen = _chosen(writing, node)
    found = writing.choice_at(node, chosen=chosen, numbers=numbers, top=TOP)
    return {
        **_numbers(found),
        "ids": found.ids.tolist(),
        "names": [word(writing.tokenizer, token_id) for token_id in found.ids.tolist()],
        "before": _rounded(found.before.tolist()),
        "after": _rounded(found.after.tolist()),
        "numbers": None if found.numbers is None else _rounded(found.numbers.tolist()),
        "next": -1 if chosen is None else chosen,
        "ended": writing.ends(node),
        "loop": loop_period(writing.tree.ids(node).tolist()),
        "text": writing.tokenizer.decode(writing.tree.ids(node), skip_special_tokens=True),
        "code": writing.code_of(node),
        "came": _came(writing, node),
        "settings": settings_in_words(writing.settings),
    }


def written_payload(writing: Writing) -> dict[str, Any]:
    """A tree for a page that reads it again: of each node after the prompt its parent, token, how, and its settings.

    Raises:
        InputError: it is written with a setting that a page does not have.
    """
    nodes, usual = writing.tree.nodes, Settings()
    others = [one.name for one in fields(Settings) if one.name not in (*CHANGEABLE, *ANY_LENGTH)]
    for settings in (writing.settings, *(node.settings for node in nodes)):
        odd = next((name for name in others if getattr(settings, name) != getattr(usual, name)), "")
        if odd:
            raise InputError(f"a live page writes with {', '.join(CHANGEABLE)}, not with {odd}; save without live=True")

    def of(settings: Settings) -> dict[str, Any]:
        return {name: getattr(settings, name) for name in CHANGEABLE}

    return {
        "text": writing.prompt_text,
        "opening": writing.opening,
        "at": writing.at,
        "most": writing.settings.max_new_tokens,
        "first": of(nodes[0].settings),
        "settings": of(writing.settings),
        "nodes": [[node.parent, node.token_id, node.how, of(node.settings)] for node in nodes[1:]],
    }


def other_payload(writing: Writing, other: Writing, nodes: Iterable[int]) -> dict[str, Any]:
    """Another writing that goes along: its tree and place; after each of these nodes, what it gives their likeliest.

    `probs` are those of the tokens that `bars_payload` lists at a node, after as many tokens of the other text.
    """
    way, probs = other.tree.path(other.at), {}
    for node in nodes:
        depth = len(writing.tree.path(node)) - 1
        if depth < len(way):
            ids = writing.choice_at(node, chosen=_chosen(writing, node), top=TOP).ids
            own = other.tree.nodes[way[depth]].logits.double().softmax(-1)
            probs[str(node)] = _rounded(own[ids.to(own.device)].tolist())
    begun = other.opening.removeprefix("writing = ")
    return {
        "tree": tree_payload(other),
        "at": other.at,
        "probs": probs,
        "code": "" if other.edit or other.header != writing.header else f"other = {begun}.follow(writing)\n",
    }


def labels_payload(writing: Writing) -> dict[str, Any]:
    """The text so far as tokens, and what the task heads say at each."""
    names = token_names(writing.tokenizer.tokens_of_ids(writing.ids))
    said = {task: [[name, round(p, 6)] for name, p in row] for task, row in writing.labels().items()}
    return {"node": writing.at, "tokens": names, **said}


def cache_payload(
    writing: Writing, node: int, keep: str, window: int, other: tuple[Tree, int] | None = None
) -> dict[str, Any]:
    """What the cache of a node holds and saves, and what the next token loses with part of it, or with another's.

    `other` is the tree and the node whose cache can stand in its place.
    """
    config, columns = writing.model.config, len(writing.tree.ids(node))
    number = writing.tree.nodes[0].columns[0][0].element_size()
    found: dict[str, Any] = {
        "node": node,
        "keep": keep,
        "layers": config.n_layer,
        "columns": columns,
        "bytes": cache_bytes(config, columns, number),
        "far": FAR,
        "bytes_far": cache_bytes(config, FAR, number),
        "with": multiplications(config, columns),
        "without": multiplications(config, columns, cached=False),
        "kept": list(range(columns - 1)),
    }
    ids, logits = writing.tree.ids(node), writing.tree.nodes[node].logits
    if keep == OFF:
        difference = uncached_difference(writing.model, ids, logits, writing.edit)
        return {**found, "kept": [], "difference": difference}
    if keep == OTHERS:
        return {**found, **_with_the_others(writing, node, other)}
    if keep == "all":
        return found
    past = writing.tree.cache(node).columns(slice(0, columns - 1))
    lost = evict(writing.model, ids, past, kept(keep, columns - 1, window), writing.edit)
    said, before = int(lost.logits.argmax()), int(logits.argmax())
    return {
        **found,
        "kept": lost.kept,
        "bytes": lost.nbytes + cache_bytes(config, 1, number),
        "kl": lost.kl,
        "kl_in_place": lost.kl_in_place,
        "says": word(writing.tokenizer, said),
        "said": word(writing.tokenizer, before),
    }


def _with_the_others(writing: Writing, node: int, other: tuple[Tree, int] | None) -> dict[str, Any]:
    """The next token with the keys and values of another text's columns, all but the newest."""
    if other is None:
        return {"refused": "compare with a branch first: its cache can then stand in place of this one's"}
    ids, logits = writing.tree.ids(node), writing.tree.nodes[node].logits
    tree, way = other[0], other[0].path(other[1])
    theirs = tree.ids(other[1])
    columns = len(ids) - 1
    if len(theirs) < columns:
        return {"refused": f"the other text has {len(theirs)} tokens, and {columns} are needed: write it on first"}
    past, donor = writing.tree.cache(node).columns(slice(0, columns)), tree.cache(way[-1]).columns(slice(0, columns))
    try:
        moved, after = change_of(writing.model, ids, past, transplant(past, donor, range(columns)), writing.edit)
    except InputError as error:
        return {"refused": str(error)}
    differs = [column for column in range(columns) if int(ids[column]) != int(theirs[column])]
    said, before = int(after.argmax()), int(logits.argmax())
    return {
        "parted": differs[0] if differs else columns,
        "kl": moved,
        "says": word(writing.tokenizer, said),
        "said": word(writing.tokenizer, before),
    }


def _chosen(writing: Writing, node: int) -> int | None:
    return None if writing.settings.num_beams > 1 else writing.next_at(node)


def _numbers(found: Choice) -> dict[str, Any]:
    return {
        "entropy": round(found.entropy, 6),
        "entropy_after": round(found.entropy_after, 6),
        "open": found.open,
        "rank": found.rank,
    }


def _came(writing: Writing, node: int) -> dict[str, Any] | None:
    """How the token of a node was chosen."""
    if not node:
        return None
    step = writing.written(node, top=1)
    found = step.choice
    place = found.ids.tolist().index(found.chosen)
    return {
        **_numbers(found),
        "how": step.how,
        "p": found.probability,
        "after": found.probability_after,
        "number": None if found.numbers is None else float(found.numbers[place]),
        "settings": settings_in_words(found.settings),
    }


def _read(chip: DisplayToken) -> str:
    """A piece of text as one reads it; what cannot be seen, or is no character, as its name."""
    letters = "".join(letter for letter in chip.text if letter not in JOINERS)
    return chip.text if letters.isprintable() and "\ufffd" not in chip.text and chip.text else chip.shown


def _norms_of(node: Node) -> list[list[float]]:
    """How long the values of a node's columns are: of each layer, each column's."""
    if node not in _norms:
        _norms[node] = [_rounded(row) for row in value_norms(node.columns).tolist()]
    return _norms[node]


def _rounded(values: list[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
