"""The lab: one object with a model, its tokenizer and the verbs; bad input is one clear error, and nothing changes."""

import copy
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab import tiny
from bloomlab.errors import BloomlabError, CheckpointError, GenerationError, HookError, InputError, TokenizerError
from bloomlab.lab import Lab, load
from bloomlab.lens import logit_lens, receipt
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token
from bloomlab.tracing.edits import zero
from bloomlab.tracing.record import weights_hash
from bloomlab.tracing.trace import Trace
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo lives in Oslo."


@pytest.mark.parametrize("more", [{"engines": 2}, {"allow": "slow"}])
def test_a_twin_is_small_and_needs_no_help(more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="leave engines=… and allow=… out"):
        load(positions="rotary", **more)


def test_only_the_embedded_model_has_twins_and_they_have_no_snapshots(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave it out for any other model"):
        load(tmp_path, positions="rotary")
    with pytest.raises(InputError, match=r"leave revision=… out"):
        load(positions="rotary", revision="step-200")


@pytest.mark.parametrize("more", [{"engines": 2}, {"positions": "rotary"}, {"revision": "step1200"}])
@pytest.mark.parametrize("placed", [{"device_map": "auto"}, {"max_memory": {"cpu": "1GB"}}])
def test_one_model_of_one_process_is_placed(placed: dict[str, Any], more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="leave out engines=…, positions=… and revision=…"):
        load(**placed, **more)


def test_a_snapshot_opens_in_one_process() -> None:
    with pytest.raises(InputError, match="opens in one process; leave engines out"):
        load(revision="step-200", engines=2)


def test_a_spot_to_ablate_is_a_name() -> None:
    lab = Lab(random_model(n_layer=2), byte_tokenizer())
    with pytest.raises(HookError, match=r"lab\.ablate\(text, 'h\.1\.attn\.mixed', head=2\)"):
        lab.ablate("Leo", (1, 2))


def test_losses_are_compared_between_labs_of_one_tokenizer() -> None:
    lab, text = Lab(random_model(n_layer=1), byte_tokenizer(), name="small"), "Leo lives. " * 20
    with pytest.raises(InputError, match="lengths takes labs"):
        lab.lengths("tiny", texts=[text])
    other = Lab(random_model(n_layer=1), copy.deepcopy(byte_tokenizer()), name="other")
    other.tokenizer.add_tokens(["Leo"])
    with pytest.raises(InputError, match="other has another tokenizer"):
        lab.lengths(other, texts=[text])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small"
    random_model().save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def lab(folder: Path) -> Lab:
    return load(folder)


def test_a_folder_opens_with_its_name_model_and_tokenizer(folder: Path, lab: Lab) -> None:
    assert bloomlab.load is load
    assert not lab.model.training and lab.model.dtype == torch.float32
    assert repr(lab) == (
        "Lab with 'small': BLOOM of 3 layers, 6 heads, width 24, 300 tokens; "
        f"{lab.model.num_parameters():,} parameters in torch.float32"
    )
    assert weights_hash(lab.model) == weights_hash(random_model())
    assert weights_hash(load(str(folder) + "/").model) == weights_hash(lab.model)
    for dtype in (torch.bfloat16, "bfloat16"):
        assert load(folder, dtype=dtype).model.dtype == torch.bfloat16


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"the tokenizer has \d+ tokens, but the model knows 100; use"):
        Lab(random_model(vocab_size=100), byte_tokenizer())


def test_opening_leaves_the_world_as_it_was(folder: Path) -> None:
    state = torch.get_rng_state()
    load(folder)
    assert torch.get_rng_state().equal(state)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert torch.zeros(1).device.type == "cpu"


def test_tokens_are_a_sequence_of_tokens(lab: Lab) -> None:
    tokens = lab.tokens("a 中")
    assert len(tokens) == 5 and isinstance(tokens[0], Token) and tokens[0].text == "a"
    assert b"".join(token.bytes for token in tokens).decode() == "a 中"


def test_a_trace_reads_the_probabilities_unless_asked_for_more(lab: Lab) -> None:
    trace = lab.trace(TEXT)
    assert isinstance(trace, Trace) and trace.stack("attn.probs").shape == (3, 1, 6, 18, 18)
    assert trace.provenance["model"] == "small" and trace.text == TEXT
    assert not lab.trace(TEXT, ["h.1.attn.mixed"], {"h.1.attn.mixed": zero(head=2)})["h.1.attn.mixed"][:, 2].any()
    assert lab.trace([TEXT, "a"]).ids.shape == (2, 18)


