from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.lens.hidden import READ, READ_PARTS, _directions, cosines, norms, pca, shares, stream
from bloomlab.tracing.edits import add
from tests.lens.sentences import SENTENCES


def vectors(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# -- the stream ----


def test_the_stream_is_every_state_in_the_order_of_the_model(random_lab: Callable[..., Lab]) -> None:
    trace = random_lab().trace("abcde", read=[*READ, "resid_pre"])
    labels, states = stream(trace)
    assert labels == ("embed", "0 mid", "0 post", "1 mid", "1 post", "2 mid", "2 post")
    assert states.shape == (7, 5, 24)
    for i, layer in enumerate((0, 1, 2)):  # what one layer leaves is what the next one gets
        assert torch.equal(states[2 * i], trace[f"h.{layer}.resid_pre"][0])


def test_the_stream_of_a_model_that_replaces_it_can_be_looked_at(random_lab: Callable[..., Lab]) -> None:
    lab = random_lab(apply_residual_connection_post_layernorm=True)
    assert stream(lab.trace("abc", read=READ)).states.isfinite().all()


def test_norms_and_cosines_are_those_of_other_libraries() -> None:
    states = vectors(4, 5, 16)
    assert np.allclose(norms(states), np.linalg.norm(states.numpy(), axis=-1), atol=1e-5)
    for a in range(4):
        for b in range(4):
            expected = F.cosine_similarity(states[a], states[b], dim=-1)
            assert torch.allclose(cosines(states)[a, b], expected, atol=1e-6)


def test_cosines_do_not_change_with_length_and_turn_over_with_sign() -> None:
    state = vectors(1, 3, 8)
    found = cosines(torch.cat([state, 5 * state, -state]))[0]
    assert torch.allclose(found, torch.tensor([[1.0], [1.0], [-1.0]]).expand(3, 3), atol=1e-6)


# -- shares ----


@pytest.mark.parametrize("n_head", [1, 6, 7])
def test_the_parts_sum_to_the_last_state_and_the_shares_to_one(n_head: int, random_lab: Callable[..., Lab]) -> None:
    found = shares(random_lab(n_head).trace(["abcdefgh", "xyz"], read=READ_PARTS).row(1))
    assert found.labels == ("embed", "0 attn", "0 mlp", "1 attn", "1 mlp", "2 attn", "2 mlp", "rest")
    assert found.error < 1e-4
    assert torch.allclose(found.shares.sum(0), torch.ones(3), atol=1e-6)
    assert found.shares[1:-1].abs().max() > 0.05  # not all of it is the embedding


@pytest.mark.parametrize("language", SENTENCES)
def test_the_parts_of_the_embedded_model_sum_to_its_last_state(language: str, lab: Lab) -> None:
    trace = lab.trace(SENTENCES[language], read=READ_PARTS)
    found = shares(trace)
    assert found.error < 1e-4
    assert torch.allclose(found.norms[3], trace["h.1.attn.out"][0].norm(dim=-1))
    last, part = trace[f"h.{lab.model.config.n_layer - 1}.resid_post"][0], trace["h.1.attn.out"][0]
    by_angle = F.cosine_similarity(part, last, dim=-1) * part.norm(dim=-1) / last.norm(dim=-1)
    assert torch.allclose(found.shares[3], by_angle, atol=1e-6)


def test_what_an_edit_puts_into_the_stream_is_the_rest(random_lab: Callable[..., Lab]) -> None:
    trace = random_lab().trace("abc", read=READ_PARTS, edit={"h.1.resid_mid": add(torch.ones(24), pos=1)})
    found = shares(trace)
    assert found.norms[-1].tolist() == pytest.approx([0, 24**0.5, 0], abs=1e-4)
    assert found.error == pytest.approx(24**0.5, abs=1e-4)
    assert torch.allclose(found.shares.sum(0), torch.ones(3), atol=1e-6)


def test_a_model_whose_stream_is_no_sum_is_refused(random_lab: Callable[..., Lab]) -> None:
    trace = random_lab(apply_residual_connection_post_layernorm=True).trace("abc", read=READ_PARTS)
    with pytest.raises(InputError, match="this model's stream is not a sum"):
        shares(trace)


# -- the map ----


@pytest.mark.parametrize("shape", [(20, 6), (5, 30)])
def test_the_map_is_scikit_learns_up_to_sign(shape: tuple[int, int]) -> None:
    points = vectors(*shape) * torch.linspace(3, 0.5, shape[1]) + 7
    ours, reference = pca(points, axes=3), PCA(3).fit(points.double().numpy())
    theirs = torch.from_numpy(reference.transform(points.double().numpy())).float()
    sign = (ours.points * theirs).sum(0).sign()
    assert torch.allclose(ours.points, theirs * sign, atol=1e-4)
    components = torch.from_numpy(reference.components_).float()
    assert torch.allclose(ours.directions, components * sign[:, None], atol=1e-4)
    ratio = torch.from_numpy(reference.explained_variance_ratio_).float()
    assert torch.allclose(ours.explained, ratio, atol=1e-5)


def test_with_all_axes_the_map_keeps_every_distance() -> None:
    points = vectors(9, 4)
    found = pca(points, axes=4)
    assert torch.allclose(torch.cdist(found.points, found.points), torch.cdist(points, points), atol=1e-4)
    assert found.explained.sum().item() == pytest.approx(1)


def test_a_map_is_not_mirrored_with_its_vectors_order() -> None:
    points, order = vectors(12, 5), torch.randperm(12, generator=torch.Generator().manual_seed(0))
    found = pca(points)
    assert torch.allclose(pca(points[order]).points, found.points[order], atol=1e-5)
    assert (found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True)) > 0).all()


@pytest.mark.parametrize("points", [vectors(1, 5), vectors(1, 5).expand(4, 5)])
def test_points_that_do_not_differ_lie_in_the_middle(points: torch.Tensor) -> None:
    found = pca(points)
    assert found.points.shape == (len(points), 2)
    assert not found.points.abs().gt(1e-6).any()
    assert not found.explained.any()


@pytest.mark.parametrize("axes", [0, 6])
def test_a_map_has_no_more_axes_than_its_vectors_are_wide(axes: int) -> None:
    with pytest.raises(InputError, match="vectors 5 wide"):
        pca(vectors(4, 5), axes=axes)


def test_a_map_of_several_states_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(2, 3, 4\); pick a state"):
        pca(vectors(2, 3, 4))


@pytest.mark.parametrize("steep", [0.0, 0.01, 0.3, 3.0])
def test_a_long_texts_map_is_the_one_of_all_its_directions(steep: float) -> None:
    """Of a cloud without long axes the quick way does not settle, and all directions are computed."""
    lengths = torch.arange(1, 301).double() ** -steep
    centred = vectors(200, 300).double() * lengths
    centred = centred - centred.mean(0)
    sizes, directions = _directions(centred, 2)
    _, expected, reference = torch.linalg.svd(centred, full_matrices=False)
    assert torch.allclose(sizes, expected[:2], rtol=1e-7)
    assert torch.allclose((directions @ reference[:2].mT).abs(), torch.eye(2).double(), atol=1e-5)
