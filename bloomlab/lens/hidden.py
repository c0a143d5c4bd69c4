"""The residual stream, layer by layer: how long its vectors are, how they turn, and who added what.

embed ─ + attention ─ mid ─ + MLP ─ post ─ + attention ─ …         one vector a token at every step

The states are named "embed", "0 mid", "0 post", "1 mid", …: between attention and MLP of layer 0, after layer 0, …
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bloomlab.errors import InputError
from bloomlab.lens.inputs import check, one
from bloomlab.tracing.trace import Trace

READ = ["embed", "resid_mid", "resid_post"]
READ_PARTS = ["embed", "attn.out", "mlp.out", "resid_post"]


class Stream(NamedTuple):
    """The states of the residual stream: `labels` (state), `states` (state, pos, hidden)."""

    labels: tuple[str, ...]
    states: Tensor


def stream(trace: Trace) -> Stream:
    """All states that a trace has read, in the order of the model; it must have read READ.

    >>> import bloomlab
    >>> stream(bloomlab.load().trace("Leo lives", read=READ)).labels[:4]
    ('embed', '0 mid', '0 post', '1 mid')

    Raises:
        HookError, InputError: the trace lacks a spot, or is of several texts.
    """
    check(trace, READ)
    spots = {"embed": "embed"}
    for layer in range(trace.config.n_layer):
        spots |= {f"{layer} mid": f"h.{layer}.resid_mid", f"{layer} post": f"h.{layer}.resid_post"}
    return Stream(tuple(spots), torch.stack([one(trace, spot) for spot in spots.values()]))


def norms(states: Tensor) -> Tensor:
    """The length of each vector: (…, hidden) -> (…).

    >>> norms(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    tensor([5., 2.])
    """
    return states.square().sum(-1).sqrt()


def cosines(states: Tensor) -> Tensor:
    """How much two states of one token point the same way, 1 to -1: (state, pos, hidden) -> (state, state, pos).

    >>> cosines(torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]]))[..., 0]
    tensor([[1.0000, 0.7071],
            [0.7071, 1.0000]])
    """
    unit = F.normalize(states, dim=-1).transpose(0, 1)  # (pos, state, hidden)
    return (unit @ unit.mT).permute(1, 2, 0)


@dataclass(frozen=True)
class Shares:
    """Who added what to the stream: parts are "embed", "0 attn", "0 mlp", …, and "rest".

    Attributes:
        norms: (part, pos) how long each part's vector is.
        shares: (part, pos) how much of the last state it is: its projection on that state over the state's length.
            A part that points the other way has a negative share. The shares of one token sum to 1.
        error: the length of the largest rest: 0 up to rounding, unless an edit changed the stream itself.
    """

    labels: tuple[str, ...]
    norms: Tensor
    shares: Tensor
    error: float


def shares(trace: Trace) -> Shares:
    """How much of the last state is the embedding, each attention and each MLP; the trace must have read READ_PARTS.

        last = embed + Σ attn.out + Σ mlp.out            share = part·last / last·last

    >>> import bloomlab
    >>> found = shares(bloomlab.load().trace("Leo lives", read=READ_PARTS))
    >>> found.error < 1e-4, found.shares.sum(0).round(decimals=3)
    (True, tensor([1., 1.]))

    Raises:
        HookError: the trace lacks a spot.
        InputError: it is of several texts; or the model's layer norms replace the stream, which is then not a sum.
    """
    check(trace, READ_PARTS)
    if trace.config.apply_residual_connection_post_layernorm:
        raise InputError(
            "this model's stream is not a sum: apply_residual_connection_post_layernorm=True puts a layer norm in its "
            "place before each addition, so there are no shares; look at stream(trace) instead"
        )
    spots = {"embed": "embed"}
    for layer in range(trace.config.n_layer):
        spots |= {f"{layer} attn": f"h.{layer}.attn.out", f"{layer} mlp": f"h.{layer}.mlp.out"}
    last = one(trace, f"h.{trace.config.n_layer - 1}.resid_post").double()
    rest, found = last, []
    for spot in spots.values():  # one after the other: of a long text all of them in float64 would be large
        part = one(trace, spot).double()  # (pos, hidden)
        rest = rest - part
        found.append(split(part, last))
    found.append(split(rest, last))
    sizes, projected = (torch.stack(column).float() for column in zip(*found, strict=True))
    return Shares((*spots, "rest"), sizes, projected, rest.norm(dim=-1).max().item())


def split(parts: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """The lengths of the parts and their shares of the total: parts (…, pos, hidden), total (pos, hidden).

    >>> split(torch.tensor([[[3.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([[3.0, 1.0]]))[1]
    tensor([[0.9000],
            [0.1000]])
    """
    return norms(parts), (parts * total).sum(-1) / total.square().sum(-1)


def _directions(centred: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """The first singular values and right singular vectors of points (point, hidden).

    Of few points, from their products with each other (point, point), which takes a fifth of the time.
    """
    points, width = centred.shape
    if axes < points < width:
        squares, mixes = _largest_eigen(centred @ centred.mT, axes)
        if squares[-1] > 1e-9 * squares[0]:  # else these directions are rounding
            return squares.sqrt(), (mixes / squares.sqrt()).mT @ centred
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    return sizes[:axes], directions[:axes]


def _largest_eigen(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues of a symmetric matrix, the largest first, and their vectors (row, count).

    Of a large matrix all of them would take long, so a few directions are multiplied by it until they stay the same.
    Source: Golub and Van Loan, "Matrix Computations", 2013, section 8.2.4, orthogonal iteration.
    """
    few = count + 14
    if len(matrix) > 8 * few:
        turned = torch.randn(len(matrix), few, dtype=matrix.dtype, generator=torch.Generator().manual_seed(0))
        for _ in range(3):
            for _ in range(10):
                turned = torch.linalg.qr(matrix @ turned).Q
            values, mixes = _falling(turned.mT @ matrix @ turned, count)
            vectors = turned @ mixes
            if (matrix @ vectors - values * vectors).norm() <= 1e-9 * values[0]:
                return values, vectors
    return _falling(matrix, count)


def _falling(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(matrix)
    return values.flip(-1)[:count], vectors.flip(-1)[:, :count]


@dataclass(frozen=True)
class PcaMap:
    """Points on a map: `points` (point, axis), `directions` (axis, hidden), and `explained` (axis), the share of the
    points' variance that each axis shows."""

    points: Tensor
    directions: Tensor
    explained: Tensor


def pca(vectors: Tensor, axes: int = 2) -> PcaMap:
    """The map on which the vectors lie farthest apart: (point, hidden) -> principal components.

    Each direction's largest entry is positive, so that a map is not mirrored from run to run. Where there are fewer
    points than axes can spread, the last axes are 0.

    Source: Jolliffe, "Principal Component Analysis", 2002, section 3.5: the right singular vectors of the centred data.

    >>> pca(torch.tensor([[0.0, 0.0], [0.0, 2.0], [0.0, 4.0]]), axes=1).points
    tensor([[-2.],
            [ 0.],
            [ 2.]])
    """
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise InputError(f"a map needs vectors (point, hidden), but got the shape {tuple(vectors.shape)}; pick a state")
    if not 1 <= axes <= vectors.shape[1]:
        raise InputError(f"a map of vectors {vectors.shape[1]} wide has 1 to as many axes, but got {axes}")
    centred = (vectors - vectors.mean(0)).double()
    sizes, directions = _directions(centred, axes)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    directions = directions * largest.sign()
    missing = axes - len(sizes)
    sizes, directions = F.pad(sizes, (0, missing)), F.pad(directions, (0, 0, 0, missing))
    variance = centred.square().sum()
    explained = sizes.square() / variance if variance > 0 else torch.zeros(axes)
    return PcaMap((centred @ directions.mT).float(), directions.float(), explained.float())
