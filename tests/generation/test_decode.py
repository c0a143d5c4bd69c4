"""Writing: what is chosen, when rows end, what is refused, and that nothing stays behind."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bloomlab.errors import GenerationError, HookError, InputError
from bloomlab.generation.decode import Step
from bloomlab.hooks import Hooks
from tests.tiny_random import BATCH, byte_tokenizer, padded_mask, random_ids, random_model

MODEL = random_model()
NEVER: dict[str, Any] = {"eos_token_id": None}
VARIED: dict[str, Any] = {"repetition_penalty": 1e6}


def write(ids: Tensor, mask: Tensor | None = None, **settings: Any) -> Tensor:
    return MODEL.generate(ids, mask, **{"max_new_tokens": 8, **settings})


def by_hand(ids: Tensor, mask: Tensor, n: int) -> Tensor:
    """Greedy continuation without cache: the whole text again for every token."""
    for _ in range(n):
        token = MODEL(ids, attention_mask=mask).logits[:, -1].argmax(-1, keepdim=True)
        ids, mask = torch.cat([ids, token], 1), torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return ids


# -- what is chosen ----


@pytest.mark.parametrize("use_cache", [True, False])
def test_greedy_takes_the_likeliest_token_under_left_padding(use_cache: bool) -> None:
    ids, mask = random_ids(), padded_mask()
    assert write(ids, mask, use_cache=use_cache, **NEVER).equal(by_hand(ids, mask, 8))


def test_a_padded_row_is_continued_like_the_row_alone() -> None:
    ids, mask = random_ids(), padded_mask()
    together = write(ids, mask, **NEVER)
    assert together[0, 2:].equal(write(ids[:1, 2:], **NEVER)[0])
    assert together[1].equal(write(ids[1:], **NEVER)[0])


def test_temperature_zero_is_greedy() -> None:
    assert write(random_ids(), do_sample=True, temperature=0, **NEVER).equal(write(random_ids(), **NEVER))
    assert write(random_ids(), do_sample=True, top_k=1, seed=0, **NEVER).equal(write(random_ids(), **NEVER))


@pytest.mark.parametrize("temperature", [1e-320, 1e-45, 1e-6])
def test_a_temperature_next_to_zero_is_greedy_too(temperature: float) -> None:
    assert write(random_ids(), do_sample=True, temperature=temperature, seed=0, **NEVER).equal(
        write(random_ids(), **NEVER)
    )


@pytest.mark.slow
def test_the_same_seed_writes_the_same_and_another_does_not() -> None:
    settings = {"do_sample": True, "temperature": 2.0, **NEVER}
    first, again, other = (write(random_ids(), seed=seed, **settings) for seed in (5, 5, 6))
    assert first.equal(again) and not first.equal(other)
    generator = torch.Generator().manual_seed(5)
    assert write(random_ids(), generator=generator, **settings).equal(first)
    assert not write(random_ids(), generator=generator, **settings).equal(first)  # it goes on
    assert not write(random_ids(), **settings).equal(write(random_ids(), **settings))  # no seed: other numbers


def test_several_continuations_of_each_row_stand_together() -> None:
    ids, mask = random_ids(), padded_mask()
    out = write(ids, mask, do_sample=True, temperature=3.0, num_return_sequences=3, seed=0, **NEVER)
    assert out.shape == (6, 13)
    assert out[:, :5].equal(ids.repeat_interleave(3, 0))
    assert len({tuple(row) for row in out[:3].tolist()}) == 3


def test_a_repetition_penalty_does_not_count_padding_as_text() -> None:
    ids, mask = random_ids(), padded_mask()
    likeliest = int(write(ids, mask, max_new_tokens=1, **NEVER)[0, -1])
    ids[0, :2] = likeliest  # as padding
    out = write(ids, mask, max_new_tokens=1, repetition_penalty=1e6, **NEVER)
    assert int(out[0, -1]) == likeliest


def test_a_very_strong_repetition_penalty_repeats_nothing() -> None:
    out = write(random_ids(1, 5), max_new_tokens=30, repetition_penalty=1e30, **NEVER)[0].tolist()
    assert len(set(out)) == len(out) == 35


# -- where rows end ----


def first_tokens() -> tuple[Tensor, list[list[int]]]:
    """Two prompts, and eight tokens for each: no token comes twice."""
    ids = random_ids(seed=2)
    one, two = MODEL.generate(ids, max_new_tokens=8, **NEVER, **VARIED)[:, 5:].tolist()
    assert len({*one, *two}) == 16
    return ids, [one, two]


def test_a_row_ends_with_its_stop_token_and_is_filled_with_padding() -> None:
    ids, (one, two) = first_tokens()
    stop = one[2]
    assert stop not in one[:2] and stop not in two
    out = write(ids, **VARIED, eos_token_id=stop, pad_token_id=3)
    assert out[0, 5:].tolist() == [*one[:3], 3, 3, 3, 3, 3]
    assert out[1, 5:].tolist() == two  # the other row does not notice
    alone = write(ids[:1], **VARIED, eos_token_id=stop)
    assert alone[0, 5:].tolist() == one[:3]  # nothing left to write


def test_any_of_several_stop_tokens_ends_a_row() -> None:
    ids, (one, two) = first_tokens()
    out = write(ids, **VARIED, eos_token_id=[one[1], two[3]], pad_token_id=0)
    assert out.shape[1] == 5 + 4
    assert out[0, 5:].tolist() == [*one[:2], 0, 0] and out[1, 5:].tolist() == two[:4]


def test_the_padding_is_the_configs_or_else_the_stop_token() -> None:
    ids, (one, _) = first_tokens()
    assert write(ids, **VARIED, eos_token_id=one[0])[0, 6:].unique().tolist() == [one[0]]
    model = random_model(pad_token_id=9, eos_token_id=one[0])
    assert model.generate(ids, max_new_tokens=4, **VARIED)[0, 5:].tolist() == [one[0], 9, 9, 9]


@pytest.mark.slow
def test_the_configs_stop_token_counts_unless_none_says_never() -> None:
    ids, (one, two) = first_tokens()
    for stop in (one[3], [one[3], 7]):
        model = random_model(eos_token_id=stop)
        assert model.generate(ids[:1], max_new_tokens=8, **VARIED)[0, 5:].tolist() == one[:4]
        assert model.generate(ids[:1], max_new_tokens=8, **VARIED, eos_token_id=None)[0, 5:].tolist() == one
    assert random_model(eos_token_id=None).generate(ids, max_new_tokens=8, **VARIED)[1, 5:].tolist() == two


def test_no_row_ends_before_the_least_number_of_tokens() -> None:
    ids, (one, _) = first_tokens()
    out = write(ids[:1], **VARIED, eos_token_id=one[0], min_new_tokens=4)[0, 5:].tolist()
    assert len(out) >= 5 or out[-1] == one[0]
    assert one[0] not in out[:4]
    assert write(ids[:1], **VARIED, min_new_tokens=8, eos_token_id=one[0]).shape[1] == 13


def test_nothing_to_write_gives_the_prompt_back() -> None:
    ids = random_ids()
    assert write(ids, max_new_tokens=0).equal(ids)
    assert write(ids, max_new_tokens=0, num_return_sequences=2, do_sample=True).shape == (4, 5)


# -- what is refused ----

BAD: list[dict[str, Any]] = [
    *({"temperature": value, "do_sample": True} for value in (-1, math.nan, math.inf, "1", None, True, 10**400)),
    *({"top_k": value, "do_sample": True} for value in (-1, 1.5, "3", True, 301)),
    *({"top_p": value, "do_sample": True} for value in (0, -0.1, 1.5, math.nan, "0.5", True, 10**400)),
    *({"max_new_tokens": value} for value in (-1, 1.5, "3", True, 10**9)),
    *({"min_new_tokens": value} for value in (-1, 1.5, "3", 9)),
    *({"repetition_penalty": value} for value in (0, -1, math.nan, math.inf, "1", 10**400)),
    *({"num_return_sequences": value, "do_sample": True} for value in (0, -1, 1.5)),
    {"num_return_sequences": 2},
    *({"eos_token_id": value} for value in (-1, 300, "2", 1.5, True, [2, 300], [2, None])),
    *({"pad_token_id": value} for value in (-1, 300, "3", 1.5, True)),
    *({"seed": value} for value in (-1, 1.5, "7", True, 2**63)),
    *({"do_sample": value} for value in ("yes", 1, None)),
    *({"use_cache": value} for value in ("yes", 0)),
    *({"stop_strings": value} for value in ("", 5, ["a", ""])),
    {"generator": 5},
]


@pytest.mark.parametrize("settings", BAD, ids=lambda settings: str(settings)[:50])
def test_a_setting_that_makes_no_sense_is_named_with_its_value_before_anything_runs(settings: dict[str, Any]) -> None:
    name, value = next(iter(settings.items()))
    if isinstance(value, list):
        value = value[1]
    with pytest.raises(GenerationError) as caught:
        MODEL.stream(random_ids(), **{"max_new_tokens": 8, **settings})
    message = str(caught.value)
    assert name in message or name == "num_return_sequences"
    assert str(value)[:20] in message or settings == {"num_return_sequences": 2}
    assert len(message) < 250


def test_beams_refuse_what_the_model_does_not_have_too() -> None:
    with pytest.raises(GenerationError, match="pad_token_id must be a whole number from 0 to 299, but got 300"):
        write(random_ids(), num_beams=2, pad_token_id=300)


def test_an_unknown_setting_is_named_with_its_near_matches() -> None:
    with pytest.raises(GenerationError, match="no generation setting 'top_l'; did you mean 'top_p' or 'top_k'"):
        write(random_ids(), top_l=3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stop", "stop_strings=…"),
        ("streamer", "yields each step as it comes"),
        ("return_dict_in_generate", r"lab.write\(…\).steps explains them"),
        ("output_attentions", "read="),
    ],
)
def test_what_another_library_calls_a_setting_is_told_what_it_is_here(name: str, words: str) -> None:
    with pytest.raises(GenerationError, match=f"{name} goes by another name here: .*{words}"):
        next(iter(MODEL.stream(random_ids(), **{name: 1})))


class Told:
    """A streamer that keeps what it is told."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []
        self.ended = False

    def put(self, ids: Tensor) -> None:
        self.rows.append(ids.flatten())

    def end(self) -> None:
        self.ended = True


