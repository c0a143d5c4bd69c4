"""Why does this token look there? The score of a look as a table: parts of the query × parts of the key.

    q = Wq · norm(state of the query) + b,  k = Wk · norm(state of the key) + b       each state is a sum of parts
    score = q · k / √head_dim = Σ over parts of the query, Σ over parts of the key

The norm is held at the size it has measured, so each side is a sum, and so is their product. Softmax compares the
keys of one query: why this key and not that one is the difference of two such tables.

Source: the query-key circuit, Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.lens.inputs import check
from bloomlab.lens.receipt import READ as PARTS
from bloomlab.lens.receipt import body, part_names, stream_parts
from bloomlab.model.attention import split_heads
from bloomlab.tracing.trace import Trace
from bloomlab.weights.for_others import linear_map
from bloomlab.weights.pretrained import BloomPreTrainedModel

READ = [*PARTS, "attn.scores"]


@dataclass(frozen=True)
class LookReceipt(NearMatches):
    """The score of one look, in nats before the bias of its distance.

    Attributes:
        names: "embedding", "head 0.0", …, "MLP 0", … of the layers below, and "bias".
        parts: (query part, key part) they sum to the score.
        score: as the model computed it.
        error: how far the sum is from it.
    """

    names: tuple[str, ...]
    parts: Tensor
    score: float
    error: float

    @property
    def of_query(self) -> Tensor:
        """(part) what each part of the query's state gives."""
        return self.parts.sum(1)

    @property
    def of_key(self) -> Tensor:
        """(part) what each part of the key's state gives."""
        return self.parts.sum(0)

    def against(self, other: "LookReceipt") -> "LookReceipt":
        """Why here and not there: the difference to another look of the same head."""
        if self.names != other.names:
            raise InputError("two looks are compared in one layer; these are of different ones")
        score, parts = self.score - other.score, self.parts - other.parts
        return LookReceipt(self.names, parts, score, abs(parts.double().sum().item() - score))


def look_receipt(model: BloomPreTrainedModel, trace: Trace, layer: int, head: int, query: int, key: int) -> LookReceipt:
    """The score of one look of one head; the trace must have read READ.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> found = look_receipt(lab.model, lab.trace("Leo lives in Oslo.", READ), 1, 1, 4, 2)
    >>> found.error < 1e-5 * max(1, abs(found.score)), found.names[0], found.parts.shape
    (True, 'embedding', torch.Size([12, 12]))

    Raises:
        HookError: the trace lacks a spot.
        InputError: the stream is no sum; or there is no such layer, head, or key before the query.
    """
    check(trace, READ)
    config = trace.config
    columns = trace.ids.shape[1]
    if not (0 <= layer < config.n_layer and 0 <= head < config.n_head and 0 <= key <= query < columns):
        raise InputError(
            f"a look is of a layer from 0 to {config.n_layer - 1}, a head from 0 to {config.n_head - 1}, and a query "
            f"from 0 to {columns - 1} at a key not after it; got layer {layer}, head {head}, query {query}, key {key}"
        )
    block = body(model).h[layer]
    matrix, bias = linear_map(block.self_attention.query_key_value)
    norm = block.input_layernorm
    weight, shift = norm.weight.detach().double().cpu(), norm.bias.detach().double().cpu()
    sides = []
    for position, which in ((query, 0), (key, 1)):
        parts, state = stream_parts(model, trace, position, layer)
        sigma = (state.var(-1, unbiased=False) + norm.eps).sqrt()
        scaled = (parts[0] - parts[0].mean(-1, keepdim=True)) / sigma * weight  # (part, hidden)
        made = torch.cat([scaled, shift[None]]) @ matrix.double().cpu().T
        made[-1] += 0.0 if bias is None else bias.double().cpu()
        sides.append(split_heads(made[None], config.head_dim)[which][0, head])  # (part, head_dim)
    table = sides[0] @ sides[1].T / math.sqrt(config.head_dim)
    score = trace.head(f"h.{layer}.attn.scores", head)[query, key].item()
    names = (*part_names(layer, config.n_head), "bias")
    return LookReceipt(names, table.float(), score, abs(table.sum().item() - score))
