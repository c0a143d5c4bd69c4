"""A trace keeps what was read in one run: by name, stacked, saved, with a record of where it came from."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bloomlab.errors import GenerationError, HookError, InputError, MemoryLimitError
from bloomlab.hooks import Hooks
from bloomlab.tracing.edits import scale, zero
from bloomlab.tracing.record import record, resolve, weights_hash
from bloomlab.tracing.trace import Trace
from tests.tiny_random import byte_tokenizer, random_model

MODEL, TOKENIZER = random_model(), byte_tokenizer()
SPOTS = list(MODEL.hook_names())
TEXT = "Leo lives."


def trace_of(text: Any = TEXT, read: Any = ("attn.probs",), **options: Any) -> Trace:
    return record(MODEL, TOKENIZER, text, read, **options)


# -- names ----


def test_a_name_is_itself_an_end_or_a_pattern() -> None:
    assert resolve("embed", SPOTS) == ["embed"]
    assert resolve("h.1.attn.probs", SPOTS) == ["h.1.attn.probs"]
    assert resolve("attn.probs", SPOTS) == [f"h.{i}.attn.probs" for i in range(3)]
    assert resolve("probs", SPOTS) == resolve("attn.probs", SPOTS)
    assert resolve("resid_post", SPOTS) == [f"h.{i}.resid_post" for i in range(3)]
    assert resolve("h.2.*", SPOTS) == [name for name in SPOTS if name.startswith("h.2.")]
    assert resolve("h.[02].mlp.out", SPOTS) == ["h.0.mlp.out", "h.2.mlp.out"]
    assert resolve("*", SPOTS) == SPOTS
    assert resolve("out", SPOTS) == [name for name in SPOTS if name.endswith(".out")]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("attn.prob", "'attn.probs'"),
        ("h.1.attn.prob", "'h.1.attn.probs'"),
        ("resid", "'resid_"),
        ("h.9.attn.probs", "attn.probs'"),
        ("rob", "no spot"),
        ("", "no spot"),
    ],
)
def test_a_name_that_fits_no_spot_is_refused_with_near_matches(name: str, near: str) -> None:
    with pytest.raises(HookError, match=re.escape(repr(name))) as caught:
        resolve(name, SPOTS)
    assert near in str(caught.value)


def test_an_unknown_name_is_refused_before_anything_runs() -> None:
    runs: list[Any] = []
    edit = {"embed": lambda x, at: (runs.append(at), x)[1]}
    for options in (
        {"read": ["embed", "final", "attn.prob", "logits"]},
        {"read": [], "edit": {**edit, "attn.prob": zero()}},
    ):
        with pytest.raises(HookError, match=r"did you mean 'attn.probs'"):
            trace_of(**{"edit": edit, **options})
    assert runs == []


@pytest.mark.parametrize("read", [[5], [None], [["embed"]], None, 5], ids=str)
def test_names_that_are_not_texts_are_refused(read: Any) -> None:
    with pytest.raises(HookError, match="read must be names of spots, but got"):
        trace_of(read=read)


def test_a_single_name_needs_no_list() -> None:
    assert trace_of(read="embed").names == ["embed"]


# -- readings ----


def test_a_trace_holds_what_hooks_read_in_the_order_of_the_model() -> None:
    trace = trace_of(read=["logits", "attn.scores", "embed"])
    assert trace.names == ["embed", *(f"h.{i}.attn.scores" for i in range(3)), "logits"]
    hooks = Hooks(read=trace.names)
    MODEL(trace.ids, hooks=hooks)
    for name in trace.names:
        assert trace[name].equal(hooks[name]) and trace.axes(name) == MODEL.hook_names()[name].axes
        assert not trace[name].requires_grad
    assert "embed" in trace and "final" not in trace
    with pytest.raises(HookError, match=r"'h.1.attn.probs' was not read"):
        trace["h.1.attn.probs"]


def test_layers_stack() -> None:
    trace = trace_of(read=["attn.probs", "h.1.mlp.out"])
    stacked = trace.stack("attn.probs")
    assert stacked.shape == (3, 1, 6, 10, 10)
    assert all(stacked[i].equal(trace[f"h.{i}.attn.probs"]) for i in range(3))
    with pytest.raises(HookError, match=r"all 3 layers, but 'h.0.mlp.out' was not read.*read=\['mlp.out'\]"):
        trace.stack("mlp.out")
    with pytest.raises(HookError, match=r"did you mean 'attn.probs'"):
        trace.stack("attn.prob")


def test_tokens_stand_over_the_columns() -> None:
    trace = trace_of("héllo 中")
    assert len(trace.tokens) == trace.ids.shape[1] == trace["h.0.attn.probs"].shape[-1]
    assert b"".join(token.bytes for token in trace.tokens).decode() == trace.text == "héllo 中"
    assert [token.id for token in trace.tokens] == trace.ids[0].tolist()


def test_edits_are_made_and_recorded() -> None:
    trace = trace_of(read=["attn.mixed"], edit={"h.[01].attn.mixed": zero(head=3)})
    assert not trace["h.1.attn.mixed"][:, 3].any() and trace["h.2.attn.mixed"][:, 3].any()
    assert trace.provenance["edits"] == {f"h.{i}.attn.mixed": "zero(head=3)" for i in range(2)}
    assert "edited h.0.attn.mixed, h.1.attn.mixed" in repr(trace)


def test_gradients_reach_a_trace_that_is_not_detached() -> None:
    trace = trace_of(read=["h.0.attn.probs", "logits"], detach=False)
    probs = trace["h.0.attn.probs"]
    probs.retain_grad()
    trace["logits"][:, -1].sum().backward()
    assert probs.grad is not None and probs.grad.abs().max() > 0
    MODEL.zero_grad()


def test_recording_leaves_the_world_as_it_was() -> None:
    state = torch.get_rng_state()
    trace_of(max_new_tokens=2, do_sample=True)
    assert torch.is_grad_enabled() and torch.get_rng_state().equal(state)
    with torch.no_grad():
        trace_of(detach=False)
        assert not torch.is_grad_enabled()


# -- several texts, generations ----


def test_several_texts_are_padded_and_each_row_equals_its_text_alone() -> None:
    texts = ["Leo lives in Oslo.", "a", "中"]
    trace = trace_of(texts, read=SPOTS)
    assert trace.text == texts and trace.ids.shape == (3, 18)
    assert trace.attention_mask.sum(1).tolist() == [18, 1, 3]
    with pytest.raises(InputError, match=r"has 3 rows; choose one: trace.row\(0\).tokens"):
        trace.tokens  # noqa: B018
    for i, text in enumerate(texts):
        row, alone = trace.row(i), trace_of(text, read=SPOTS)
        assert row.text == text and row.tokens == alone.tokens and row.ids.equal(alone.ids)
        for name in SPOTS:
            if name.endswith(("scores", "biased", "alibi")):
                continue  # where a query does not look, the value may be anything
            torch.testing.assert_close(row[name], alone[name], rtol=0, atol=2e-5)
        assert row.row(0).ids.equal(row.ids)
    for wrong in (3, -1):
        with pytest.raises(InputError, match=f"rows 0 to 2, but you asked for row {wrong}"):
            trace.row(wrong)


@pytest.mark.parametrize("padded", [False, True])
def test_a_traced_generation_is_one_full_pass_over_all_it_wrote(padded: bool) -> None:
    texts = ["Leo", "Leo lives"] if padded else ["Leo lives", "Mia likes"]
    settings: dict[str, Any] = {"max_new_tokens": 4, "eos_token_id": None}
    trace = trace_of(texts, read=SPOTS, **settings)
    columns = 9 + 4
    assert trace.ids.shape == (2, columns)
    full = Hooks(read=SPOTS)
    MODEL(trace.ids, attention_mask=trace.attention_mask, hooks=full)
    mask, pos = trace.attention_mask, torch.arange(columns)
    pairs = (pos <= pos[:, None]) & (mask[:, None] * mask[:, :, None]).bool() | (pos == pos[:, None])
    met = pos < torch.tensor([9] * 9 + [10, 11, 12, 13])[:, None]
    for name in SPOTS:
        expected, traced = full[name], trace[name]
        assert expected.shape == traced.shape
        if trace.axes(name).endswith("key"):
            unmet = traced[(~met).expand_as(traced)]
            assert (unmet == 0).all() if name.endswith("probs") else unmet.isnan().all()
            seen = pairs[:, None].expand_as(expected)
            assert not name.endswith("probs") or not traced[~seen].any()
            expected, traced = expected[seen], traced[seen]
        torch.testing.assert_close(
            expected, traced, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    generated = MODEL.generate(trace.ids[:, :9], trace.attention_mask[:, :9], **settings)
    assert generated.equal(trace.ids)
    rows = [row[is_token.bool()] for row, is_token in zip(trace.ids, mask, strict=True)]
    assert trace.text == TOKENIZER.batch_decode(rows)


def test_rows_that_ended_are_cut_where_they_end() -> None:
    first = MODEL.generate(torch.tensor([TOKENIZER.encode("Leo lives")]), max_new_tokens=1, eos_token_id=None)
    stop = int(first[0, -1])
    trace = trace_of(["Leo lives", "b"], max_new_tokens=3, eos_token_id=stop, pad_token_id=3)
    assert trace.row(0).ids[0, -1] == stop and trace.row(0).ids.shape[1] == 10
    assert len(trace.row(0).tokens) == 10


def test_ids_can_be_traced_as_they_are() -> None:
    ids = torch.tensor(TOKENIZER.encode(TEXT))
    for row_or_batch in (ids, ids[None]):
        trace = trace_of(row_or_batch)
        assert trace.text == TEXT and trace.ids.equal(ids[None])
    with pytest.raises(InputError, match="from 0 to 299"):
        trace_of(ids + 1000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the text is empty; write at least one character"),
        (["a", ""], "the text is empty"),
        ([], "expected a text, but got"),
        (None, "expected a text, but got NoneType"),
        (b"Leo", "expected a text, but got bytes"),
        (5, "expected a text, but got int"),
        (["a", None], "expected a text"),
        ("\ud800", "half a surrogate pair"),
    ],
    ids=repr,
)
def test_input_that_is_not_a_text_is_refused(text: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        trace_of(text)


def test_a_setting_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(GenerationError, match="temperature must be a number at least 0"):
        trace_of(max_new_tokens=2, temperature=-1)


# -- size, end, provenance ----


def test_readings_that_share_memory_count_once() -> None:
    q, qkv = trace_of(read=["h.0.attn.q"]), trace_of(read=["h.0.attn.q", "h.0.attn.k", "h.0.attn.v"])
    assert q.nbytes == qkv.nbytes == 10 * 72 * 4  # reading q alone holds all three
    stream = trace_of(read=["h.0.resid_post", "h.1.resid_pre"])
    assert stream.nbytes == 10 * 24 * 4
    assert trace_of(read=["h.0.attn.alibi"]).nbytes == 6 * 10 * 4  # one row serves every query
    assert trace_of(read=[]).nbytes == 0


def test_the_repr_says_what_was_read_from_which_text_and_how_large() -> None:
    assert repr(trace_of(read=["attn.probs", "embed"])) == (
        "Trace of 'Leo lives.': 10 columns; read embed, attn.probs in 3 layers; 8.2 kB"
    )
    assert repr(trace_of(read=[])) == "Trace of 'Leo lives.': 10 columns; read nothing; 0 bytes"
    assert len(repr(trace_of("x" * 500))) < 200


def test_a_closed_trace_lets_go_and_says_so() -> None:
    trace = trace_of()
    with trace as same:
        assert same is trace
    assert repr(trace) == "Trace of 'Leo lives.': closed"
    for use in (
        lambda: trace["embed"],
        lambda: trace.stack("attn.probs"),
        trace.numpy,
        lambda: trace.names,
        lambda: trace.nbytes,
    ):
        with pytest.raises(InputError, match="closed, so its tensors are gone; trace the text again"):
            use()
    trace.close()


def test_the_provenance_is_the_same_each_time_and_tells_weights_apart() -> None:
    edit = {"embed": scale(0.5, pos=2)}
    first, again = (trace_of(edit=edit, max_new_tokens=2, do_sample=True, seed=3) for _ in range(2))
    assert first.provenance == again.provenance
    assert first.ids.equal(again.ids) and first["h.2.attn.probs"].equal(again["h.2.attn.probs"])
    assert first.provenance["seed"] == 3 and first.provenance["dtype"] == "float32"
    assert first.provenance["edits"] == {"embed": "scale(0.5, pos=2)"}
    assert first.provenance["versions"].keys() == {"python", "bloomlab", "torch"}
    assert re.fullmatch("[0-9a-f]{12}", first.provenance["weights"])
    assert weights_hash(random_model()) == first.provenance["weights"] != weights_hash(random_model(1))
    assert weights_hash(random_model().bfloat16()) != first.provenance["weights"]


@pytest.mark.parametrize("change", ["in place", "data", "replaced"])
def test_changed_weights_have_another_hash(change: str) -> None:
    model = random_model()
    before = weights_hash(model)
    weight = model.transformer.ln_f.weight
    if change == "in place":
        with torch.no_grad():
            weight.add_(1)
    elif change == "data":
        weight.data = weight.data + 1
    else:
        model.transformer.ln_f.weight = torch.nn.Parameter(weight.detach() + 1)
    assert weights_hash(model) != before


def test_a_model_made_under_inference_mode_can_be_traced() -> None:
    with torch.inference_mode():
        model = random_model()
        trace = record(model, TOKENIZER, TEXT, ["attn.probs"])
    assert trace.provenance["weights"] == weights_hash(MODEL)
    assert trace["h.0.attn.probs"].equal(trace_of()["h.0.attn.probs"])


# -- out and in ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_trace_comes_back_from_its_file_whole(tmp_path: Path, dtype: torch.dtype) -> None:
    texts = ["Leo 🙂 lives.", "नमस्ते 中 \u202e\x00", "مرحبا"]
    trace = record(random_model().to(dtype), TOKENIZER, texts, SPOTS, {"embed": scale(0.5)})
    again = Trace.load(trace.save(tmp_path / "trace.safetensors"))
    assert (again.text, again.provenance, again.config) == (trace.text, trace.provenance, trace.config)
    assert again.names == trace.names and repr(again).startswith("Trace of")
    assert again.ids.equal(trace.ids) and again.attention_mask.equal(trace.attention_mask)
    for name in SPOTS:
        assert again[name].dtype == dtype == trace[name].dtype
        assert again[name].equal(trace[name]) and again.axes(name) == trace.axes(name)
    assert again.row(1).tokens == trace.row(1).tokens
    assert load_file(tmp_path / "trace.safetensors").keys() == {*SPOTS, "ids", "attention_mask"}


def test_a_trace_in_the_graph_of_gradients_can_be_saved(tmp_path: Path) -> None:
    trace = trace_of(detach=False)
    again = Trace.load(trace.save(tmp_path / "trace.safetensors"))
    assert again["h.0.attn.probs"].equal(trace["h.0.attn.probs"])
    assert trace.numpy()["h.0.attn.probs"].shape == (1, 6, 10, 10)


def test_numpy_has_every_reading() -> None:
    arrays = trace_of(read=SPOTS).numpy()
    assert list(arrays) == SPOTS and all(isinstance(array, np.ndarray) for array in arrays.values())
    half = record(random_model().bfloat16(), TOKENIZER, TEXT, ["embed"])
    assert half.numpy()["embed"].dtype == np.float32
    np.testing.assert_array_equal(half.numpy()["embed"], half["embed"].float().numpy())


def test_a_trace_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = trace_of().save(tmp_path / "trace.safetensors")
    before = path.read_bytes()
    closed = trace_of()
    closed.close()
    with pytest.raises(InputError, match="closed"):
        closed.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["trace.safetensors"]
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "no"))):
        trace_of().save(tmp_path / "no" / "trace.safetensors")


def damaged(whole: bytes, how: str) -> bytes:
    size = len(whole)
    cuts = {"empty": 0, "4 bytes": 4, "8 bytes": 8, "20 bytes": 20, "half": size // 2, "one short": size - 1}
    if how in cuts:
        return whole[: cuts[how]]
    return {
        "a byte more": whole + b"x",
        "huge header": (2**63 - 1).to_bytes(8, "little") + whole[8:],
        "a web page": b"<!doctype html><html></html>",
        "a pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "empty",
        "4 bytes",
        "8 bytes",
        "20 bytes",
        "half",
        "one short",
        "a byte more",
        "huge header",
        "a web page",
        "a pickle",
    ],
)
def test_a_damaged_file_is_not_opened(tmp_path: Path, how: str) -> None:
    path = trace_of().save(tmp_path / "trace.safetensors")
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(InputError, match=r"is not a trace that trace.save"):
        Trace.load(path)


GOOD = {"axes": {}, "text": "a", "tokens": [], "config": {}, "provenance": {}}


@pytest.mark.parametrize(
    "description",
    [
        None,
        "",
        "[]",
        "null",
        "[" * 100_000 + "]" * 100_000,
        "9" * 5000,
        json.dumps({**GOOD, "axes": {"missing": "pos"}}),
        json.dumps({**GOOD, "axes": ["ids"]}),
        json.dumps({**GOOD, "axes": {"ids": 5}}),
        json.dumps({**GOOD, "axes": {"ids": "batch"}}),
        json.dumps({**GOOD, "tokens": [[{"id": 1}]]}),
        json.dumps({**GOOD, "tokens": [[{"id": 1, "bytes": "zz", "text": "", "span": [0, 1]}]]}),
        json.dumps({**GOOD, "text": 5}),
        json.dumps({**GOOD, "provenance": []}),
        json.dumps({**GOOD, "config": {"n_layer": 10**9}}),
        json.dumps({**GOOD, "config": []}),
    ],
    ids=lambda description: str(description)[:60],
)
def test_a_hostile_file_is_not_opened(tmp_path: Path, description: str | None) -> None:
    path = tmp_path / "trace.safetensors"
    ids = torch.zeros(1, 1, dtype=torch.long)
    metadata = {} if description is None else {"bloomlab_trace": description}
    save_file({"ids": ids, "attention_mask": ids.clone()}, path, metadata)
    with pytest.raises(InputError, match=r"is not a trace that trace.save"):
        Trace.load(path)


@pytest.mark.parametrize("path", ["missing.safetensors", ".", None, 5], ids=str)
def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path, path: Any) -> None:
    with pytest.raises(InputError, match=r"is not a trace that trace.save"):
        Trace.load(tmp_path / path if isinstance(path, str) else path)


def test_padding_never_reaches_a_token() -> None:
    probs = trace_of(["a", "Leo lives."]).stack("attn.probs")
    assert not probs[:, 0, :, 9, :9].any() and (probs[:, 0, :, 9, 9] == 1).all()


def test_readings_that_the_memory_cannot_hold_are_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 5_000)
    with pytest.raises(MemoryLimitError, match=r"reading 3 spots of 10 columns needs 14\.4 kB, but 5\.0 kB are free"):
        trace_of(read=["attn.probs"])
    assert trace_of(read=["embed"]).names == ["embed"]


def test_a_file_that_lacks_a_tensor_says_which(tmp_path: Path) -> None:
    path = trace_of().save(tmp_path / "trace.safetensors")
    with safe_open(path, "pt") as file:
        metadata, names = file.metadata(), sorted(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    lost = next(name for name in names if name.startswith("h."))
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, path, metadata)
    with pytest.raises(InputError, match=f"it has no tensor '{re.escape(lost)}'"):
        Trace.load(path)