def test_a_streamer_is_told_the_prompt_each_token_and_the_end() -> None:
    told, ids = Told(), random_ids(1, 4)
    written = MODEL.generate(ids, max_new_tokens=3, streamer=told, **NEVER)
    assert told.ended and len(told.rows) == 4 and torch.cat(told.rows).equal(written[0])
    for options in ({"num_beams": 2}, {"do_sample": True, "num_return_sequences": 2}):
        with pytest.raises(GenerationError, match="a streamer is told one continuation"):
            MODEL.generate(ids, streamer=told, **options)


def test_a_generation_config_gives_settings_that_the_call_s_own_win_over() -> None:
    class Config:
        def to_diff_dict(self) -> dict[str, Any]:
            return {
                "max_new_tokens": 5,
                "eos_token_id": None,
                "transformers_version": "5",
                "bos_token_id": 1,
                "seed": 3,
            }

    ids = random_ids()
    for config in (Config(), Config().to_diff_dict()):
        assert MODEL.generate(ids, generation_config=config).shape[1] == ids.shape[1] + 5
        assert MODEL.generate(ids, generation_config=config, max_new_tokens=2).shape[1] == ids.shape[1] + 2
    assert len(list(MODEL.stream(ids, generation_config=Config()))) == 5
    with pytest.raises(GenerationError, match="no generation setting 'max_new_token'"):
        MODEL.generate(ids, generation_config={"max_new_token": 2})
    with pytest.raises(GenerationError, match="generation_config must be a dictionary of settings, but got 5"):
        MODEL.generate(ids, generation_config=5)