def test_a_trace_of_a_generation_has_what_generate_writes(lab: Lab) -> None:
    trace = lab.trace(TEXT, ["embed"], max_new_tokens=4, eos_token_id=None)
    assert trace.ids.shape == (1, 22) and trace["embed"].shape[1] == 22
    assert trace.text == lab.generate(TEXT, max_new_tokens=4, eos_token_id=None)


def test_a_continuation_begins_with_its_text(lab: Lab) -> None:
    continued = lab.generate(TEXT, max_new_tokens=6)
    assert isinstance(continued, str) and continued.startswith(TEXT)
    samples = {lab.generate(TEXT, max_new_tokens=6, do_sample=True, temperature=2.0, seed=seed) for seed in (1, 1, 2)}
    assert len(samples) == 2


def test_the_explorer_reads_what_it_shows_from_the_model(lab: Lab) -> None:
    trace = lab._read_attention(TEXT)
    assert trace.names == [f"h.{i}.attn.{name}" for i in range(3) for name in ("scores", "probs")]
    assert list(lab.attention(TEXT).panels) == ["attention"]


@pytest.mark.slow
def test_what_cannot_be_compared_is_refused_in_words(lab: Lab) -> None:
    silent = {"h.1.attn.mixed": zero(head=2)}
    trace, embedded = lab.trace(TEXT, ["attn.scores", "attn.probs"]), bloomlab.load()
    for options, why in (
        ({"edit": silent, "against": "Leo."}, "leave against=… out"),
        ({"against": embedded}, "the other lab has another tokenizer"),
        ({"against": embedded.trace(TEXT, ["*"])}, "a model with another vocabulary"),
        ({"against": lab.trace(["Leo.", "Lea."], ["attn.probs"])}, "this trace has 2 rows"),
        ({"against": ""}, "the text is empty"),
        ({"against": 5}, "expected a text"),
        ({"x": trace, "edit": silent}, "pass its text and edit=…"),
    ):
        for verb in ("explore", "attention", "alibi"):
            with pytest.raises(InputError, match=why):
                getattr(lab, verb)(**{"x": TEXT, **options})
    for edit, why in (
        ({"h.1.attn.mixed": zero(head=2, query=99)}, "the text has 18 tokens"),
        ({"h.1.attn.mixd": zero()}, "did you mean"),
        ({"h.1.attn.mixed": zero(head=9)}, "head at 'h.1.attn.mixed' goes from 0 to 5"),
    ):
        with pytest.raises(HookError, match=why):
            lab.explore(TEXT, edit=edit)
    assert not lab.explore(trace).editable and not lab.explore(TEXT, against="Leo.").editable


