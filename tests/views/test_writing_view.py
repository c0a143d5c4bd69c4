"""The writing panel without a page: what it sends, what it hears, and what is left where no script runs."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from bloomlab.lab import Lab, load
from bloomlab.lens.cache import cache_bytes, change_of
from bloomlab.tracing.edits import zero
from bloomlab.views.shared.tables import word
from bloomlab.views.view import View
from bloomlab.views.writing.payload import other_payload
from tests.browser.texts import HOSTILE
from tests.test_interrupts import once
from tests.tiny_random import byte_tokenizer, random_model

TEXT = "Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


@pytest.fixture(scope="module")
def small() -> Lab:
    return Lab(random_model(scale=0.1), byte_tokenizer(), name="random")


def ask(view: View, **wish: Any) -> None:
    view.asked = {**wish, "number": view.asked["number"] + 1}


@pytest.mark.slow
def test_what_the_page_asks_for_is_what_generate_writes(lab: Lab) -> None:
    view = lab.write(TEXT).view
    view.sample, view.seed, view.temperature = True, 4, 0.9
    for _ in range(12):
        ask(view, do="step")
    expected = lab.generate(TEXT, max_new_tokens=12, do_sample=True, seed=4, temperature=0.9)
    assert view.bars[str(view.at)]["text"] == expected
    found: dict[str, Any] = {}
    exec(view.code, found)
    assert found["writing"].text == expected


@pytest.mark.slow
def test_the_bars_are_those_of_the_lens_and_name_what_comes_next(small: Lab) -> None:
    writing = small.write("Leo", do_sample=True, seed=3)
    view = writing.view
    for _ in range(4):
        bars = view.bars[str(view.at)]
        found = writing.choice_at(writing.at, chosen=bars["next"])
        assert bars["ids"] == found.ids.tolist()
        torch.testing.assert_close(torch.tensor(bars["before"]), found.before)
        race = torch.tensor(bars["after"]) / torch.tensor(bars["numbers"])
        assert bars["ids"][race.argmax()] == bars["next"]
        ask(view, do="step")
        assert writing.tree.nodes[writing.at].token_id == bars["next"]
        assert view.bars[str(view.at)]["came"]["p"] == pytest.approx(found.probability)


def test_the_page_and_python_move_one_writing(small: Lab) -> None:
    writing = small.write("Leo")
    view = writing.view
    ask(view, do="step")
    ask(view, do="branch", token=70)
    assert writing.at == 2 == view.at
    writing.back().branch(71)
    assert view.at == 3 and view.tree["parents"] == [-1, 0, 1, 1] and view.tree["rows"] == [[0], [1], [2], [3]]
    view.at = 2
    assert writing.at == 2
    ask(view, do="back")
    assert writing.at == 1 == view.at
    assert view.cache["bytes"] == cache_bytes(small.model.config, 4) == writing.cache().nbytes


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"do": "jump"}, "it cannot 'jump'"),
        ({}, "it cannot None"),
        ({"do": "branch", "token": 300}, "id from 0 to 299"),
        ({"do": "branch", "token": "<b>"}, "take them one at a time"),
        ({"do": "branch"}, "a token is its text or an id"),
        ({"do": "back"}, "cannot be taken back"),
    ],
)
def test_a_bad_wish_is_answered_in_words_and_nothing_moves(small: Lab, wish: dict[str, Any], words: str) -> None:
    view = small.write("Leo").view
    ask(view, **wish)
    assert words in view.tree["message"] and view.at == 0 and len(view.tree["parents"]) == 1
    view.at = 9
    assert "nodes 0 to 0" in view.tree["message"] and view.at == 0
    ask(view, do="step")
    assert view.tree["message"] == "" and view.at == 1


@pytest.mark.slow
def test_in_the_explorer_the_edits_in_force_hold_for_what_is_written(lab: Lab) -> None:
    edit = {"h.1.attn.mixed": zero(head=2), "h.0.mlp.out": zero()}
    view = lab.explore(TEXT, edit=edit)
    view.tab = "writing"
    edited = view.writing_bars["0"]
    with_edit = lab.write(TEXT, edit=edit)
    assert edited["before"] == pytest.approx(with_edit.choice_at(0).before.tolist(), abs=1e-4)
    view.run = "as it is"
    assert view.writing_bars["0"]["before"] == pytest.approx(lab.write(TEXT).choice_at(0).before.tolist(), abs=1e-4)
    view.writing_asked = {"do": "step", "number": 1}
    view.run = "what if"
    assert view.writing.at == 0 and view.writing_bars["0"] == edited
    view.run = "as it is"
    assert view.writing.at == 1  # what was written there is still there


@pytest.mark.slow
def test_as_a_difference_both_runs_write_side_by_side(lab: Lab, tmp_path: Path) -> None:
    edit = {"h.1.attn.mixed": zero(head=2), "h.0.mlp.out": zero()}
    view = lab.explore(TEXT, edit=edit)
    view.tab = "writing"
    for number in (1, 2, 3):
        view.writing_asked = {"do": "step", "number": number}
    view.run = "difference"
    assert not view.troubles and view.writing.at == 3
    view.writing_asked = {"do": "step", "number": 4}
    plain = lab.write(TEXT).play(4)
    other = view.writing_other
    assert other["tree"]["ids"] == [-1, *plain.tree.new_ids(plain.at)] and other["at"] == 4
    probs = plain.tree.nodes[plain.at].logits.softmax(-1)
    listed = view.writing_bars["4"]["ids"]
    assert other["probs"]["4"] == pytest.approx(probs[listed].tolist(), abs=1e-4)
    view.writing_asked = {"do": "back", "number": 5}
    assert view.writing_other["at"] == 3 and len(view.writing_other["tree"]["ids"]) == 5
    view.writing_temperature, view.writing_sample, view.writing_seed = 0.8, True, 5
    view.writing_asked = {"do": "step", "number": 6}
    sampled = lab.write(TEXT).play(3).set(do_sample=True, seed=5, temperature=0.8).step()
    assert view.writing_other["tree"]["ids"][view.writing_other["at"]] == sampled.tree.new_ids(sampled.at)[-1]
    other_tree = view.writing_other["tree"]
    saved = view.panels["writing"].saved(view.trace, view._shown(view.panels["writing"]), view._base)
    assert (
        saved["other"]["probs"].keys()
        <= saved["bars"].keys()
        == set(map(str, range(len(view.writing_tree["parents"]))))
    )
    assert "as it is:" in view._still()
    found: dict[str, Any] = {}
    exec(view.code, found)
    assert found["other"].tree.new_ids(found["other"].at) == sampled.tree.new_ids(sampled.at)
    for kind in ("png", "svg"):
        assert view.save(tmp_path / f"x.{kind}").stat().st_size > 1000
    view.run = "as it is"
    assert view.writing_other == {} and view.writing_tree["ids"] == other_tree["ids"]


@pytest.mark.slow
def test_another_texts_cache_in_place_of_this_ones(lab: Lab) -> None:
    writing = lab.write(TEXT)
    view = writing.view
    view.keep = "of the other text"
    assert "compare with a branch first" in view.cache["refused"]
    ask(view, do="branch", token=lab.tokenizer.encode(" Oslo")[0])
    for _ in range(3):
        ask(view, do="step")
    first = view.at
    view.beside = first
    assert view.cache["kl"] == 0 and view.cache["parted"] == view.cache["columns"] - 1
    view.at = 0
    ask(view, do="branch", token=lab.tokenizer.encode(" Lima")[0])
    for _ in range(2):
        ask(view, do="step")
    columns, other = len(writing.ids) - 1, writing.tree.cache(first)
    whole = writing.tree.cache(view.at).columns(slice(0, columns))
    expected, after = change_of(lab.model, writing.ids, whole, other.columns(slice(0, columns)))
    assert view.cache["kl"] == expected > 1e-4 and view.cache["parted"] == 3
    assert view.cache["says"] == word(lab.tokenizer, int(after.argmax()))
    for _ in range(4):
        ask(view, do="step")
    assert "write it on first" in view.cache["refused"]
    view.beside = 99
    assert view.beside == -1


@pytest.mark.slow
def test_the_heads_are_asked_only_if_somebody_wants_it(lab: Lab, small: Lab) -> None:
    view = lab.write(TEXT).view
    assert view.said == {} and view.picture["heads"] == ["language", "tags"]
    view.labels = True
    ask(view, do="step")
    assert len(view.said["tokens"]) == len(view.said["tags"]) == 4 and view.said["node"] == view.at
    assert small.write("Leo").view.picture["heads"] == []


@pytest.mark.slow
def test_beams_are_set_in_the_explorer_and_found_there(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.tab = "writing"
    view.writing_beams = 4
    assert view.writing_tree["searches"]
    view.writing_asked = {"do": "search", "number": 1}
    assert view.writing_bars[str(view.writing_at)]["text"] == lab.generate(TEXT, num_beams=4)
    view.writing_sample, view.writing_seed = True, 3
    view.writing_at = 0
    view.writing_asked = {"do": "search", "number": 2}
    assert view.writing_bars[str(view.writing_at)]["text"] == lab.generate(TEXT, num_beams=4, do_sample=True, seed=3)


def test_another_text_is_another_tree_with_the_same_settings(small: Lab) -> None:
    view = small.write("Leo", do_sample=True, seed=5, top_k=9).view
    ask(view, do="step")
    view.show("abc")
    assert view.at == 0 and view.tree["prompt"] == "abc" and view.tree["settings"].endswith("top-k 9, seed 5")


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_where_no_script_runs_a_text_is_a_text(lab: Lab, text: str) -> None:
    writing = lab.write(text)
    for token in lab.tokenizer.encode(text)[:6]:
        writing.branch(token)
    still = writing.view._still()
    assert "<img" not in still and "<script" not in still and "<svg" not in still and "<button" not in still
    assert "by hand" in still and "nats a token" in still


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["html", "png", "svg"])
def test_it_is_saved(small: Lab, tmp_path: Path, kind: str) -> None:
    writing = small.write("L$1", do_sample=True, seed=1).play(3)
    assert writing.save(tmp_path / f"x.{kind}").stat().st_size > 1000
    assert small.write("L").save(tmp_path / f"y.{kind}").stat().st_size > 1000
    data, _ = writing._repr_mimebundle_()
    assert data["text/plain"] == repr(writing) and "drawn" in data["text/html"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_after_300_interrupts_while_it_plays_the_tree_is_whole(small: Lab) -> None:
    chance, interrupts = random.Random(0), 0
    straight = small.write("Leo", do_sample=True, seed=3, eos_token_id=None).play(10).ids
    writing = small.write("Leo", do_sample=True, seed=3, eos_token_id=None)
    view = writing.view
    while interrupts < 300:
        interrupts += once(lambda: [ask(view, do="step") for _ in range(4)], chance.uniform(1e-5, 0.02))
        tree, at = writing._place
        assert 0 <= at < len(tree.nodes)
        assert all(node.parent < number for number, node in enumerate(tree.nodes))
        if at > 30:
            writing.go(0)
    writing.go(0)
    for _ in range(10):
        ask(view, do="step")
    assert writing.ids.equal(straight) and view.at == writing.at and view.tree["message"] == ""


def test_what_turns_the_direction_of_a_prompt_is_written_as_its_name(lab: Lab) -> None:
    text = "a\u202ecba\u2066x\ty"
    view = lab.write(text).view
    assert "\u202e" not in view.tree["prompt"] and "\u2066" not in view.tree["prompt"]
    assert view.tree["prompt"].startswith("a") and view.text == text
    assert "\u202e" not in view._still()
    assert lab.write("Leo lives in\nOslo. 😀 قطة").view.tree["prompt"] == "Leo lives in\nOslo. 😀 قطة"


def test_the_code_of_the_run_beside_is_there_whatever_the_text_says(small: Lab) -> None:
    text = "edit\nwriting = 1"
    code = other_payload(small.write(text), small.write(text), [0])["code"]
    assert code == f"other = lab.write({text!r}).follow(writing)\n"
    edited = small.write(text, edit={"h.1.mlp.out": zero()})
    assert other_payload(small.write(text), edited, [0])["code"] == ""