def test_what_was_chosen_from_comes_with_the_ids_if_it_is_asked_for() -> None:
    ids, asked = random_ids(), {"max_new_tokens": 4, "return_dict_in_generate": True, **NEVER}
    out = MODEL.generate(ids, output_scores=True, output_logits=True, do_sample=True, top_k=2, seed=1, **asked)
    assert out.sequences.equal(MODEL.generate(ids, do_sample=True, top_k=2, seed=1, max_new_tokens=4, **NEVER))
    assert len(out.scores) == len(out.logits) == 4
    torch.testing.assert_close(out.logits[0], MODEL(ids).logits[:, -1].detach(), atol=1e-5, rtol=0)
    assert [int(scores.isfinite().sum()) for scores in out.scores] == [2 * len(ids)] * 4
    assert list(MODEL.generate(ids, **asked)) == ["sequences"] and list(out) == ["sequences", "scores", "logits"]
    beams = MODEL.generate(ids, num_beams=3, num_return_sequences=2, length_penalty=0.0, output_scores=True, **asked)
    assert beams.sequences_scores.shape == (2 * len(ids),) and beams.scores[0].shape[0] == 3 * len(ids)
    rows = beams.sequences
    own = MODEL(rows).logits[:, ids.shape[1] - 1 : -1].log_softmax(-1).gather(2, rows[:, ids.shape[1] :, None])
    torch.testing.assert_close(beams.sequences_scores, own.sum((1, 2)).detach(), atol=1e-4, rtol=0)
    with pytest.raises(GenerationError, match="output_scores must be True or False"):
        MODEL.generate(ids, output_scores="yes")


