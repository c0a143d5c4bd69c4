"""Other positions, as edits: against the papers' formulas, transformers' own rotary, and under cache and padding."""

import math

import pytest
import torch

import bloomlab
from bloomlab import BloomConfig, BloomForCausalLM, Hooks
from bloomlab.errors import ConfigError, HookError, InputError
from bloomlab.hooks import NO_HOOKS, At
from bloomlab.model.positions import (
    KINDS,
    gentler,
    in_place_of_alibi,
    learned,
    own_hooks,
    rotary,
    sinusoidal,
    stretched_base,
    waves,
    window,
)

OTHERS = KINDS[1:]
Q = At("h.0.attn.q", ("batch", "head", "query", "head_dim"), 0)


def small(kind="alibi", **settings):
    torch.manual_seed(0)
    settings = {"vocab_size": 50, "hidden_size": 32, "n_layer": 2, "n_head": 4, "n_positions": 16, **settings}
    model = BloomForCausalLM(BloomConfig(positions=kind, **settings)).eval()
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) / 4
    return model.requires_grad_(False)


def test_waves_are_those_of_the_paper():
    made = waves(torch.arange(50)[None], 16)[0]
    for p in (0, 1, 7, 49):
        for i in range(8):
            angle = p / 10_000 ** (2 * i / 16)
            assert made[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert made[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


@pytest.mark.slow  # it imports transformers
@pytest.mark.parametrize("column", [0, 5])
def test_rotary_turns_as_gptj_does(column):
    from transformers.models.gptj.modeling_gptj import apply_rotary_pos_emb, create_sinusoidal_positions

    x = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(1))  # (batch, head, pos, head_dim)
    sin, cos = create_sinusoidal_positions(32, 8)[column : column + 6].chunk(2, -1)
    theirs = apply_rotary_pos_emb(x.transpose(1, 2), sin[None], cos[None]).transpose(1, 2)
    torch.testing.assert_close(rotary()(x, Q._replace(column=column)), theirs, atol=1e-6, rtol=0)


def test_a_turned_product_depends_on_the_distance_alone():
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(2))
    same = torch.stack([q, k])[None, :, None].expand(1, 2, 40, 16)  # the same query and key at 40 places
    turned_q, turned_k = rotary()(same, Q)[0]
    products = turned_q @ turned_k.T  # (query, key)
    for distance in (0, 1, 9):
        line = products.diagonal(-distance)
        torch.testing.assert_close(line, line[:1].expand_as(line), atol=1e-4, rtol=0)
    assert products[:, 0].std() > 0.1  # while another distance is another product
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(40))


def test_positions_squeezed_by_two_are_every_second_angle():
    x = torch.randn(1, 1, 4, 8)
    wide = rotary()(x[:, :, [0, 0, 1, 1, 2, 2, 3]], Q)[:, :, ::2]
    torch.testing.assert_close(rotary(slower=0.5)(x, Q), wide, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_a_model_of_a_kind_is_bloom_with_these_edits(kind):
    model, bloom = small(kind), small()
    bloom.load_state_dict(model.state_dict(), strict=kind != "learned")
    table = model.transformer.position_embeddings
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    edits = in_place_of_alibi(kind, 2, table=None if table is None else table.weight)
    assert model(ids).logits.equal(bloom(ids, hooks=Hooks(edit=edits)).logits)
    assert (model(ids).logits - bloom(ids).logits).abs().max() > 0.01


def test_with_alibi_nothing_is_done():
    config = BloomConfig()
    assert own_hooks(config, torch.ones(1, 3), None) is NO_HOOKS
    assert in_place_of_alibi("alibi", 2) == {}
    assert small().transformer.position_embeddings is None
    assert "positions" not in config.to_dict()


@pytest.mark.parametrize("kind", OTHERS)
def test_step_by_step_is_the_whole(kind):
    model = small(kind)
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    whole, past, steps = model(ids).logits, None, []
    for column in ((0, 3), (3, 4), (4, 6)):
        out = model(ids[:, slice(*column)], past_key_values=past, use_cache=True)
        past, steps = out.past_key_values, [*steps, out.logits]
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_not_counted(kind, side):
    model = small(kind)
    text, pad, one = torch.tensor([[5, 6, 7, 8]]), torch.zeros(1, 3, dtype=torch.long), torch.ones(1, 4)
    parts = (pad, text) if side == "left" else (text, pad)
    mask = torch.cat([(one * 0)[:, :3], one] if side == "left" else [one, (one * 0)[:, :3]], 1).long()
    row = torch.cat(parts, 1)
    batch = torch.cat([row, torch.arange(5, 12)[None]])
    padded = model(batch, attention_mask=torch.cat([mask, torch.ones(1, 7).long()])).logits[0]
    own = padded[3:] if side == "left" else padded[:4]
    torch.testing.assert_close(own, model(text).logits[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", OTHERS)
def test_gradients_pass(kind):
    model = small(kind).requires_grad_(True)
    ids = torch.tensor([[5, 6, 7]])
    model(ids, labels=ids).loss.backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert moved == dict(model.named_parameters()).keys()
    assert ("transformer.position_embeddings.weight" in moved) == (kind == "learned")


@pytest.mark.parametrize("kind", OTHERS)
def test_a_saved_model_keeps_its_positions(kind, tmp_path):
    model, ids = small(kind), torch.tensor([[5, 6, 7]])
    model.save_pretrained(tmp_path)
    again = BloomForCausalLM.from_pretrained(tmp_path)
    assert again(ids).logits.equal(model(ids).logits)


def test_a_user_reads_what_was_changed_and_changes_it_further():
    model, ids = small("rotary"), torch.tensor([[5, 6, 7]])
    hooks = Hooks(read=["h.0.attn.alibi", "h.0.attn.q"], edit={"h.0.attn.alibi": lambda a, at: a + 2})
    model(ids, hooks=hooks)
    assert (hooks["h.0.attn.alibi"] == 2).all()  # none of ALiBi, and what was added
    plain, bloom = Hooks(read=["h.0.attn.q"]), small()
    bloom(ids, hooks=plain)
    torch.testing.assert_close(hooks["h.0.attn.q"], rotary()(plain["h.0.attn.q"], Q), atol=1e-5, rtol=0)


def test_what_has_no_row_is_refused():
    model = small("learned")
    assert model(torch.zeros(1, 16, dtype=torch.long)).logits.shape == (1, 16, 50)
    with pytest.raises(InputError, match="vectors for 16 positions, but the text has 17 tokens; shorten"):
        model(torch.zeros(1, 17, dtype=torch.long))


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"positions": "rotory"}, "one of alibi, none, .* says 'rotory'"),
        ({"positions": ["rotary"]}, r"says \['rotary'\]"),
        ({"positions": "learned"}, "need n_positions.* says None"),
        ({"positions": "learned", "n_positions": 10**12}, "from 1 to 1000000"),
    ],
)
def test_a_config_that_means_nothing_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        BloomForCausalLM(BloomConfig(vocab_size=9, hidden_size=8, n_layer=1, n_head=2, **settings))


