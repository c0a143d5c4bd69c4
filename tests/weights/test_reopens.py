"""A saved model comes back as it is, or is refused before anything is written."""

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bloomlab
from bloomlab.config import BloomConfig
from bloomlab.errors import CheckpointError, InputError

SIZES: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "n_layer": 3, "n_head": 4, "pad_token_id": 3}
IDS = torch.tensor([[5, 6, 7, 8]])
CLASSES = (
    "BloomModel BloomForCausalLM BloomForSequenceClassification BloomForTokenClassification BloomForQuestionAnswering"
).split()


def made(name: str = "BloomForCausalLM", seed: int = 3, **config: Any) -> Any:
    model = getattr(bloomlab, name)(BloomConfig(**{**SIZES, **config})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * 0.3)
    return model


def result(model: Any) -> torch.Tensor:
    with torch.no_grad():
        first: torch.Tensor = model(IDS, return_dict=False)[0]
    return first


def own_head(model: Any) -> None:
    model.lm_head.weight = nn.Parameter(torch.randn(model.lm_head.weight.shape))


def shared_block(model: Any) -> None:
    model.base_model.h[1] = model.base_model.h[0]


def shared_norm(model: Any) -> None:
    model.base_model.h[2].input_layernorm = model.base_model.ln_f


def fewer_layers(model: Any) -> None:
    model.base_model.h = model.base_model.h[:2]
    model.config.n_layer = 2


def more_labels(model: Any) -> None:
    head = next(part for name, part in model.named_children() if name in ("score", "classifier"))
    name = next(name for name, part in model.named_children() if part is head)
    setattr(model, name, nn.Linear(16, 7, bias=head.bias is not None))
    model.config.num_labels = 7


KEPT: list[tuple[Callable[[Any], None], list[str]]] = [
    (own_head, ["BloomForCausalLM"]),
    (shared_block, CLASSES),
    (shared_norm, CLASSES),
    (fewer_layers, CLASSES),
    (more_labels, ["BloomForSequenceClassification", "BloomForTokenClassification"]),
    (lambda model: model.resize_token_embeddings(50), CLASSES),
    (lambda model: model.set_input_embeddings(nn.Embedding(45, 16, padding_idx=3)), CLASSES),
    (lambda model: model.half(), CLASSES[:1]),
    (lambda model: model.train().gradient_checkpointing_enable(), CLASSES[:1]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "name"),
    [(change, name) for change, names in KEPT for name in names],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_kept_opens_as_the_same_model(change: Callable[[Any], None], name: str, tmp_path: Path) -> None:
    model = made(name)
    change(model)
    model.eval().save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path, dtype="auto")
    assert result(again).equal(result(model))


def test_the_config_says_whether_the_weights_are_tied(tmp_path: Path) -> None:
    model, tied = made(), made(tie_word_embeddings=False)
    own_head(model)
    tied.tie_weights()
    for each, says in ((model, False), (tied, True)):
        each.save_pretrained(tmp_path / str(says))
        again = bloomlab.BloomForCausalLM.from_pretrained(tmp_path / str(says))
        assert again.config.tie_word_embeddings is says and result(again).equal(result(each))
        assert (again.lm_head.weight is again.transformer.word_embeddings.weight) is says


def test_a_head_of_its_own_survives_a_new_table() -> None:
    model = made()
    own_head(model)
    head = model.lm_head.weight.detach().clone()
    model.resize_token_embeddings(50)
    assert model.lm_head.weight[:40].equal(head) and model.lm_head.weight is not model.get_input_embeddings().weight