def test_a_top_k_of_0_draws_among_all() -> None:
    asked = {"do_sample": True, "seed": 2, "max_new_tokens": 6, **NEVER}
    assert MODEL.generate(random_ids(), top_k=0, **asked).equal(MODEL.generate(random_ids(), **asked))


def test_stop_strings_need_a_tokenizer() -> None:
    with pytest.raises(GenerationError, match="pass the tokenizer, too"):
        write(random_ids(), stop_strings="a")
    with pytest.raises(GenerationError, match="pass the tokenizer, too"):
        write(random_ids(), stop_strings="a", num_beams=2)


@pytest.mark.slow
def test_a_row_ends_with_the_token_that_completes_a_stop_string() -> None:
    reader, never = byte_tokenizer(), {"max_new_tokens": 20, "eos_token_id": None, "do_sample": True, "seed": 0}
    free = write(random_ids(), **never)
    texts = [[reader.decode([token]) for token in row] for row in free]
    letter = next(text for text in texts[0][7:] if text and text.isascii())  # a byte that is a letter by itself
    found = write(random_ids(), stop_strings=[letter, "not there"], tokenizer=reader, pad_token_id=3, **never)
    ends = [next((n for n in range(5, 25) if row[n] == letter), 24) for row in texts]
    assert found.shape[1] == max(ends) + 1 < 25 or ends[1] == 24
    for row, end, whole in zip(found, ends, free, strict=True):
        assert row[: end + 1].equal(whole[: end + 1]) and set(row[end + 1 :].tolist()) <= {3}


def test_a_seed_and_a_generator_are_one_too_many() -> None:
    with pytest.raises(GenerationError, match="a seed or a generator, not both"):
        write(random_ids(), seed=1, generator=torch.Generator())


def test_hooks_need_the_cache() -> None:
    with pytest.raises(GenerationError, match="leave use_cache=True"):
        write(random_ids(), use_cache=False, hooks=Hooks(read=["embed"]))