def test_the_jax_twin_refuses_what_it_does_not_know():
    jax = pytest.importorskip("bloomlab.jax.causal_lm")
    with pytest.raises(InputError, match="know ALiBi's positions only, but the config says 'rotary'"):
        jax.FlaxBloomForCausalLM(BloomConfig(vocab_size=9, hidden_size=8, n_layer=1, n_head=2, positions="rotary"))


def test_a_table_cannot_be_wished_for_afterwards():
    model = small()
    model.config.positions = "learned"
    with pytest.raises(ConfigError, match="made without; make the model anew"):
        model(torch.tensor([[5]]))


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: rotary()(torch.zeros(1, 1, 1, 4), Q._replace(name="h.0.attn.v")), "belongs at q and k"),
        (lambda: sinusoidal()(torch.zeros(1, 1, 4), Q), "belongs at embed"),
        (lambda: rotary(base=0), "base must be"),
        (lambda: rotary(slower=float("nan")), "slower must be"),
        (lambda: gentler(0), "a factor above 0"),
        (lambda: window(0), "width ≥ 1"),
        (lambda: stretched_base(2, head_dim=2), "head_dim above 2"),
        (lambda: in_place_of_alibi("rotery", 2), "did you mean 'rotary'"),
        (lambda: in_place_of_alibi("learned", 2), "need a table"),
        (
            lambda: learned(torch.zeros(4, 3))(torch.zeros(1, 2, 8), At("embed", ("batch", "pos", "hidden"), 0)),
            r"a table \(n_positions, 8\), but got \(4, 3\)",
        ),
        (lambda: rotary(torch.zeros(1, 2))(torch.zeros(1, 1, 3, 4), Q), r"must be \(1, 3\)"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(call, says):
    with pytest.raises((HookError, InputError), match=says):
        call()


def test_a_window_leaves_what_is_near_and_what_is_first():
    lab = bloomlab.load()
    layers = range(lab.model.config.n_layer)
    edit = {f"h.{i}.attn.biased": window(3, first=1) for i in layers}
    probs = lab.trace("Leo lives in Oslo. He has a black cat.", edit=edit)["h.2.attn.probs"][0]
    far = torch.ones(probs.shape[-2:]).tril(-3).bool()
    far[:, 0] = False
    assert (probs[:, far] == 0).all() and (probs[:, 5:, 0] > 0).any()


def test_remedies_leave_short_texts_nearly_as_they_were():
    assert stretched_base(1, head_dim=16) == pytest.approx(10_000)
    x = torch.randn(1, 1, 3, 16, generator=torch.Generator().manual_seed(3))
    near = rotary(base=stretched_base(4, head_dim=16))(x, Q)
    torch.testing.assert_close(near[..., :2], rotary()(x, Q)[..., :2])  # the fastest pair turns as before
    assert (near[..., -2:] - rotary()(x, Q)[..., -2:]).abs().max() < 0.01


@pytest.mark.slow
@pytest.mark.long
def test_a_twin_learns_and_goes_on_where_it_stopped(tmp_path):
    from bloomlab.tiny.positions import BRIEF, new_twin, train

    few = BRIEF._replace(steps=4)

    start = {kind: new_twin(kind, 0).state_dict() for kind in ("alibi", "learned")}
    assert all(weight.equal(start["learned"][name]) for name, weight in start["alibi"].items())
    assert train("rotary", tmp_path / "whole", tmp_path / "a", setting=few)
    assert not train("rotary", tmp_path / "two", tmp_path / "b", setting=few, stop_after=2)
    assert not (tmp_path / "two").exists()
    assert train("rotary", tmp_path / "two", tmp_path / "b", setting=few, resume=True)
    whole, two = (BloomForCausalLM.from_pretrained(tmp_path / name) for name in ("whole", "two"))
    assert whole.config.positions == "rotary"
    assert all(a.equal(b) for a, b in zip(whole.parameters(), two.parameters(), strict=True))
    with pytest.raises(bloomlab.BloomlabError, match="resume with the same"):
        train("rotary", tmp_path / "three", tmp_path / "b", setting=few._replace(steps=5), resume=True)