def set_config(**values: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for name, value in values.items():
            setattr(model.config, name, value)

    return change


def wide_head(model: Any) -> None:
    model.lm_head = nn.Linear(16, 60, bias=False)


def head_bias(model: Any) -> None:
    model.lm_head.bias = nn.Parameter(torch.ones(40))


def adapter(model: Any) -> None:
    model.base_model.h[1].mlp.adapter = nn.Linear(16, 16)


def buffer(model: Any) -> None:
    model.base_model.h[0].register_buffer("shift", torch.ones(16))


def no_layers(model: Any) -> None:
    model.base_model.h = model.base_model.h[:2]


def no_bias(model: Any) -> None:
    model.base_model.h[0].mlp.dense_h_to_4h.bias = None


class Doubled(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def other_kind(model: Any) -> None:
    model.base_model.h[0].mlp.dense_h_to_4h = Doubled(16, 64)


def own_forward(model: Any) -> None:
    mlp = model.base_model.h[0].mlp
    mlp.forward = lambda x, hooks=None: 0 * x


def eps(model: Any) -> None:
    model.base_model.ln_f.eps = 0.1


def half_a_part(model: Any) -> None:
    model.base_model.h[1].half()


def meta(model: Any) -> None:
    model.base_model.h[1].mlp.to("meta")


LOST: list[tuple[Callable[[Any], None], str, list[str]]] = [
    (wide_head, r"lm_head.weight has shape \(60, 16\), but.*resize_token_embeddings", ["BloomForCausalLM"]),
    (head_bias, "'lm_head.bias' is in the model, but no model of its config", ["BloomForCausalLM"]),
    (adapter, "adapter.weight' is in the model", CLASSES),
    (buffer, "shift' is in the model", CLASSES),
    (no_layers, "h.2 is gone from the model.*set config.n_layer", CLASSES),
    (no_bias, "dense_h_to_4h.bias is gone", CLASSES),
    (other_kind, "is a Doubled, but the config makes a plain Linear", CLASSES),
    (own_forward, "one with a forward of its own", CLASSES),
    (eps, "ln_f has eps 0.1, but its config makes 1e-05", CLASSES),
    (half_a_part, "float32 .* and float16|float16 .* and float32", CLASSES),
    (meta, "has no numbers", CLASSES),
    (lambda model: setattr(model, "score", nn.Linear(16, 7, bias=False)), "set config.num_labels", [CLASSES[2]]),
    (lambda model: setattr(model, "classifier", nn.Linear(16, 7)), "set config.num_labels", [CLASSES[3]]),
    (lambda model: setattr(model, "qa_outputs", nn.Linear(16, 7)), "qa_outputs.weight has shape", [CLASSES[4]]),
    (set_config(n_head=2), "has n_head 4, but its config makes 2", CLASSES),
    (set_config(layer_norm_epsilon=0.1), "has eps 1e-05, but its config makes 0.1", CLASSES),
    (set_config(apply_residual_connection_post_layernorm=True), "residual_is_normed False", CLASSES),
    (set_config(n_layer=4), "h.3 is gone", CLASSES),
    (set_config(vocab_size=41), "resize_token_embeddings", CLASSES),
    (set_config(slow_but_exact=True, pretraining_tp=2), "has slices 1", CLASSES),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words", "name"),
    [(change, words, name) for change, words, names in LOST for name in names],
    ids=lambda value: getattr(value, "__name__", value)[:30],
)
def test_what_would_be_lost_is_refused_before_anything_is_written(
    change: Callable[[Any], None], words: str, name: str, tmp_path: Path
) -> None:
    model = made(name)
    model.save_pretrained(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    change(model)
    for place in ("model", "new"):
        with pytest.raises(CheckpointError, match=words) as caught:
            model.save_pretrained(tmp_path / place)
        assert len(str(caught.value)) < 400
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("changed", [{"n_head": 2}, {"n_layer": 2}])
def test_a_config_that_no_longer_fits_is_named_in_a_pass(changed: dict[str, Any]) -> None:
    model = made()
    set_config(**changed)(model)
    with pytest.raises(InputError, match="the config was changed after the model was made"):
        model(IDS)


def test_a_model_with_a_forward_hook_is_saved_as_ever(tmp_path: Path) -> None:
    """A registered hook may only look; it is not part of a model here, and is not looked for."""
    model = made()
    model.transformer.h[0].register_forward_hook(lambda *inputs: None)
    model.save_pretrained(tmp_path)


# -- loading with changes ----


@pytest.mark.slow
def test_a_head_of_another_shape_is_made_new_if_asked_and_said_once(tmp_path: Path) -> None:
    for name, head in (("BloomForSequenceClassification", "score"), ("BloomForTokenClassification", "classifier")):
        model = made(name, num_labels=3)
        model.save_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match="ignore_mismatched_sizes=True makes a head new"):
            type(model).from_pretrained(tmp_path, num_labels=5)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            again = type(model).from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
        assert len(said) == 1 and f"{head}.weight" in str(said[0].message) and "shape" in str(said[0].message)
        assert getattr(again, head).weight.shape == (5, 16) and again(IDS).logits.shape[-1] == 5
        body, mine = again.transformer.state_dict(), model.transformer.state_dict()
        assert all(body[key].equal(mine[key]) for key in mine)
        same = type(model).from_pretrained(tmp_path, ignore_mismatched_sizes=True)  # nothing differs: nothing is new
        assert result(same).equal(result(model))


def test_a_body_of_another_shape_is_refused_all_the_same(tmp_path: Path) -> None:
    made().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"expected shape \(41, 16\)"):
        bloomlab.BloomForCausalLM.from_pretrained(tmp_path, vocab_size=41, ignore_mismatched_sizes=True)
    with pytest.raises(InputError, match="ignore_mismatched_sizes must be True or False"):
        bloomlab.BloomForCausalLM.from_pretrained(tmp_path, ignore_mismatched_sizes="yes")


def test_a_copy_of_a_model_is_saved_like_the_model(tmp_path: Path) -> None:
    model = made()
    copy.deepcopy(model).save_pretrained(tmp_path)
    assert result(bloomlab.BloomForCausalLM.from_pretrained(tmp_path)).equal(result(model))
