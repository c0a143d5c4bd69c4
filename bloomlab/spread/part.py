"""A part of a model, as it stands on an engine: a BloomForCausalLM whose large matrices are shares, and its questions.

Nothing of BLOOM is written a second time here. The model's own lines run on every part; only the products of its
matrices, the slopes that go with a part's heads, and the spots whose tensors are shares are told to the others.
"""

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError
from bloomlab.guards.memory import check_memory
from bloomlab.guards.uninterrupted import interrupts_wait
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NO_HOOKS, At, Edit, Hooks, Known, Reading, chain, edited
from bloomlab.model.attention import Bias, BloomAttention, KeyValue
from bloomlab.model.cache import KVCache
from bloomlab.model.mlp import BloomMLP
from bloomlab.spread.group import Group, LostTouch
from bloomlab.spread.letters import read_letter, written
from bloomlab.spread.shares import ranges, share, share_bytes
from bloomlab.weights.checkpoint import match, open_folder
from bloomlab.weights.hub import find
from bloomlab.weights.pretrained import DTYPES, shapes_only, without_gradients

AXES_IN_SHARES = ("head", "neuron")
"""The axes along which a tensor on a part is a share; every other tensor is whole."""


# -- the matrices that are shares -------------------------------------------------------------------------


class ShareOfOutputs(nn.Linear):
    """Some rows of a matrix: some of its outputs, from the whole input."""

    def __init__(self, like: nn.Linear, outputs: int, group: Group) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.group, self.count = (
            like.in_features,
            outputs,
            group,
            like.out_features,
        )
        self.weight = nn.Parameter(like.weight.new_empty(outputs, like.in_features), requires_grad=False)
        bias = None if like.bias is None else nn.Parameter(like.bias.new_empty(outputs), requires_grad=False)
        self.register_parameter("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.group.shown_to_all(x), self.weight, self.bias)

    def whole(self, x: Tensor) -> Tensor:
        """What the whole matrix makes of a whole input."""
        return self.group.joined(self(x), x.dim() - 1, self.count)


class ShareOfInputs(nn.Linear):
    """Some columns of a matrix: what the parts make of their inputs is added up, and the bias once, after that."""

    def __init__(self, like: nn.Linear, inputs: int, group: Group) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.group = inputs, like.out_features, group
        self.weight = nn.Parameter(like.weight.new_empty(like.out_features, inputs), requires_grad=False)
        bias = None if like.bias is None else nn.Parameter(like.bias.new_empty(like.out_features), requires_grad=False)
        self.register_parameter("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        total = self.group.summed(F.linear(x, self.weight))
        return total if self.bias is None else total + self.bias

    def whole(self, x: Tensor) -> Tensor:
        """What the whole matrix makes of a whole input."""
        made: Tensor = self(self.group.own(x, x.dim() - 1))
        return made


class Scores(ShareOfOutputs):
    """The head: each part scores its share of the vocabulary, and every part gets all scores."""

    def forward(self, x: Tensor) -> Tensor:
        return self.group.joined(super().forward(x), x.dim() - 1, self.count)

    whole = forward


class ShareOfTable(nn.Embedding):
    """Some rows of the table. A token's vector comes from the part that has it; the others add zeros."""

    def __init__(self, like: nn.Embedding, tokens: range, group: Group) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim, self.group, self.tokens = (
            len(tokens),
            like.embedding_dim,
            group,
            tokens,
        )
        self.padding_idx, self.max_norm = None, None
        self.weight = nn.Parameter(like.weight.new_empty(len(tokens), like.embedding_dim), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        mine = (ids >= self.tokens.start) & (ids < self.tokens.stop)
        if not len(self.tokens):
            return self.group.summed(self.weight.new_zeros(*ids.shape, self.embedding_dim))
        rows = F.embedding((ids - self.tokens.start).clamp(0, len(self.tokens) - 1), self.weight)
        return self.group.summed(torch.where(mine[..., None], rows, 0))

    whole = forward


# -- the components that know which heads and neurons are here ---------------------------------------------


class WholeAtSpots(Hooks):
    """A component's hooks: at each spot that is read or edited a share is made whole, and taken apart again."""

    def __init__(self, inner: Hooks, group: Group, config: BloomConfig) -> None:
        self.inner, self.group, self.counts = inner, group, {"head": config.n_head, "neuron": 4 * config.hidden_size}

    def __call__(self, name: str, tensor: Tensor, axes: str) -> Tensor:
        if not self.inner.wants(name):
            return tensor
        cut = next((axis for axis in axes.split() if axis in AXES_IN_SHARES), None)
        if cut is None:
            return self.inner(name, tensor, axes)
        axis = axes.split().index(cut)
        whole = self.group.joined(tensor, axis, self.counts[cut])
        return self.group.own(self.inner(name, whole, axes), axis)

    def wants(self, *names: str) -> bool:
        return self.inner.wants(*names)


class PartOfAttention(BloomAttention):
    """Attention of some of the heads, with the slopes that are theirs."""

    def __init__(self, config: BloomConfig, group: Group) -> None:
        super().__init__(config)
        self.config, self.group, self.heads = config, group, ranges(config.n_head, group.size)[group.rank]
        width = len(self.heads) * config.head_dim
        self.query_key_value = ShareOfOutputs(self.query_key_value, 3 * width, group)
        self.dense = ShareOfInputs(self.dense, width, group)

    def forward(
        self, x: Tensor, bias: Bias, past: KeyValue | None = None, hooks: Hooks = NO_HOOKS
    ) -> tuple[Tensor, KeyValue]:
        mine: Bias | None = getattr(bias, "of_these_heads", None)  # made once a pass, as the whole one is
        if mine is None:
            heads = slice(self.heads.start, self.heads.stop)  # of no head the kernel would end the process
            mine = Bias(bias.alibi[:, heads], bias.visible, causal=bias.causal and len(self.heads) > 0)
            bias.of_these_heads = mine  # type: ignore[attr-defined]  # for the other layers of this pass
        return super().forward(x, mine, past, WholeAtSpots(hooks, self.group, self.config))


class PartOfMLP(BloomMLP):
    """The MLP of some of the neurons."""

    def __init__(self, config: BloomConfig, group: Group) -> None:
        super().__init__(config)
        self.config, self.group = config, group
        neurons = len(ranges(4 * config.hidden_size, group.size)[group.rank])
        self.dense_h_to_4h = ShareOfOutputs(self.dense_h_to_4h, neurons, group)
        self.dense_4h_to_h = ShareOfInputs(self.dense_4h_to_h, neurons, group)

    def forward(self, x: Tensor, hooks: Hooks = NO_HOOKS) -> Tensor:
        return super().forward(x, WholeAtSpots(hooks, self.group, self.config))


class OnFirst:
    """An edit that runs on the first part; the others get what it returned. (Where gradients are kept, on all.)"""

    def __init__(self, edit: Edit, group: Group) -> None:
        self.edit, self.group = edit, group

    def __call__(self, tensor: Tensor, at: At) -> Tensor:
        if tensor.requires_grad:
            return self.edit(tensor, at)
        return self.group.from_first(edited(tensor, self.edit, at) if self.group.rank == 0 else tensor)


def make_part(config: BloomConfig, group: Group) -> BloomForCausalLM:
    """One part of a model of this config, without numbers yet."""
    config = copy(config)
    with shapes_only():
        model = BloomForCausalLM(config)
        for block in model.transformer.h:
            block.self_attention, block.mlp = PartOfAttention(config, group), PartOfMLP(config, group)
        tokens = ranges(config.vocab_size, group.size)[group.rank]
        model.transformer.word_embeddings = ShareOfTable(model.transformer.word_embeddings, tokens, group)
        model.lm_head = Scores(model.lm_head, len(tokens), group)
        if config.tie_word_embeddings:
            model.tie_weights()
    config.heads_here = len(ranges(config.n_head, group.size)[group.rank])  # see past_pairs
    return model.requires_grad_(False).eval()


# -- a part and its questions ------------------------------------------------------------------------------


class Asked(NamedTuple):
    """What Hooks ask for, without what they have read: this is what is sent."""

    read: tuple[str, ...]
    names: tuple[str, ...]
    edit: dict[str, tuple[Edit, ...]]
    known: Known | None


class Past(NamedTuple):
    """A cache that the parts keep, and what has been done to it since: see `whole.FarCache`."""

    key: str
    steps: tuple[tuple[str, Any], ...]


class Part:
    """One part of one model: the model, the group, and the caches that the notebook holds on to."""

    def __init__(self, model: BloomForCausalLM, group: Group, source: Any = None) -> None:
        self.model, self.group, self.source = model, group, source
        self.caches: dict[str, KVCache] = {}

    @classmethod
    def open(cls, source: Any, config: BloomConfig, dtype: str, device: str | None, group: Group) -> Self:
        """Read this part's share of the files, and nothing else of them.

        Raises:
            CheckpointError, DownloadError: as `from_pretrained` does.
            MemoryLimitError: the share does not fit into this machine's memory.
        """
        name, revision, cache_dir = source
        source = find(name, CheckpointError, revision, cache_dir)
        path = source.fetch("weights")
        model = make_part(config, group)
        with shapes_only():
            like = BloomForCausalLM(config)
        shapes = {name: tuple(tensor.shape) for name, tensor in like.named_parameters()}
        plan = match(open_folder(path), shapes, [])
        number_type = DTYPES.get(dtype) or next(tensor.dtype for tensor in plan.source.values())
        size = share_bytes(shapes, config, group.rank, group.size, number_type.itemsize)
        place: Any = torch.device(device or "cpu")
        if place.type == "cpu":
            check_memory(size, f"part {group.rank} of {group.size}", "spread it over more engines, or choose bfloat16")
        elif place.type == "cuda" and place.index is None:
            place = torch.device("cuda", group.rank % torch.cuda.device_count())
        state = {}
        for name, stored in plan.source.items():
            mine = share(name, config, group.rank, group.size)
            cut = stored.load(number_type) if mine is None else stored.load_share(number_type, *mine)
            state[name] = (cut.clone() if mine is None else cut).to(place)
            stored.check_unchanged()
        without_gradients(model.load_state_dict, state_dict=state, strict=False, assign=True)
        if config.tie_word_embeddings:
            model.tie_weights()
        return cls(model.requires_grad_(False), group, plan)


_parts: dict[str, Part] = {}
"""The parts on this engine, by the key of the model that they belong to."""

_groups: dict[str, Group] = {}


def answer(key: str, talk: tuple[int, float], letter: bytes) -> bytes:
    """Take part in a call `function(part, *arguments)` that all parts make, in this round of talks; never raises."""
    printed, first = io.StringIO(), True
    try:
        with interrupts_wait():  # else some would wait for one that never comes to meet them
            group = _groups.get(key)
            first = group is None or group.rank == 0
            if group is not None:
                group.meet(talk)
        function, arguments = read_letter(letter)
        with contextlib.redirect_stdout(printed):
            result = function(_parts.get(key), *arguments)
        return written(("done", result if first else None, printed.getvalue() if first else ""))
    except BaseException as error:  # the others wait: they must hear of whatever it is, an interrupt, too
        if key in _groups:
            _groups[key].leave()
        said = printed.getvalue() if first else ""
        if isinstance(error, BloomlabError):
            return written(("error", error, said))
        kind = "lost" if isinstance(error, LostTouch) else "stop" if isinstance(error, KeyboardInterrupt) else "other"
        return written((kind, f"{type(error).__name__}: {error}" if kind == "other" else str(error), said))


def part_of(key: str) -> BloomForCausalLM:
    """What a model of several parts becomes when it travels to one of them: the part's own."""
    if key not in _parts:
        raise BloomlabError("a model of several parts stays where it is; open it anew with bloomlab.load(…, engines=…)")
    return _parts[key].model


# -- what is asked ----------------------------------------------------------------------------------------
# each is a function of a part, and runs on all of them


def begin(_: None, key: str, rank: int, size: int, address: str) -> tuple[str, int] | None:
    """Make a group of this engine; the first part says where it can be found."""
    _groups[key] = Group(rank, size, address)
    return _groups[key].host() if rank == 0 else None


def join(_: None, key: str, place: tuple[str, int]) -> None:
    """Find the first part."""
    _groups[key].find(place)


def open_part(_: None, key: str, source: Any, config: BloomConfig, dtype: str, device: str | None) -> dict[str, Any]:
    """Open this part; back come the dtype and what is whole and small, the layer norms."""
    _parts[key] = part = Part.open(source, config, dtype, device, _groups[key])
    norms = {name: tensor for name, tensor in part.model.named_parameters() if "layernorm" in name or "ln_f" in name}
    table = part.model.transformer.position_embeddings
    return {"norms": norms, "dtype": part.model.dtype, "positions": None if table is None else table.weight}


def close_part(_: Part | None, key: str) -> None:
    """Let go of the weights and the group."""
    _parts.pop(key, None)
    if group := _groups.pop(key, None):
        group.leave()


def hang_up(key: str) -> None:
    """Free the others, if they wait for this part."""
    if key in _groups:
        _groups[key].leave()


def run_pass(
    part: Part, body_only: bool, call: dict[str, Any], asked: Sequence[Asked], keep: str
) -> tuple[dict[str, Any], list[dict[str, Reading]], tuple[int, int] | None]:
    """One call of the model: its output by name, what each of the hooks has read, and rows and columns of the cache."""
    model, group = part.model, part.group
    links = [
        Hooks(
            each.read,
            {name: [OnFirst(edit, group) for edit in several] for name, several in each.edit.items()},
            known=None if each.known is None else Known(each.known.layer, each.known.state.to(model.device)),
            passing=each.names,
        )
        for each in asked
    ]
    here = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in call.items()}
    here["past_key_values"] = cache_here(part, here.get("past_key_values"))
    runner: Any = model.transformer if body_only else model
    output = without_gradients(runner, **here, return_dict=True, hooks=chain(*links))
    found = dict(output.items())
    cache: KVCache | None = found.pop("past_key_values", None)
    if cache is not None:
        part.caches[keep] = cache
    about = None if cache is None else (cache[0][0].shape[0], cache.length)
    return found, [dict(link.readings) if link.read else {} for link in links], about


def cache_here(part: Part, past: Any) -> Any:
    """This part's heads of a cache: one that it keeps, or one that was sent whole."""
    if not isinstance(past, Past):
        heads = ranges(part.model.config.n_head, part.group.size)[part.group.rank]
        cut = slice(heads.start, heads.stop)
        return (
            None
            if past is None
            else KVCache([(k[:, cut].to(part.model.device), v[:, cut].to(part.model.device)) for k, v in past])
        )
    cache = part.caches[past.key]
    for step, index in past.steps:
        cache = cache.copied() if step == "copied" else getattr(cache, step)(index)
    return cache


def cached_layer(part: Part, past: Past, layer: int) -> KeyValue:
    """Keys and values of one layer, of all heads."""
    k, v = cache_here(part, past)[layer]
    return part.group.joined(k, 1, part.model.config.n_head), part.group.joined(v, 1, part.model.config.n_head)


def forget(part: Part, keys: Sequence[str]) -> None:
    """Caches that nobody holds on to any more."""
    for key in keys:
        part.caches.pop(key, None)


def product(part: Part, name: str, x: Tensor) -> Tensor:
    """What one of the model's matrices makes of a whole input."""
    layer: Any = part.model.get_submodule(name)
    made: Tensor = without_gradients(
        layer.whole, **{"ids" if name.endswith("embeddings") else "x": x.to(part.model.device)}
    )
    return made


def parameter(part: Part, name: str) -> Tensor:
    """A parameter, whole."""
    tensor, mine = part.model.get_parameter(name), share(name, part.model.config, 0, 1)
    if mine is None:
        return tensor.detach()
    model, size = part.model, part.group.size
    counts = [cut.stop - cut.start for rank in range(size) if (cut := share(name, model.config, rank, size))]
    longest = max(counts)  # (heads are dealt, so rows are not as even as they could be)
    padded = tensor.new_zeros((longest, *tensor.shape[: mine.axis], *tensor.shape[mine.axis + 1 :]))
    padded[: tensor.shape[mine.axis]] = tensor.detach().movedim(mine.axis, 0)
    found = part.group.join_now(padded, 0, longest * size).unflatten(0, (size, longest))
    joined = torch.cat([rows[:count] for rows, count in zip(found, counts, strict=True)])
    return joined.movedim(0, mine.axis).contiguous()


def digest(part: Part) -> str:
    """What `weights_hash` says of the whole model: the first part reads the files for it, one tensor at a time."""
    found = hashlib.sha256()
    if part.group.rank == 0:
        for name, stored in sorted(part.source.source.items()):
            tensor = stored.load(part.model.dtype)
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()[:12]


def beside(part: Part, function: Callable[..., Any], *arguments: Any) -> Any:
    """A function of a model, with the part in the model's place."""
    here = [each.to(part.model.device) if isinstance(each, Tensor) else each for each in arguments]
    return function(part.model, *here)


def measured(part: Part) -> dict[str, int]:
    """Bytes that this part has handed to the others so far, those of its weights, and the most memory it had."""
    import resource  # (not on Windows)

    weights = sum(tensor.nbytes for tensor in part.model.parameters())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"sent": part.group.sent, "weights": weights, "most": most}


def watch(_: None, notebook: int, controller: int, threads: int) -> None:
    """On an engine that a notebook has started: compute in so many threads, and end when the notebook does."""
    torch.set_num_threads(threads)
    threading.Thread(target=partial(_end_with, notebook, controller), daemon=True).start()


def _end_with(notebook: int, controller: int) -> None:
    import psutil  # type: ignore[import-untyped]  # ipykernel brings it

    with contextlib.suppress(psutil.Error):
        owner = psutil.Process(notebook)
        while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    for pid in (controller, os.getpid()):  # with all that they have started
        with contextlib.suppress(psutil.Error):
            for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
                process.kill()