@pytest.mark.parametrize(
    ("ids", "mask", "words"),
    [
        ([[1, 2]], None, r"tensor \(batch, pos\).*got list"),
        (torch.tensor([1, 2]), None, r"got \(2,\)"),
        (torch.zeros(1, 0).long(), None, r"at least one position, but got \(1, 0\)"),
        (torch.zeros(0, 3).long(), None, r"with no empty axis, but have \(0, 3\)"),
        (torch.ones(1, 2), None, "whole numbers, but are torch.float32"),
        (torch.tensor([[1, 300]]), None, "from 0 to 299, but go from 1 to 300"),
        (random_ids(), torch.ones(2, 4), r"attention_mask has shape \(2, 4\) but input_ids \(2, 5\)"),
        (random_ids(), [[1] * 5] * 2, "attention_mask must be a tensor, but got list"),
        (random_ids(), padded_mask().flip(1), "row 0 ends in padding.*pad on the left"),
        (random_ids(), torch.tensor([[1] * 5, [0] * 5]), "row 1 ends in padding.*leave no row empty"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_ids_and_masks_that_do_not_fit_are_refused(ids: Any, mask: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        write(ids, mask)


def broken(name: str) -> Any:
    """A model whose numbers are infinite from this parameter on."""
    model = random_model()
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = torch.inf
    return model


@pytest.mark.parametrize(
    ("parameter", "spot"),
    [
        ("transformer.h.1.mlp.dense_h_to_4h.bias", "h.1.mlp.pre"),
        ("transformer.h.2.self_attention.dense.bias", "h.2.attn.out"),
        ("transformer.h.0.self_attention.query_key_value.bias", "h.0.attn.q"),
        ("transformer.word_embeddings_layernorm.bias", "embed"),
        ("transformer.ln_f.bias", "final"),
    ],
)
def test_numbers_that_are_not_finite_stop_the_writing_and_name_the_first_spot(parameter: str, spot: str) -> None:
    with pytest.raises(GenerationError, match=f"not finite after 5 columns: '{spot}' is the first spot") as caught:
        broken(parameter).generate(random_ids(), max_new_tokens=3)
    assert caught.value.ids.equal(random_ids())


def test_the_error_carries_what_was_written_until_the_numbers_broke() -> None:
    edit = {"h.1.mlp.out": lambda x, at: x + (math.inf if at.column >= 7 else 0)}
    whole = write(random_ids(), **NEVER)
    with pytest.raises(GenerationError, match=r"after 8 columns: 'h.1.mlp.out' is the first") as caught:
        write(random_ids(), hooks=Hooks(edit=edit), **NEVER)
    assert caught.value.ids.equal(whole[:, :8])


def test_an_edit_that_fails_in_a_later_step_names_itself() -> None:
    edit = {"final": lambda x, at: x if at.column < 6 else None}
    with pytest.raises(HookError, match="'final' must return a tensor"):
        write(random_ids(), hooks=Hooks(edit=edit), **NEVER)


@pytest.mark.parametrize(
    "settings", [{}, {"do_sample": True, "seed": 3}, {"use_cache": False}, {"num_beams": 3}], ids=str
)
def test_an_interrupt_gives_back_what_there_is_and_says_so(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = write(random_ids(), **{**settings, "max_new_tokens": 3}, **NEVER)
    passes = iter(range(3))
    forward = type(MODEL).forward

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        if next(passes, None) is None:
            raise KeyboardInterrupt
        return forward(*arguments, **keywords)

    monkeypatch.setattr(type(MODEL), "forward", interrupted)
    with pytest.warns(UserWarning, match="interrupted after 3 new tokens; here is what was written so far"):
        written = write(random_ids(), **settings, **NEVER)
    assert written.equal(shorter)


# -- a step at a time ----


def test_the_steps_are_what_generate_writes() -> None:
    ids, mask = random_ids(), padded_mask()
    steps = list(MODEL.stream(ids, mask, max_new_tokens=4, **NEVER))
    assert len(steps) == 4 and all(isinstance(step, Step) for step in steps)
    assert steps[-1].ids.equal(write(ids, mask, max_new_tokens=4, **NEVER))
    for n, step in enumerate(steps):
        assert step.ids.shape == step.attention_mask.shape == (BATCH, 6 + n)
        assert step.ids[:, -1].equal(step.token_ids) and step.token_ids.equal(step.logits.argmax(-1))
        assert step.past is not None and step.past.length == 5 + n
        assert not step.ended.any() and not step.logits.requires_grad
        torch.testing.assert_close(
            step.logits, MODEL(step.ids[:, :-1], attention_mask=step.attention_mask[:, :-1]).logits[:, -1].detach()
        )


def test_the_logits_of_a_step_are_the_models_before_any_setting() -> None:
    settings = {"do_sample": True, "temperature": 0.5, "top_k": 2, "repetition_penalty": 3.0, "seed": 0}
    step = next(MODEL.stream(random_ids(), **settings))
    torch.testing.assert_close(step.logits, MODEL(random_ids()).logits[:, -1].detach())


def test_a_generation_can_branch_at_any_step() -> None:
    steps = list(MODEL.stream(random_ids(), max_new_tokens=5, **NEVER))
    step = steps[1]
    other = torch.cat([step.ids[:, :-1], step.logits.topk(2).indices[:, 1:]], 1)  # the second likeliest instead
    branch = MODEL(other[:, step.past.length :], past_key_values=step.past)
    torch.testing.assert_close(branch.logits[:, -1], MODEL(other).logits[:, -1])
    same = MODEL(step.token_ids[:, None], past_key_values=step.past)
    assert same.logits[:, -1].equal(steps[2].logits)


def test_a_row_that_has_ended_is_masked_from_then_on() -> None:
    ids, (one, _) = first_tokens()
    steps = list(MODEL.stream(ids, eos_token_id=one[1], pad_token_id=3, max_new_tokens=5, **VARIED))
    assert [step.ended.tolist() for step in steps] == [[False, False]] + [[True, False]] * 4
    assert steps[-1].attention_mask[:, 5:].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert steps[-1].token_ids[0] == 3


def test_hooks_read_every_column_but_the_last_once() -> None:
    hooks = Hooks(read=["embed", "logits"])
    steps = list(MODEL.stream(random_ids(), max_new_tokens=4, hooks=hooks, **NEVER))
    assert hooks["embed"].shape == (BATCH, 8, 24)
    torch.testing.assert_close(
        hooks["embed"], MODEL.transformer(steps[-1].ids[:, :-1], output_hidden_states=True).hidden_states[0].detach()
    )
    assert hooks["logits"][:, 4:].equal(torch.stack([step.logits for step in steps], 1))


# -- nothing stays behind ----


def test_writing_leaves_the_model_and_the_world_as_they_were() -> None:
    state, before = torch.get_rng_state(), {name: p.clone() for name, p in MODEL.state_dict().items()}
    with torch.enable_grad():
        write(random_ids(), do_sample=True)
        assert torch.is_grad_enabled()
    assert torch.get_rng_state().equal(state)
    assert all(p.equal(before[name]) for name, p in MODEL.state_dict().items())
    assert all(p.grad is None for p in MODEL.parameters())


@pytest.mark.parametrize("end", ["forget", "close", "throw", "fail"])
def test_a_stream_that_is_abandoned_leaves_nothing(end: str) -> None:
    plain, state = MODEL(random_ids()).logits, torch.get_rng_state()
    edit = {"h.1.mlp.out": lambda x, at: 0 * x}
    steps = MODEL.stream(random_ids(), max_new_tokens=5, do_sample=True, hooks=Hooks(edit=edit))
    next(steps)
    assert torch.is_grad_enabled()  # between two steps the caller's mode holds
    if end == "forget":
        del steps  # no circle holds it, so it ends here
    elif end == "close":
        steps.close()  # type: ignore[attr-defined]
    elif end == "throw":
        with pytest.raises(KeyboardInterrupt):
            steps.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    else:
        edit_that_fails = Hooks(edit={"final": lambda x, at: x[:0] if at.column else x})
        with pytest.raises(HookError):
            list(MODEL.stream(random_ids(), max_new_tokens=5, hooks=edit_that_fails))
    assert torch.is_grad_enabled() and torch.get_rng_state().equal(state)
    assert MODEL(random_ids()).logits.equal(plain)


def test_two_streams_do_not_mix() -> None:
    settings: dict[str, Any] = {"max_new_tokens": 4, "do_sample": True, "seed": 1, **NEVER}
    expected = [write(random_ids(seed=seed), **settings) for seed in (1, 2)]
    one, two = (MODEL.stream(random_ids(seed=seed), **settings) for seed in (1, 2))
    last = [(a.ids, b.ids) for a, b in zip(one, two, strict=True)][-1]
    assert last[0].equal(expected[0]) and last[1].equal(expected[1])


def test_writing_works_under_inference_mode() -> None:
    expected = write(random_ids(), **NEVER)
    with torch.inference_mode():
        assert write(random_ids(), **NEVER).equal(expected)
