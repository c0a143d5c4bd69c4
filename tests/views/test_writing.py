"""Writing a text as a tree: what it writes is what generation writes, and nothing is computed or lost twice."""

import math
import random
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import GenerationError, HookError, InputError
from bloomlab.lab import Lab
from bloomlab.tracing.edits import scale, zero
from bloomlab.views.writing import writing as module
from bloomlab.views.writing.writing import Writing
from tests.test_interrupts import once
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo lives in"
SAMPLED: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.3},
    {"do_sample": True, "seed": 4},
    {"do_sample": True, "seed": 9, "temperature": 1.4, "top_k": 30, "top_p": 0.9, "repetition_penalty": 1.2},
    {"no_repeat_ngram_size": 2, "bad_words_ids": [[5], [6, 7]], "begin_suppress_tokens": [300]},
    {"do_sample": True, "seed": 2, "typical_p": 0.8, "min_p": 0.01, "suppress_tokens": [9], "renormalize_logits": True},
]


@pytest.fixture(scope="module")
def lab() -> Lab:
    return bloomlab.load()


@pytest.fixture(scope="module")
def small() -> Lab:
    return Lab(random_model(scale=0.1), byte_tokenizer(), name="random")


class Runs:
    """Counts the columns that a model reads."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.columns: list[int] = []
        forward = lab.model.transformer.forward

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.columns.append(kwargs["input_ids"].shape[1])
            return forward(*args, **kwargs)

        monkeypatch.setattr(lab.model.transformer, "forward", counted)


# ---- what it writes ----


@pytest.mark.slow
@pytest.mark.parametrize("settings", SAMPLED)
def test_what_is_played_is_what_generate_writes(lab: Lab, settings: dict[str, Any]) -> None:
    writing = lab.write(TEXT, **settings).play(25)
    assert writing.text == lab.generate(TEXT, max_new_tokens=25, **settings)
    steps = list(lab.model.stream(torch.tensor([lab.tokenizer.encode(TEXT)]), max_new_tokens=25, **settings))
    assert writing.ids.equal(steps[-1].ids[0])
    for mine, step in zip(writing.steps, steps, strict=True):
        assert mine.logits.equal(step.logits[0]) and mine.choice.chosen == int(step.token_ids)


def test_each_drawn_token_won_its_race(lab: Lab) -> None:
    for step in lab.write(TEXT, do_sample=True, seed=4).play(15).steps:
        found = step.choice
        assert found.numbers is not None and found.ids[(found.after / found.numbers).argmax()] == found.chosen


def test_a_seed_is_chosen_when_none_is_given_and_the_code_has_it(lab: Lab) -> None:
    one, other = (lab.write(TEXT, do_sample=True) for _ in range(2))
    assert one.settings.seed != other.settings.seed and f"seed={one.settings.seed}" in one.code


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 3},
        {"num_beams": 4, "repetition_penalty": 1.3},
        {"num_beams": 3, "do_sample": True, "seed": 5},
        {"num_beams": 2, "stop_strings": ["Mumbai", "."]},
    ],
)
def test_beams_are_a_tree_that_ends_where_generate_ends(lab: Lab, settings: dict[str, Any]) -> None:
    writing = lab.write(TEXT, **settings).play(9)
    assert writing.text == lab.generate(TEXT, max_new_tokens=9, **settings)
    ids = torch.tensor([lab.tokenizer.encode(TEXT)])
    several = {**settings, "num_return_sequences": settings["num_beams"], "tokenizer": lab.tokenizer}
    every = lab.model.generate(ids, max_new_tokens=9, **several)
    leaves = {tuple(writing.tree.ids(node).tolist()) for node in range(len(writing.tree.nodes))}
    assert {tuple(row.tolist()) for row in every} <= leaves
    assert {node.how for node in writing.tree.nodes[1:]} == {"beam"}
    with pytest.raises(GenerationError, match="beams have no single next step"):
        writing.back(2).step()


def test_a_writing_takes_functions_that_change_scores_and_none_that_end_it(lab: Lab) -> None:
    def never_nine(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(1, torch.tensor([9]), -torch.inf)

    writing = lab.write(TEXT, logits_processor=[never_nine]).play(5)
    assert writing.text == lab.generate(TEXT, max_new_tokens=5, logits_processor=[never_nine])
    assert "logits_processor=[never_nine]" in writing.code
    for settings in ({"max_time": 5.0}, {"stopping_criteria": [len]}):
        with pytest.raises(GenerationError, match="leave max_time and stopping_criteria out"):
            lab.write(TEXT, **settings)


def test_writing_stops_at_the_end_of_the_text(small: Lab) -> None:
    writing = small.write("a")
    stop = small.model.config.eos_token_id
    writing.branch(stop)
    assert writing.ended and "the text has ended" in repr(writing) and writing.play(3).text == "a"
    for move in (writing.step, lambda: writing.branch(5)):
        with pytest.raises(GenerationError, match="the text has ended; go back"):
            move()
    assert not writing.back().ended


# ---- the tree ----


def test_going_back_and_branching_needs_no_run_of_the_model(small: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(small, monkeypatch)
    writing = small.write("Leo lives")
    assert runs.columns == [9]
    writing.play(5)
    assert runs.columns == [9, 1, 1, 1, 1, 1]
    runs.columns.clear()
    here = writing.at
    writing.back(3).set(temperature=0.3, do_sample=True)
    writing.choice_at(writing.at)
    assert runs.columns == []
    writing.branch(70)
    assert runs.columns == [1]
    writing.back().branch(70).go(here).back(5)
    assert runs.columns == [1]


@pytest.mark.slow
def test_a_branchs_numbers_are_those_of_its_text_read_afresh(small: Lab) -> None:
    writing = small.write("Leo", do_sample=True, seed=1).play(6)
    for token in (70, 80):
        writing.back(3).branch(token).play(4)
    for node in range(len(writing.tree.nodes)):
        ids = writing.tree.ids(node)
        with torch.no_grad():
            fresh = small.model(ids[None]).logits[0].double().log_softmax(-1)
        own = writing.tree.nodes[node]
        torch.testing.assert_close(own.logits.double().log_softmax(-1), fresh[-1], atol=1e-5, rtol=0)
        assert own.logits.double().softmax(-1).sum() == pytest.approx(1, abs=1e-9)  # all its children together
        new = range(3, len(ids))
        product = math.prod(math.exp(fresh[place - 1, ids[place]]) for place in new)
        assert writing.go(node).probability == pytest.approx(product, rel=1e-4)
        assert (
            math.isnan(writing.surprise)
            if not len(new)
            else writing.surprise == pytest.approx(-math.log(product) / len(new), abs=1e-4)
        )
        cache = writing.cache()
        assert cache.length == len(ids)
        with torch.no_grad():
            for mine, its in zip(cache, small.model(ids[None], use_cache=True).past_key_values, strict=True):
                torch.testing.assert_close(mine, its, atol=1e-5, rtol=0)


def test_memory_grows_by_the_token_however_often_it_branches(small: Lab) -> None:
    writing = small.write("Leo").play(20)
    each = writing.tree.nodes[-1]
    storage = sum(tensor.untyped_storage().nbytes() for pair in each.columns for tensor in pair)
    assert storage == each.columns.nbytes
    assert writing.tree.nbytes == 20 * (each.columns.nbytes + each.logits.nbytes) + (
        writing.tree.nodes[0].columns.nbytes + each.logits.nbytes
    )


def test_a_random_place_draws_the_same_whichever_way_one_came(small: Lab) -> None:
    writing = small.write("Leo", do_sample=True, seed=8).play(6)
    written = writing.ids
    again = small.write("Leo", do_sample=True, seed=8)
    again.step().back().step().play(2).back(3).branch(70).play(3).back(4).play(6)
    assert again.ids.equal(written)


def test_an_edit_holds_for_all_that_is_written(lab: Lab) -> None:
    edit = {"h.1.attn.mixed": zero(head=2), "h.0.mlp.out": scale(0.8)}
    writing = lab.write(TEXT, edit=edit).play(5)
    trace = lab.trace(writing.text, ["logits"], edit)
    torch.testing.assert_close(trace["logits"][0, -1], writing.tree.nodes[writing.at].logits, atol=1e-4, rtol=0)
    assert writing.text != lab.write(TEXT).play(5).text
    with pytest.raises(HookError, match="no spot"):
        lab.write(TEXT, edit={"h.9.mlp.out": zero()})


def test_two_branches_part_at_a_token(small: Lab) -> None:
    writing = small.write("Leo").play(4)
    one = writing.at
    other = writing.back(2).branch(70).at
    assert writing.parting(one, other) == 2 and writing.parting(one, one) == 4


# ---- what it says ----


@pytest.mark.slow
@pytest.mark.parametrize("settings", SAMPLED)
def test_the_code_writes_the_same(lab: Lab, settings: dict[str, Any]) -> None:
    writing = lab.write("Léo «habite» à", **settings).play(4).back(2).branch(300)
    writing.set(do_sample=True, seed=5, temperature=0.9).play(3).set(top_k=7)
    found: dict[str, Any] = {}
    exec(writing.code, found)
    again: Writing = found["writing"]
    assert again.ids.equal(writing.ids) and again.settings == writing.settings
    edited = lab.write(TEXT, edit={"h.1.mlp.out": zero(pos=2)}).play(2)
    exec(edited.code, found)
    assert found["writing"].tree.nodes[-1].logits.equal(edited.tree.nodes[-1].logits)


def test_the_repr_is_the_tree(lab: Lab) -> None:
    writing = lab.write("Leo lives in Oslo. He has a cat. Leo lives in").step().back().branch(" Paris").step()
    lines = repr(writing).splitlines()
    assert lines[0] == "Writing: 2 new tokens, greedy" and lines[1] == "  Leo lives in Oslo. He has a cat. Leo lives in"
    assert [line.split("   p ")[0] for line in lines[2:]] == ["     Oslo", "→    Paris."]
    assert repr(writing.steps[0]).startswith("·Paris  by hand, p 0.") and "rank" in repr(writing.steps[0])


@pytest.mark.slow
def test_an_endless_repetition_is_said(lab: Lab) -> None:
    writing = lab.write(TEXT).play(80)
    last = writing.ids[-20:].tolist()
    assert writing.loop > 0 and last[: -writing.loop] == last[writing.loop :]
    assert f"this loop has period {writing.loop}" in repr(writing)
    assert not lab.write(TEXT).play(5).loop


def test_half_a_character_is_shown_as_its_bytes_until_the_rest_is_there(small: Lab) -> None:
    writing = small.write("a")
    shown = []
    for token in small.tokenizer.encode("中👩‍🚀"):
        writing.branch(token)
        shown.append("".join(step.shown for step in writing.steps))
    assert shown[0] == "⟨0xE4⟩" and shown[2] == "中 1/3中 2/3中 3/3" and writing.text == "a中👩‍🚀"


# ---- beside another ----


@pytest.mark.slow
@pytest.mark.parametrize("settings", SAMPLED[1:])
def test_what_follows_writes_as_far_with_the_same_settings_and_the_same_random_numbers(
    lab: Lab, settings: dict[str, Any]
) -> None:
    edit = {"h.1.attn.mixed": zero(head=1)}
    one, other = lab.write(TEXT, edit=edit, **settings).play(6), lab.write(TEXT)
    assert other.follow(one) is other
    assert other.text == lab.write(TEXT, **settings).play(6).text and len(other.steps) == 6
    one.back(4)
    assert len(other.follow(one).steps) == 2
    nodes = len(other.tree.nodes)
    one.play(4)
    assert len(other.follow(one).steps) == 6 and len(other.tree.nodes) == nodes  # it was there already
    one.branch(" cat").set(do_sample=True, temperature=0.3, seed=1).step()
    assert other.follow(one).settings.temperature == 0.3 and len(other.steps) == 8
    by_hand = lab.write(TEXT, **settings).play(7).set(do_sample=True, temperature=0.3, seed=1).step()
    assert other.ids.equal(by_hand.ids) and lab.write(TEXT).follow(one).ids.equal(by_hand.ids)


def test_what_follows_ends_where_its_own_text_ends(small: Lab) -> None:
    one, other = small.write("Leo").play(4), small.write("Leo")
    other.branch(small.model.config.eos_token_id)
    assert other.follow(one).at == 1 and other.ended
    other = small.write("Leo")
    other.heard.append(lambda: (_ for _ in ()).throw(KeyboardInterrupt()) if other.at == 2 else None)
    with pytest.raises(KeyboardInterrupt):
        other.follow(one)
    other.heard.clear()
    assert other.at == 2 and other.follow(one).ids.equal(one.ids)


@pytest.mark.slow
def test_beams_can_be_set_and_search_on_from_where_it_stands(lab: Lab) -> None:
    writing = lab.write(TEXT).play(2)
    text = writing.text
    writing.set(num_beams=3).play(4)
    assert writing.text == lab.generate(text, max_new_tokens=4, num_beams=3)
    other = lab.write(TEXT).follow(writing)
    assert len(other.steps) == 6 and other.settings.num_beams == 3


@pytest.mark.slow
def test_the_labels_are_what_the_heads_say_of_each_beginning_of_the_text(lab: Lab) -> None:
    writing = lab.write("Léo habite à Oslo. Léo").play(4)
    said = writing.labels()
    text = writing.text
    assert [name for name, _ in said["tags"]] == list(lab.tag(text).tags)
    for end in (2, 5, len(said["language"])):
        beginning = lab.tokenizer.decode(writing.ids[:end])
        assert lab.tokenizer.encode(beginning) == writing.ids[:end].tolist()
        found = lab.classify(beginning)
        assert said["language"][end - 1] == (found.label, pytest.approx(found.scores[found.label], abs=1e-4))
    edited = lab.write("Léo", edit={"h.2.mlp.out": zero(), "logits": scale(2.0)})
    assert edited.labels()["language"] != lab.write("Léo").labels()["language"]
    assert Lab(random_model(), byte_tokenizer(), name="random").write("Leo").labels() == {}


# ---- bad wishes ----


def test_bad_wishes_leave_it_where_it_was(small: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = small.write("Leo").play(3)
    before = writing._place, writing.settings
    wishes: list[tuple[Any, type[Exception], str]] = [
        (lambda: writing.back(4), InputError, "3 tokens were written here"),
        (lambda: writing.back(True), InputError, "cannot be taken back"),
        (lambda: writing.go(9), InputError, "nodes 0 to 3"),
        (lambda: writing.branch(300), InputError, "id from 0 to 299"),
        (lambda: writing.branch("ab"), InputError, r"is 2 tokens \(a b\); take them one at a time"),
        (lambda: writing.branch(None), InputError, "a token is its text or an id"),
        (lambda: writing.set(temprature=1), GenerationError, "can change"),
        (lambda: writing.set(max_new_tokens=2), GenerationError, "set when a writing begins"),
        (lambda: writing.set(num_beams=0), GenerationError, "num_beams"),
        (lambda: writing.set(top_p=2), GenerationError, "top_p"),
        (lambda: writing.set(top_k=301), GenerationError, "top_k"),
        (lambda: writing.play(-1), GenerationError, "max_new_tokens"),
        (lambda: small.write("a", num_return_sequences=2, do_sample=True), GenerationError, "one branch at a time"),
        (lambda: small.write(""), InputError, "empty"),
        (lambda: small.write("a", temprature=1), GenerationError, "did you mean"),
    ]
    for wish, error, words in wishes:
        with pytest.raises(error, match=words):
            wish()
        assert (writing._place, writing.settings) == before
    writing.max_tokens = 6
    with pytest.raises(GenerationError, match="longer than 6 tokens"):
        writing.step()
    assert writing.play(5)._place == before[0]
    writing.max_tokens = 2048
    with monkeypatch.context() as patch:
        patch.setattr(module, "MOST_BYTES", writing.tree.nbytes - 1)
        with pytest.raises(GenerationError, match=r"this tree has 4 tokens and takes .* lab.write\(writing.text\)"):
            writing.step()
    assert writing.step().at == 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:interrupted after")
def test_after_300_interrupts_at_random_moments_the_tree_is_whole(small: Lab) -> None:
    chance, interrupts = random.Random(0), 0
    straight = small.write("Leo", do_sample=True, seed=3, eos_token_id=None).play(8).ids
    writing = small.write("Leo", do_sample=True, seed=3, eos_token_id=None)
    moves: list[Any] = [lambda: writing.play(8), lambda: writing.go(0).branch(70).play(4), writing.step]
    while interrupts < 300:
        interrupts += once(chance.choice(moves), chance.uniform(1e-5, 0.012))
        tree, at = writing._place
        assert 0 <= at < len(tree.nodes)
        for number, node in enumerate(tree.nodes[1:], 1):
            assert node.parent < number and node.columns.length == 1
        if len(writing.ids) > 40:
            writing.go(0)
    assert writing.go(0).play(8).ids.equal(straight)
    assert len({(node.parent, node.token_id) for node in writing.tree.nodes}) == len(writing.tree.nodes)


def test_a_view_that_shows_another_text_follows_no_longer(lab: Lab) -> None:
    writing = lab.write("Leo lives in")
    view = writing.view
    view.show("abc")
    before = dict(view.tree)
    writing.step()
    assert view.tree == before and view.at == 0 and writing.at == 1


def test_the_numbers_of_a_few_seeds_are_kept_and_those_of_an_older_one_are_the_same_again(lab: Lab) -> None:
    writing = lab.write("Leo lives in", do_sample=True, seed=1)
    first = writing.numbers_at(0)
    for seed in range(2, 30):
        writing.set(seed=seed)
        writing.numbers_at(0)
    assert len(writing._random) <= 4
    writing.set(seed=1)
    again = writing.numbers_at(0)
    assert first is not None and again is not None and again.equal(first)