def test_before_a_large_model_runs_a_view_says_what_is_done(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, said = lab.model.forward, []

    def forward(*arguments: Any, **named: Any) -> Any:
        said.append(capsys.readouterr().err)
        return run(*arguments, **named)

    monkeypatch.setattr(lab.model, "forward", forward)
    lab.attention(TEXT)
    assert said.pop(0) == ""  # a small one is there before it is read
    monkeypatch.setattr("bloomlab.lab.QUICK", 0)
    lab.attention(TEXT)
    assert f"{lab.name} reads {len(lab.tokenizer.encode(TEXT))} tokens" in said[0]


def test_the_lens_ends_with_what_the_model_says(lab: Lab) -> None:
    rows = lab.lens(TEXT, top=3)
    logits = lab.model(input_ids=lab.trace(TEXT, []).ids).logits[0]
    assert rows[-1].ids.equal(logits.topk(3).indices) and len(rows) == 7
    torch.testing.assert_close(rows[-1].probs, logits.softmax(-1).topk(3).values.detach())


def test_an_interrupted_lens_keeps_the_states_that_are_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, read, left = lab.lens(TEXT, top=3), logit_lens.read_as_words, [3]

    def read_three(*arguments: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return read(*arguments)

    monkeypatch.setattr(logit_lens, "read_as_words", read_three)
    with pytest.warns(UserWarning, match="interrupted: what was measured until then is kept"):
        rows = lab.lens(TEXT, top=3)
    assert [row.label for row in rows] == [row.label for row in whole][:3] and rows[2].probs.equal(whole[2].probs)
    with pytest.raises(KeyboardInterrupt):  # nothing is read yet
        lab.lens(TEXT, top=3)


@pytest.mark.slow
def test_an_interrupted_receipt_keeps_the_parts_that_are_measured(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, trace, left = lab.receipt(TEXT).receipt, lab.trace, [2]  # the text itself, and a batch of parts

    def trace_twice(*arguments: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return trace(*arguments)

    monkeypatch.setattr(receipt, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(lab, "trace", trace_twice)
    with pytest.warns(UserWarning, match="interrupted: what was measured until then is kept"):
        found = lab.receipt(TEXT)
    total = found.receipt.total
    assert total is not None and whole.total is not None and found.receipt.direct.equal(whole.direct)
    assert total[:4].allclose(whole.total[:4], atol=1e-5) and total[5:20].isnan().sum() == 15 - 2
    assert repr(found) and found._repr_html_()


def test_an_ablation_is_the_model_with_zeros_there(lab: Lab) -> None:
    ablation = lab.ablate(TEXT, "h.1.attn.mixed", head=[0, 2])
    changed = lab.trace(TEXT, ["logits"], {"h.1.attn.mixed": zero(head=[0, 2])})["logits"][0]
    assert ablation.effect.predicted[1].equal(changed.argmax(-1)) and ablation.kl > 0
    torch.testing.assert_close(ablation.effect.probs[1], changed[-1].softmax(-1)[ablation.effect.ids])
    assert ablation.edit == "zero(head=[0, 2])" and "h.1" not in ablation.stamp  # the stamp is of the whole model
    assert lab.ablate(TEXT, "mlp.out").spot == "mlp.out"  # in every layer


@pytest.mark.parametrize("spot", ["attn.scores", "attn.probs", "attn.mixed", "mlp.post", "resid_post"])
def test_an_ablation_of_a_position_leaves_what_came_before_it_bit_for_bit(lab: Lab, spot: str) -> None:
    axis = "query" if spot.startswith("attn") else "pos"
    ablation = lab.ablate(TEXT, f"h.1.{spot}", **{axis: 9})
    assert not ablation.effect.kl[:9].any() and not ablation.effect.loss_change[:9].any() and ablation.effect.kl[9] > 0


def test_info_is_of_this_model_or_of_another(lab: Lab) -> None:
    assert sum(lab.info().parts.values()) == lab.model.num_parameters()
    assert repr(lab.info()).endswith(f"open in float32 on cpu, weights {weights_hash(lab.model)}")
    assert lab.info("7b1").fit.parameters == 7_069_016_064 and not lab.info("7b1").opened


# -- bad input ----

BAD_TEXTS: list[tuple[Any, str]] = [
    ("", "the text is empty; write at least one character"),
    ("a\ud800b", "character 1 is half a surrogate pair"),
    (None, r"expected a text \(str\) as text, but got None"),
    (b"Leo", r"expected a text \(str\).*decode it first"),
    (5, r"expected a text \(str\) as text, but got 5"),
    ({"text": "Leo"}, r"expected a text \(str\)"),
    ("x" * 2049, "the text has 2049 tokens, but this lab takes at most 2048; shorten it, or raise lab.max_tokens"),
]


@pytest.mark.parametrize(("text", "message"), BAD_TEXTS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("verb", ["tokens", "trace", "generate", "explore", "lens"])
def test_a_text_that_cannot_be_read_is_one_clear_error(lab: Lab, verb: str, text: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        getattr(lab, verb)(text)


@pytest.mark.parametrize("text", [[], ["a", ""], ["a", None], ["x" * 2049]], ids=lambda value: repr(value)[:20])
def test_every_text_of_several_is_checked(lab: Lab, text: Any) -> None:
    with pytest.raises(InputError, match="text"):
        lab.trace(text)


def test_ids_are_held_to_the_longest_text_too(lab: Lab) -> None:
    with pytest.raises(InputError, match="2049 tokens, but this lab takes at most 2048"):
        lab.trace(torch.full((1, 2049), 5))


def test_the_longest_text_can_be_raised(folder: Path) -> None:
    lab = load(folder)
    lab.max_tokens = 3
    with pytest.raises(InputError, match="4 tokens, but this lab takes at most 3"):
        lab.tokens("abcd")
    lab.max_tokens = 4
    assert len(lab.tokens("abcd")) == 4


@pytest.mark.parametrize("name", ["attn.prob", "h.7.attn.probs", "nonsense"])
def test_an_unknown_hook_name_is_quoted_in_the_error(lab: Lab, name: str) -> None:
    with pytest.raises(HookError, match=rf"'{name}'.*model.hook_names\(\) lists all"):
        lab.trace(TEXT, ["embed", "attn.probs", name, "logits"])


@pytest.mark.parametrize(
    ("spot", "axes", "message"),
    [
        ("h.1.attn.mixd", {}, "did you mean 'h.1.attn.mixed'"),
        ("attn.mixed", {"heads": 1}, "has no axis 'heads'; did you mean 'head'"),
        ("attn.mixed", {"head": 6}, "head at 'h.0.attn.mixed' goes from 0 to 5, but got 6"),
        ("attn.mixed", {"query": 18}, "the text has 18 tokens, so query goes from 0 to 17, but got 18"),
        ("attn.probs", {"key": [0, 99]}, "so key goes from 0 to 17, but got 99"),
        ("attn.mixed", {"query": -19}, "the text has 18 tokens, so query goes from -18 on, but got -19"),
    ],
)
def test_a_part_that_the_model_lacks_cannot_be_ablated(lab: Lab, spot: str, axes: dict[str, Any], message: str) -> None:
    with pytest.raises(HookError, match=message):
        lab.ablate(TEXT, spot, **axes)
    with pytest.raises(InputError, match="the text is empty"):
        lab.ablate("", spot)


def test_a_temperature_below_zero_is_refused(lab: Lab) -> None:
    with pytest.raises(GenerationError, match=r"temperature must be a number at least 0 \(0 is greedy\), but got -1"):
        lab.generate(TEXT, temperature=-1)


@pytest.mark.slow
def test_bad_input_changes_nothing(folder: Path) -> None:
    lab = load(folder)
    before, state = lab.generate(TEXT), torch.get_rng_state()
    for spoil in (
        lambda: lab.trace(""),
        lambda: lab.trace(TEXT, ["nonsense"]),
        lambda: lab.trace(TEXT, edit={"embed": lambda x, at: x.zero_()}),
        lambda: lab.generate(TEXT, temperature=-1),
        lambda: lab.generate("x" * 3000),
        lambda: lab.tokens("\ud800"),
    ):
        with pytest.raises(BloomlabError):
            spoil()
    assert lab.generate(TEXT) == before and torch.get_rng_state().equal(state)
    assert weights_hash(lab.model) == weights_hash(random_model())


@pytest.mark.parametrize("verb", ["explore", "tokens", "attention", "alibi", "hidden_states", "predictions"])
def test_every_view_of_a_checkpoint_folder_takes_a_text_or_a_trace(lab: Lab, verb: str) -> None:
    trace = lab._read_all(TEXT)
    for x in (TEXT, trace):
        shown = getattr(lab, verb)(x)
        view = shown.view if verb == "tokens" else shown
        assert view.state == "ready" and view.picture["text"] == TEXT and view.picture["stamp"].startswith("small · ")
        assert lab.code in view.code
    assert view.trace.ids.equal(trace.ids)


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(BloomlabError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_truncated_weights_file_is_named_in_the_error(tmp_path: Path) -> None:
    random_model().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(tmp_path)


def test_the_embedded_model_opens_by_default_and_reads_a_sentence() -> None:
    lab = load()
    assert repr(lab).startswith("Lab with 'tiny': BLOOM of 4 layers, 8 heads, width 128, 3072 tokens")
    assert lab.model.config.n_layer == 4 and lab.tokens(TEXT)[0].text == "Leo"
    probs = lab.trace(TEXT).stack("attn.probs")
    torch.testing.assert_close(probs.sum(-1), torch.ones(probs.shape[:-1]))
    assert lab.generate("Leo lives in", max_new_tokens=5).startswith("Leo lives in")


def test_several_continuations_come_as_a_list(lab: Lab) -> None:
    texts = lab.generate("Leo", max_new_tokens=4, num_beams=3, num_return_sequences=2)
    assert isinstance(texts, list) and len(set(texts)) == 2 and all(text.startswith("Leo") for text in texts)
    assert lab.generate("Leo", max_new_tokens=4, num_beams=3) == texts[0]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"do_sample": True, "seed": 3, "temperature": 3.0}, {"max_length": 40}])
def test_the_pieces_of_a_stream_are_what_generate_writes(lab: Lab, settings: dict[str, Any]) -> None:
    for text in ("Léo 中 🦁", "a"):
        pieces = list(lab.stream(text, **{"max_new_tokens": None if "max_length" in settings else 60, **settings}))
        assert all(pieces) and len(pieces) > 2
        whole = lab.generate(text, **{"max_new_tokens": None if "max_length" in settings else 60, **settings})
        assert "".join(pieces) == whole and "".join(pieces).startswith(text)


def test_a_piece_is_whole_characters_even_across_special_tokens_and_at_the_end(lab: Lab) -> None:
    reader = lab.tokenizer
    lion, end = reader.encode("🦁"), reader.eos_token_id
    assert len(lion) == 4
    assert list(reader.pieces([*lion, *lion])) == ["🦁", "🦁"]
    assert list(reader.pieces([*lion[:2], end, *lion[2:]], skip_special_tokens=True)) == ["🦁"]
    assert "".join(reader.pieces([*lion[:2], end, *lion[2:]])) == reader.decode([*lion[:2], end, *lion[2:]])
    assert list(reader.pieces([*reader.encode("a"), *lion[:3]])) == ["a", "�"]
    assert list(reader.pieces([10**12, *reader.encode("a")])) == ["a"]


def test_a_stream_of_several_is_refused_before_its_first_piece(lab: Lab) -> None:
    with pytest.raises(GenerationError, match="a stream shows one continuation"):
        lab.stream("Leo", num_return_sequences=2, do_sample=True)
    with pytest.raises(GenerationError, match="beams have no single next step"):
        lab.stream("Leo", num_beams=2)
    with pytest.raises(InputError, match="the text is empty"):
        lab.stream("")


@pytest.mark.slow
def test_lengths_count_the_text(lab: Lab) -> None:
    n = len(lab.tokenizer.encode("Leo lives in"))
    long = lab.generate("Leo lives in", max_length=17, eos_token_id=None)
    assert long == lab.generate("Leo lives in", max_new_tokens=17 - n, eos_token_id=None)
    assert lab.generate("Leo lives in") == lab.generate("Leo lives in", max_new_tokens=20)
    assert lab.write("Leo lives in", max_length=17, eos_token_id=None).play().text == long


def test_the_lab_says_how_it_was_opened(folder: Path) -> None:
    assert load(folder, dtype="bfloat16").code == f"lab = bloomlab.load({str(folder)!r}, dtype='bfloat16')"
    assert bloomlab.load().code == "lab = bloomlab.load()"


def test_a_snapshot_of_the_embedded_model_opens_by_its_step() -> None:
    step = tiny.snapshots()[0]
    snapshot, final = load("tiny", revision=f"step{step}"), load()
    assert snapshot.code == f"lab = bloomlab.load('tiny', revision='step{step}')" and snapshot.embedded
    assert not snapshot.model.lm_head.weight.equal(final.model.lm_head.weight)
    assert set(final.heads) == set(tiny.TASKS) and not snapshot.heads
    with pytest.raises(InputError, match=f"no snapshot 'step{step + 1}'"):
        load("tiny", revision=f"step{step + 1}")


@pytest.mark.slow
def test_the_embedded_lab_has_heads_that_know_their_tasks() -> None:
    lab = load()
    labels = lab.classify(["Leo habite à Oslo.", "里奥住在奥斯陆。", "Привет, как дела?"])
    assert [max(one.scores, key=one.scores.__getitem__) for one in labels] == ["fr", "zh", "other"]
    assert lab.answer("Where does Rosa live?", "Leo lives in Oslo. Rosa lives in Lima.").text == "Lima"


def test_a_text_without_end_is_refused_before_it_is_cut_into_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(random_model(), byte_tokenizer())
    text = "a" * (10 * lab.max_tokens)
    monkeypatch.setattr(BloomTokenizerFast, "encode", None)
    for verb in (lab.trace, lab.generate, lab.tokens, lab.attention, lab.explore, lab.lens):
        with pytest.raises(InputError, match=r"the text has at least 4096 tokens, but this lab takes at most 2048"):
            verb(text)


def test_a_text_has_as_many_tokens_as_its_length_says_or_more() -> None:
    tokenizer = bloomlab.load().tokenizer
    for text in ("", "Leo lives in Oslo.", "猫" * 50, " " * 200, "</s></s>"):
        assert tokenizer.least_tokens(text) <= len(tokenizer.encode(text))
    assert tokenizer.least_tokens("a" * 1000) > 20


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are texts")
def test_a_folder_whose_name_is_no_text_opens_or_is_said(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"a\xffb c")
    byte_tokenizer().save_pretrained(folder)
    random_model().save_pretrained(folder)
    with pytest.raises(CheckpointError, match="not valid UTF-8; load again, or from a folder whose name is a text"):
        load(folder)  # torch cannot map it, but what is cast is read
    random_model().half().save_pretrained(folder)
    lab = load(folder)
    assert lab.name == "a\\udcffb c"
    again = Trace.load(lab.trace("Leo", ["attn.scores", "attn.probs"]).save(tmp_path / "trace.safetensors"))
    assert again.provenance["model"] == lab.name
    lab.attention(again).save(folder / "page.html")


def test_a_view_of_a_trace_of_several_texts_shows_the_first(lab: Lab) -> None:
    trace = lab.trace([TEXT, "Leo"], ["*"])
    view = lab.explore(trace)
    assert view.trace.text == TEXT and not view.editable
    assert lab.explore(trace.row(1)).trace.text == "Leo"  # any other is chosen by its number
    assert lab.attention(trace, layer=-1).layer == 2


def test_another_text_of_the_trace_is_a_choice_away(lab: Lab) -> None:
    trace = lab.trace([TEXT, "Leo", "a\u202eb"], ["*"])
    view = lab.explore(trace)
    assert view.trace_rows[:2] == [TEXT, "Leo"] and "\u202e" not in view.trace_rows[2]  # it would turn the list around
    view.trace_row = 1
    assert view.trace.text == "Leo" and len(view.picture["tokens"]) == len(lab.tokens("Leo"))
    view.trace_row = 99  # the last one there is
    assert view.trace_row == 2 and view.trace.text == "a\u202eb"
    torch.testing.assert_close(view.trace["logits"], trace.row(2)["logits"])
    view.show(TEXT)
    assert (view.trace_rows, view.trace_row, view.trace.text) == ([], 0, TEXT)
    view.trace_row = 1  # there is none
    assert view.trace_row == 0 and view.trace.text == TEXT
    with pytest.raises(InputError, match="a text or a trace of one, but got 5"):
        view.show(5)


def test_an_attention_of_ones_own_is_no_run(lab: Lab) -> None:
    given = torch.ones(1, 1, 1, 1)
    for more in ({"edit": {"embed": zero()}}, {"against": "Leo"}):
        with pytest.raises(InputError, match="no run to edit or compare; leave"):
            lab.attention("a", probs=given, **more)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"tab": "atention"}, "the tabs are map, tokens, attention, .*; did you mean 'attention'"),
        ({"layers": 1}, "can be opened at layer, head, query, key, tab, but not at 'layers'"),
        ({"run": "difference"}, "not at 'run'; set it once the view is there: view.run = …"),
        ({"layer": 3}, "layer goes from 0 to 2, but got 3"),
        ({"head": -7}, "head goes from 0 to 5, but got -7"),
        ({"query": "1"}, "query goes from 0 to 17, but got '1'"),
    ],
)
def test_a_view_opens_at_a_place_that_is_there(lab: Lab, place: Any, words: str) -> None:
    assert lab.explore(TEXT, layer=-1).layer == 2
    with pytest.raises(InputError, match=words):
        lab.explore(TEXT, **place)


def test_a_lab_generates_texts_and_no_tables(lab: Lab) -> None:
    with pytest.raises(GenerationError, match=r"lab\.generate gives texts; lab\.model\.generate"):
        lab.generate("Leo", 1, return_dict_in_generate=True)


def test_an_adapter_that_puts_columns_before_the_text_is_refused() -> None:
    model: Any = random_model(n_layer=1)
    model.peft_config = {"prompts": SimpleNamespace(is_prompt_learning=True)}
    with pytest.raises(InputError, match="the adapter 'prompts' puts columns before the text"):
        Lab(model, byte_tokenizer())
