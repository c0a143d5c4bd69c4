"""Hooks read and change one run: what they show is true, what they change is what the model sees, nothing stays."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.errors import HookError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import NO_HOOKS, At, Hooks
from bloomlab.tracing.edits import patch
from bloomlab.weights.pretrained import _spots
from tests.tiny_random import BATCH, PAST, POS, padded_mask, random_ids, random_model

MODEL = random_model()
SPOTS = list(MODEL.hook_names())
READABLE = [f"h.{i}.attn.probs" for i in range(3)]  # reading these keeps every layer on the readable path


def read(*names: str, model: BloomForCausalLM = MODEL, **arguments: Any) -> Hooks:
    hooks = Hooks(read=names)
    model(**{"input_ids": random_ids(), **arguments}, hooks=hooks)
    return hooks


def in_steps(hooks: Hooks, ids: Tensor, mask: Tensor, steps: list[int], model: BloomForCausalLM = MODEL) -> Tensor:
    """The logits of all columns, computed in cached steps of these widths."""
    past, parts, column = None, [], 0
    for step in steps:
        new = ids[:, column : column + step]
        column += step
        out = model(new, attention_mask=mask[:, :column], past_key_values=past, hooks=hooks)
        past = out.past_key_values
        parts.append(out.logits)
    return torch.cat(parts, 1)


# -- the spots ----


def test_all_spots_of_the_design_exist_in_the_order_of_a_call() -> None:
    block = "resid_pre attn.q attn.k attn.v attn.scores attn.alibi attn.biased attn.probs attn.mixed attn.out".split()
    block += "resid_mid mlp.pre mlp.post mlp.out resid_post".split()
    blocks = [f"h.{i}.{name}" for i in range(3) for name in block]
    assert SPOTS == ["embed", *blocks, "final", "logits"]
    assert list(MODEL.transformer.hook_names()) == SPOTS[:-1]


def test_every_spots_axes_and_shape_are_its_tensors() -> None:
    """Batch, pos, past and every width differ, so no axis can stand for another."""
    sizes = {"batch": BATCH, "pos": POS, "query": POS, "key": PAST + POS}
    sizes |= {"head": 6, "head_dim": 4, "hidden": 24, "neuron": 96, "vocab": 300}
    assert len({*sizes.values()}) == len(sizes) - 1  # pos and query are the same columns
    past = MODEL(random_ids(BATCH, PAST)).past_key_values
    hooks = read(*SPOTS, past_key_values=past)
    for name, spot in MODEL.hook_names().items():
        axes = spot.axes.split()
        assert tuple(hooks[name].shape) == tuple(sizes[axis] for axis in axes), name
        assert [sizes.get(str(size), size) for size in spot.shape] == [sizes[axis] for axis in axes], name
        assert all(
            (size == axis) == (axis in ("batch", "pos", "query", "key"))
            for size, axis in zip(spot.shape, axes, strict=True)
        )
        assert hooks.readings[name].axes == spot.axes


def test_listing_the_spots_leaves_the_world_as_it_was() -> None:
    _spots.cache_clear()
    state, dtype = torch.get_rng_state(), torch.get_default_dtype()
    first = MODEL.hook_names()
    first.clear()  # a copy
    assert list(MODEL.hook_names()) == SPOTS
    assert torch.get_rng_state().equal(state) and torch.get_default_dtype() == dtype
    assert torch.zeros(1).device.type == "cpu"
    assert torch.is_grad_enabled()


# -- identities ----


@pytest.mark.parametrize("padded", [False, True])
def test_the_embedding_and_all_that_is_added_sum_to_the_stream_at_every_layer(padded: bool) -> None:
    hooks = read(*SPOTS, attention_mask=padded_mask() if padded else None)
    total = hooks["embed"]
    for i in range(3):
        assert hooks[f"h.{i}.resid_pre"].equal(total if i == 0 else hooks[f"h.{i - 1}.resid_post"])
        total = total + hooks[f"h.{i}.attn.out"]
        torch.testing.assert_close(hooks[f"h.{i}.resid_mid"], total, rtol=0, atol=1e-6)
        total = total + hooks[f"h.{i}.mlp.out"]
        torch.testing.assert_close(hooks[f"h.{i}.resid_post"], total, rtol=0, atol=1e-5)
    assert hooks["final"].equal(MODEL.transformer.ln_f(hooks["h.2.resid_post"]))


def test_with_the_other_residual_each_block_adds_to_its_layer_norms() -> None:
    model = random_model(apply_residual_connection_post_layernorm=True)
    hooks = read(*SPOTS, model=model)
    for i, block in enumerate(model.transformer.h):
        pre, mid, post = (hooks[f"h.{i}.resid_{name}"] for name in ("pre", "mid", "post"))
        torch.testing.assert_close(mid, block.input_layernorm(pre) + hooks[f"h.{i}.attn.out"])
        torch.testing.assert_close(post, block.post_attention_layernorm(mid) + hooks[f"h.{i}.mlp.out"])


@pytest.mark.parametrize("padded", [False, True])
def test_inside_attention_the_formulas_hold(padded: bool) -> None:
    mask = padded_mask() if padded else torch.ones(BATCH, POS)
    hooks = read(*SPOTS, attention_mask=mask)
    for i in range(3):
        q, k, v, scores, alibi, biased, probs, mixed = (
            hooks[f"h.{i}.attn.{name}"] for name in "q k v scores alibi biased probs mixed".split()
        )
        torch.testing.assert_close(scores, q @ k.mT / 2)  # the root of a head_dim of 4
        assert biased.equal(scores + alibi)
        torch.testing.assert_close(probs.sum(-1), torch.ones(BATCH, 6, POS))
        assert not probs.triu(1).any()
        torch.testing.assert_close(probs @ v, mixed)
        torch.testing.assert_close(
            torch.where(probs > 0, (biased - biased.amax(-1, keepdim=True)).exp(), 0).log()
            - torch.where(probs > 0, biased, 0).masked_fill(probs == 0, -torch.inf),
            torch.where(probs > 0, -biased.amax(-1, keepdim=True), torch.nan),
            equal_nan=True,
        )


def test_probabilities_are_the_softmax_over_what_is_visible() -> None:
    mask = padded_mask()
    hooks = read(*SPOTS, attention_mask=mask)
    for row in range(BATCH):
        first = int(mask[row].argmax())
        for i in range(3):
            biased, probs = hooks[f"h.{i}.attn.biased"][row], hooks[f"h.{i}.attn.probs"][row]
            for query in range(first, POS):
                torch.testing.assert_close(
                    probs[:, query, first : query + 1], biased[:, query, first : query + 1].softmax(-1)
                )
                assert not probs[:, query, :first].any()


def test_the_last_logits_are_the_same_with_and_without_a_reading_of_all() -> None:
    hooks = Hooks(read=["logits"])
    ids = random_ids()
    kept = MODEL(ids, logits_to_keep=1, hooks=hooks).logits
    assert kept.shape == (BATCH, 1, 300) and hooks["logits"].shape == (BATCH, POS, 300)
    assert kept.equal(hooks["logits"][:, -1:])
    torch.testing.assert_close(MODEL(ids, logits_to_keep=1).logits, kept)


# -- steps ----


@pytest.mark.parametrize("padded", [False, True])
def test_the_steps_of_a_cached_run_join_to_one_full_pass_on_visible_pairs(padded: bool) -> None:
    ids = random_ids(BATCH, 9)
    mask = padded_mask(9) if padded else torch.ones(BATCH, 9).long()
    full, steps = Hooks(read=SPOTS), Hooks(read=SPOTS)
    MODEL(ids, attention_mask=mask, hooks=full)
    in_steps(steps, ids, mask, [4, 1, 3, 1])

    query, key = torch.arange(9)[:, None], torch.arange(9)
    seen = (key <= query) & (mask[:, None, :] * mask[:, :, None]).bool() | (key == query)
    seen = seen[:, None].expand(BATCH, 6, 9, 9)
    met = key < torch.tensor([4, 4, 4, 4, 5, 8, 8, 8, 9])[:, None]  # where the query's step ended
    for name in SPOTS:
        one, other = full[name], steps[name]
        assert one.shape == other.shape, name
        if MODEL.hook_names()[name].axes.endswith("key"):
            unmet = other[(~met).expand_as(other)]
            assert (unmet == 0).all() if name.endswith("probs") else unmet.isnan().all()
            assert not name.endswith("probs") or not other[~seen].any()
            one, other = one[seen], other[seen]
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_a_reading_of_one_pass_is_the_very_tensor_and_gradients_reach_it() -> None:
    hooks = Hooks(read=["final", "h.1.attn.probs", "h.0.resid_post", "h.1.resid_pre"], detach=False)
    out = MODEL.transformer(random_ids(), hooks=hooks)
    assert hooks["final"] is out.last_hidden_state
    assert hooks["h.0.resid_post"] is hooks["h.1.resid_pre"]
    probs = hooks["h.1.attn.probs"]
    probs.retain_grad()
    out.last_hidden_state[:, -1].sum().backward()
    assert probs.grad is not None and probs.grad[:, :, -1].abs().max() > 0
    MODEL.zero_grad()


def test_gradients_reach_readings_of_several_steps() -> None:
    hooks = Hooks(read=["h.0.attn.k"], detach=False)
    logits = in_steps(hooks, random_ids(BATCH, 4), torch.ones(BATCH, 4).long(), [3, 1])
    keys = hooks["h.0.attn.k"]
    assert keys.shape == (BATCH, 6, 4, 4) and keys.requires_grad and logits.requires_grad
    keys.sum().backward()
    MODEL.zero_grad()


def test_a_usual_reading_holds_no_graph() -> None:
    hooks = read("final", "h.1.attn.q")
    assert not hooks["final"].requires_grad and hooks["h.1.attn.q"].grad_fn is None


# -- edits ----


def identity(tensor: Tensor, at: At) -> Tensor:
    return tensor.clone()


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOTS)
def test_an_identity_edit_changes_no_bit_on_the_same_path(name: str) -> None:
    ids, mask = random_ids(), padded_mask()
    expected = MODEL(ids, attention_mask=mask, hooks=Hooks(read=[name])).logits
    assert MODEL(ids, attention_mask=mask, hooks=Hooks(edit={name: identity})).logits.equal(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOTS)
def test_an_edit_means_the_same_in_a_full_pass_and_in_cached_steps(name: str) -> None:
    ids, mask = random_ids(BATCH, 9), padded_mask(9)

    def steer(tensor: Tensor, at: At) -> Tensor:
        """Change columns 3 to 6, wherever this pass begins, by an amount that depends on the column."""
        along = at.axes.index("query" if "query" in at.axes else "pos")
        columns = at.column + torch.arange(tensor.shape[along])
        amount = torch.where((columns >= 3) & (columns < 7), 0.1 * columns, 0.0)
        return tensor + amount.view([-1 if i == along else 1 for i in range(tensor.dim())]) * tensor.abs()

    edit = {name: steer}
    full = MODEL(ids, attention_mask=mask, hooks=Hooks(edit=edit)).logits
    assert (full - MODEL(ids, attention_mask=mask).logits).abs().max() > 1e-3
    torch.testing.assert_close(in_steps(Hooks(edit=edit), ids, mask, [4, 1, 3, 1]), full, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("path", [[], READABLE], ids=["fused", "readable"])
def test_patching_a_whole_clean_layer_restores_the_clean_logits_bit_for_bit(layer: int, path: list[str]) -> None:
    clean_ids, corrupted_ids = random_ids(seed=1), random_ids(seed=2)
    name = f"h.{layer}.resid_post"
    clean = Hooks(read=[name, "logits", *path])
    MODEL(clean_ids, hooks=clean)
    corrupted = MODEL(corrupted_ids).logits
    restored = MODEL(corrupted_ids, hooks=Hooks(read=["logits", *path], edit={name: patch(clean[name])})).logits
    assert restored.equal(clean["logits"]) and not restored.equal(corrupted)


def test_an_edit_is_what_the_rest_of_the_model_and_the_reading_see() -> None:
    hooks = Hooks(read=["h.1.mlp.out", "h.1.resid_post", "h.1.resid_mid"], edit={"h.1.mlp.out": lambda x, at: 0 * x})
    MODEL(random_ids(), hooks=hooks)
    assert not hooks["h.1.mlp.out"].any()
    assert hooks["h.1.resid_post"].equal(hooks["h.1.resid_mid"])


def test_an_edit_is_told_where_it_is() -> None:
    places: list[At] = []

    def note(tensor: Tensor, at: At) -> Tensor:
        places.append(at)
        return tensor

    hooks = Hooks(edit={"h.2.attn.k": note})
    in_steps(hooks, random_ids(BATCH, 9), torch.ones(BATCH, 9).long(), [4, 1, 4])
    assert places == [At("h.2.attn.k", ("batch", "head", "pos", "head_dim"), column) for column in (0, 4, 5)]


IN_PLACE: dict[str, Callable[[Tensor], Any]] = {
    "method": lambda x: x.mul_(2),
    "assignment": lambda x: x.__setitem__(0, 1.0),
    "view": lambda x: x[..., -1].zero_(),
    "detached": lambda x: x.detach().add_(1),
    "data": lambda x: x.data.add_(1),
    "numpy": lambda x: x.numpy().__setitem__(0, 1.0),
}
WORKS = [
    *((how, name, mode) for how in IN_PLACE for name in ("embed", "h.1.attn.k", "h.1.attn.probs", "logits")
      for mode in (torch.no_grad, torch.inference_mode)),
    *((how, "h.1.resid_pre", torch.enable_grad) for how in IN_PLACE if how != "numpy"),  # torch refuses that one
    ("numpy", "h.1.attn.alibi", torch.no_grad),  # a view that torch would not write into
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("how", "name", "mode"), WORKS)
def test_an_edit_that_works_in_place_is_caught(how: str, name: str, mode: Any) -> None:
    def work(tensor: Tensor, at: At) -> Tensor:
        IN_PLACE[how](tensor)
        return tensor.clone()

    with mode():
        before = MODEL(random_ids()).logits
        with pytest.raises(HookError, match=f"'{name}' changed its input in place; return a new tensor"):
            MODEL(random_ids(), hooks=Hooks(edit={name: work}))
        assert MODEL(random_ids()).logits.equal(before)


def test_an_edit_of_a_tensor_that_holds_nan_is_not_taken_for_one_in_place() -> None:
    hooks = Hooks(edit={"x": lambda x, at: x.nan_to_num()})
    hooks.start(0)
    assert hooks("x", torch.tensor([torch.nan, 1.0, torch.inf]), "hidden")[0] == 0


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda x, at: None, r"'h.1.mlp.pre' must return a tensor, but returned NoneType"),
        (lambda x, at: x.tolist(), r"must return a tensor, but returned list"),
        (lambda x, at: x[..., 1:], r"must return \(2, 5, 96\) torch.float32 on cpu \(batch pos neuron\).*\(2, 5, 95\)"),
        (lambda x, at: x[:1], r"\(2, 5, 96\).*returned \(1, 5, 96\)"),
        (lambda x, at: x.double(), r"returned \(2, 5, 96\) torch.float64"),
        (lambda x, at: x.to("meta"), r"returned .* on meta"),
        (lambda x, at: x / 0 * 0, r"returned NaN \(not a number\) in 960 places"),
    ],
    ids=["None", "list", "width", "rows", "dtype", "device", "NaN"],
)
def test_an_edit_that_does_not_fit_is_named_with_what_was_expected_and_what_came(edit: Any, words: str) -> None:
    before = MODEL(random_ids()).logits
    with pytest.raises(HookError, match=words):
        MODEL(random_ids(), hooks=Hooks(edit={"h.1.mlp.pre": edit}))
    assert MODEL(random_ids()).logits.equal(before)


def test_infinite_scores_are_a_way_to_hide_a_key() -> None:
    hooks = Hooks(
        read=["h.1.attn.probs"],
        edit={"h.1.attn.biased": lambda x, at: x.index_fill(-1, torch.tensor([0]), -torch.inf)},
    )
    MODEL(random_ids(), hooks=hooks)
    assert not hooks["h.1.attn.probs"][:, :, 1:, 0].any()


# -- names ----


@pytest.mark.parametrize("kind", ["read", "edit"])
def test_an_unknown_name_is_refused_with_near_matches_before_anything_runs(kind: str) -> None:
    runs: list[str] = []

    def count(tensor: Tensor, at: At) -> Tensor:
        runs.append(at.name)
        return tensor

    names = ["embed", "h.0.attn.probs", "h.1.attn.prob", "final"]
    hooks = Hooks(read=names, edit={"embed": count}) if kind == "read" else Hooks(edit=dict.fromkeys(names, count))
    with pytest.raises(HookError, match=r"'h.1.attn.prob' in this model; did you mean 'h.1.attn.probs'"):
        MODEL(random_ids(), hooks=hooks)
    with pytest.raises(HookError, match="did you mean"):
        MODEL.stream(random_ids(), hooks=hooks)  # before the first step, too
    assert runs == []


@pytest.mark.parametrize("name", ["h.3.attn.probs", "logits", "transformer.h.0.mlp.out", ""])
def test_each_model_has_its_own_spots(name: str) -> None:
    with pytest.raises(HookError, match=f"there is no spot {name!r}"):
        MODEL.transformer(random_ids(), hooks=Hooks(read=[name]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"read": "embed"}, r"list of names.*write \['embed'\]"),
        ({"read": [5, "embed"]}, "name of a spot is a text, but got 5"),
        ({"read": [["embed"]]}, "name of a spot is a text"),
        ({"read": None}, "read must be a list of names, but got None"),
        ({"edit": {"embed": 0.0}}, "'embed' must be a function, such as zero\\(head=3\\), but got float"),
        ({"edit": {"embed": lambda x: 0 * x}}, r"'embed' must take \(tensor, at\), as in `lambda x, at: 2 \* x`"),
        ({"edit": {"embed": lambda x, at, more: x}}, r"'embed' must take \(tensor, at\)"),
        ({"edit": ["embed"]}, "edit must be a dictionary.*but got list"),
        ({"edit": {5: identity}}, "name of a spot is a text, but got 5"),
    ],
)
def test_hooks_that_make_no_sense_are_refused_when_they_are_made(arguments: Any, words: str) -> None:
    with pytest.raises(HookError, match=words):
        Hooks(**arguments)


def test_asking_for_what_was_not_read_names_what_was() -> None:
    hooks = Hooks(read=["h.1.attn.probs"])
    with pytest.raises(HookError, match=r"'h.1.attn.probs' has no reading yet"):
        hooks["h.1.attn.probs"]
    MODEL(random_ids(), hooks=hooks)
    with pytest.raises(HookError, match=r"'h.1.attn.prob' was not read; did you mean 'h.1.attn.probs'"):
        hooks["h.1.attn.prob"]
    assert list(hooks) == ["h.1.attn.probs"] == list(hooks.readings)


def test_hooks_serve_one_run() -> None:
    hooks = read("embed", input_ids=random_ids(seed=1))
    first = hooks["embed"]
    with pytest.raises(HookError, match="already served a run; make new Hooks"):
        MODEL(random_ids(seed=2), hooks=hooks)
    with pytest.raises(HookError, match="already served a run"):
        MODEL.generate(random_ids(), max_new_tokens=1, hooks=hooks)
    assert hooks["embed"].equal(first)


def test_a_component_on_its_own_needs_a_step_to_be_started() -> None:
    mlp, x = MODEL.transformer.h[0].mlp, torch.zeros(1, 2, 24)
    with pytest.raises(HookError, match=r"hooks.start\(0\)"):
        mlp(x, Hooks(read=["pre"]))
    hooks = Hooks(read=["a.mlp.pre"])
    hooks.start(0)
    mlp(x, hooks.at("a").at("mlp"))
    assert hooks["a.mlp.pre"].shape == (1, 2, 96)


def test_no_hooks_ask_for_nothing() -> None:
    ids = random_ids()
    plain = MODEL(ids).logits
    assert not NO_HOOKS.wants(*SPOTS)
    for hooks in (None, NO_HOOKS, Hooks(), Hooks(read=["embed"])):
        assert MODEL(ids, hooks=hooks).logits.equal(plain)
    MODEL(ids, hooks=NO_HOOKS)  # any number of runs
    assert list(NO_HOOKS) == [] and NO_HOOKS._steps == []


# -- around ----


def test_two_threads_with_hooks_of_their_own_get_their_own_readings() -> None:
    wrong: list[str] = []

    def work(seed: int) -> None:
        ids, edit = random_ids(seed=seed), {"h.0.mlp.out": lambda x, at: x * seed}
        names = ["h.0.mlp.out", "h.2.attn.probs", "logits"]
        first = Hooks(read=names, edit=edit)
        MODEL(ids, hooks=first)
        for _ in range(20):
            again = Hooks(read=names, edit=edit)
            MODEL(ids, hooks=again)
            wrong.extend(name for name in names if not again[name].equal(first[name]))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.slow
@torch.no_grad()  # else torch warns of the cache's gradients while it compiles
def test_a_compiled_model_without_hooks_has_no_graph_break_and_the_same_numbers() -> None:
    ids = random_ids()
    torch._dynamo.reset()
    run = torch.compile(MODEL, fullgraph=True, backend="eager")
    out, plain = run(ids), MODEL(ids)
    torch.testing.assert_close(out.logits, plain.logits)
    further = run(ids[:, :1], past_key_values=out.past_key_values).logits  # from a cache: another graph, whole too
    torch.testing.assert_close(further, MODEL(ids[:, :1], past_key_values=plain.past_key_values).logits)


@pytest.mark.slow
def test_a_compiled_model_with_hooks_has_no_graph_break_and_the_same_numbers() -> None:
    names = ["embed", "h.1.attn.probs", "h.2.resid_post", "logits"]
    edit = {"h.0.mlp.out": lambda x, at: x * 0.5, "h.1.attn.q": lambda x, at: x + at.column + 1}
    plain, compiled = Hooks(read=names, edit=edit), Hooks(read=names, edit=edit)
    ids, mask = random_ids(), padded_mask()
    expected = MODEL(ids, attention_mask=mask, hooks=plain)
    torch._dynamo.reset()
    run = torch.compile(MODEL, fullgraph=True, backend="eager")
    out = run(ids, attention_mask=mask, hooks=compiled)
    torch.testing.assert_close(out.logits, expected.logits)
    for name in names:
        torch.testing.assert_close(compiled[name], plain[name])
    assert run(ids).logits.shape == (BATCH, POS, 300)
    torch._dynamo.reset()
