"""The receipt of a token: its lines sum to the difference, and each is what taking the part out shows."""

from functools import partial
from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import HookError, InputError
from bloomlab.hooks import Hooks
from bloomlab.lab import Lab
from bloomlab.lens.receipt import READ, Receipt, receipt, total_effects
from bloomlab.tiny.world import story
from bloomlab.tracing.donors import drawn, hold
from bloomlab.tracing.edits import zero
from bloomlab.tracing.record import record
from tests.tasks.task_heads import random_head
from tests.tiny_random import byte_tokenizer, random_model

RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


def pair(lab: Lab) -> tuple[int, int]:
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    return oslo, sydney


def closes(found: Receipt, share: float = 1e-4) -> bool:
    return found.error <= share * max(1, abs(found.difference)) and found.difference == pytest.approx(
        found.direct.double().sum().item(), abs=2 * share * max(1, abs(found.difference))
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr", "es", "pt", "id", "vi", "sw", "zh", "ar", "hi"])
def test_it_closes_for_twenty_texts_of_each_language_wherever_it_is_read(tiny: Lab, language: str) -> None:
    for seed in range(20):
        trace = tiny.trace(story(language, seed).text[:120], READ)
        position = -1 - seed % len(trace.tokens)
        for versus in (7, [3, 5, 9], "mean", None):
            assert closes(receipt(tiny.model, trace, 100 + seed, versus, position)), (seed, versus)


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("tied", [True, False])
def test_it_closes_in_models_of_every_depth_tied_or_not(layers: int, tied: bool) -> None:
    lab = Lab(random_model(n_layer=layers, tie_word_embeddings=tied), byte_tokenizer(), name="random")
    assert closes(receipt(lab.model, lab.trace("Leo lives in", READ), 9, 4))


def test_in_bfloat16_it_closes_within_that_ones_rounding() -> None:
    lab = Lab(random_model().bfloat16(), byte_tokenizer(), name="random")
    found = receipt(lab.model, lab.trace("Leo lives in", READ), 9, 4)
    assert 0 < found.error < 2**-5 * max(1, found.direct.abs().sum().item())


def test_the_figures_of_the_recap(tiny: Lab) -> None:
    oslo, sydney = pair(tiny)
    trace = tiny.trace(RECAP, [*READ, "logits"])
    logits = trace["logits"][0, -1]
    expected = {None: logits[oslo], "mean": logits[oslo] - logits.mean(), sydney: logits[oslo] - logits[sydney]}
    for versus, difference in expected.items():
        found = receipt(tiny.model, trace, oslo, versus)
        assert found.difference == pytest.approx(difference.item(), abs=1e-4) and closes(found)
    raw, against = (receipt(tiny.model, trace, oslo, versus) for versus in (None, sydney))
    assert raw.names[int(raw.direct.argmax())] == "MLP 3"  # most of which says: a city
    assert against.names[int(against.direct.argmax())] == "head 3.5"


PARTS = [
    ("head 3.4", "h.3.attn.mixed", {"head": 4}),
    ("head 1.1", "h.1.attn.mixed", {"head": 1}),
    ("MLP 2", "h.2.mlp.out", {}),
]


@pytest.mark.parametrize(("name", "spot", "axes"), PARTS)
def test_a_line_is_what_taking_the_part_out_shows_with_all_later_parts_held(
    tiny: Lab, name: str, spot: str, axes: Any
) -> None:
    oslo, sydney = pair(tiny)
    whole = tiny.trace(RECAP, [*READ, "logits"])
    layer = int(spot.split(".")[1])
    later = [f"h.{n}.{part}.out" for n in range(layer + 1, 4) for part in ("attn", "mlp")]
    later += [f"h.{layer}.mlp.out"] if "attn" in spot else []
    edit = {spot: zero(**axes)} | {part: hold() for part in later}
    without = tiny.trace(RECAP, ["logits"], edit)["logits"][0, -1]
    lost = (whole["logits"][0, -1, oslo] - whole["logits"][0, -1, sydney]) - (without[oslo] - without[sydney])
    found = receipt(tiny.model, whole, oslo, sydney)
    assert found.adapted[found.names.index(name)].item() == pytest.approx(lost.item(), abs=1e-4)


def measured(lab: Lab, instead: Any = zero) -> Receipt:
    oslo, sydney = pair(lab)
    trace = lab.trace(RECAP, READ)
    run = partial(lambda read, ids, edit: lab.trace(ids, read, edit), READ)
    steps = list(
        total_effects(lab.model, run, trace, receipt(lab.model, trace, oslo, sydney), oslo, sydney, -1, instead)
    )
    assert [done for done, _ in steps] == [32, 37]
    return steps[-1][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spot", "axes"), [*PARTS, ("embedding", "embed", {}), ("head 0.1", "h.0.attn.mixed", {"head": 1})]
)
def test_the_total_is_the_change_of_an_edit_by_hand(tiny: Lab, name: str, spot: str, axes: Any) -> None:
    oslo, sydney = pair(tiny)
    logits = [tiny.trace(RECAP, ["logits"], edit)["logits"][0, -1] for edit in (None, {spot: zero(**axes)})]
    lost = [(row[oslo] - row[sydney]).item() for row in logits]
    found = measured(tiny)
    assert found.total is not None
    assert found.total[found.names.index(name)].item() == pytest.approx(lost[0] - lost[1], abs=1e-3)


def test_only_what_comes_later_moves_and_who_moved_most_is_named(tiny: Lab) -> None:
    found = measured(tiny)
    head = found.names.index("head 3.4")
    assert found.moved is not None and found.total is not None
    changed = {found.names[i] for i in found.moved[head].abs().gt(1e-4).nonzero()[:, 0].tolist()}
    assert changed == {"head 3.4", "MLP 3"}
    other, change = found.by_whom(head) or (0, 0.0)
    assert found.names[other] == "MLP 3" and change < -0.5
    assert found.total[head] > found.adapted[head] + 0.5  # what follows makes the loss larger: nothing makes up for it


@pytest.mark.slow
def test_another_texts_value_can_stand_in_a_parts_place(tiny: Lab) -> None:
    other = RECAP.replace("Oslo", "Lima")
    found = measured(tiny, partial(drawn, [RECAP, other]))
    one = measured(tiny)
    assert found.total is not None and one.total is not None
    head = found.names.index("head 0.1")
    assert abs(found.total[head]) < 0.5 < one.total[head]  # it says the same in each such story


def test_a_constant_on_every_logit_changes_the_raw_line_alone() -> None:
    head = random_head("tags")
    trace = record(head, byte_tokenizer(), "Leo lives", READ)
    before = {versus: receipt(head, trace, 1, versus) for versus in (None, 0, "mean")}
    assert all(closes(found) for found in before.values())
    with torch.no_grad():
        head.classifier.bias += 3
    for versus, found in before.items():
        after = receipt(head, trace, 1, versus)
        assert after.difference - found.difference == pytest.approx(3 if versus is None else 0, abs=1e-5)
        assert after.direct[:-1].equal(found.direct[:-1])


HEADS: list[tuple[str, str, int, str]] = [
    ("language", "Leo habite à Oslo.", -1, "fr"),
    ("tags", "Leo lives in Oslo.", 3, "CITY"),
    ("answer", "Where does Leo live?\nLeo lives in Oslo.", -2, "start"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "text", "position", "label"), HEADS)
def test_a_task_heads_label_has_a_receipt_too(tiny: Lab, head: str, text: str, position: int, label: str) -> None:
    model: Any = tiny.heads[head]
    table = tiny.receipt(text, label, position=position, head=head, instead=zero())
    ids = torch.tensor([tiny.tokenizer.encode(text)])
    final = model.transformer(ids).last_hidden_state[0, position]
    labels = list(model.config.id2label.values())
    logits = next(getattr(model, name) for name in ("score", "classifier", "qa_outputs") if hasattr(model, name))(final)
    expected = logits[labels.index(label)]
    if head != "answer":  # there it is asked of the positions, so no label is a rival
        rest = [one for one in logits.argsort(descending=True).tolist() if labels[one] != label]
        expected = expected - logits[rest[0]]
        assert f"{label} against {labels[rest[0]]}" in table.sentence
    else:
        assert "start against nothing" in table.sentence
    assert closes(table.receipt) and table.receipt.difference == pytest.approx(expected.item(), abs=1e-4)
    assert f"head {head!r}" in table.stamp

    after = model.transformer(ids, hooks=Hooks(edit={"h.3.mlp.out": zero()})).last_hidden_state[0, position]
    changed = logits - next(
        getattr(model, name) for name in ("score", "classifier", "qa_outputs") if hasattr(model, name)
    )(after)
    lost = changed[labels.index(label)] - (0 if head == "answer" else changed[rest[0]])
    assert table.receipt.total is not None
    total = table.receipt.total[table.names.index("MLP 3")].item()
    assert total == pytest.approx(lost.item(), abs=1e-3)
    assert table.neurons(3).found.values.sum().item() == pytest.approx(table.neurons(3).found.line, abs=1e-4)


@pytest.mark.slow
def test_a_label_that_is_none_is_refused_with_a_hint(tiny: Lab) -> None:
    with pytest.raises(InputError, match="did you mean 'CITY'"):
        tiny.receipt("Leo lives in Oslo.", "CITTY", head="tags")
    with pytest.raises(InputError, match="labels are O, PERSON"):
        tiny.receipt("Leo lives in Oslo.", True, head="tags")
    with pytest.raises(InputError, match="has no head 'tag'"):
        tiny.receipt("Leo lives in Oslo.", head="tag")
    with pytest.raises(InputError, match="from 0 to 4"):
        tiny.receipt("Leo lives in Oslo.", head="tags", position=9)
    assert (
        "against PERSON, ANIMAL, after"
        in tiny.receipt("Leo lives in Oslo.", "CITY", ["PERSON", "ANIMAL"], 3, head="tags").sentence
    )
    assert "the mean of all labels" in tiny.receipt("Leo lives in Oslo.", versus="mean", head="tags").sentence


@pytest.mark.slow
def test_a_stream_that_is_no_sum_is_refused_in_words() -> None:
    model = random_model(apply_residual_connection_post_layernorm=True)
    lab = Lab(model, byte_tokenizer(), name="random")
    with pytest.raises(InputError, match="is not a sum"):
        lab.receipt("Leo lives")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"token": "Leo lives"}, "one token"),
        ({"token": 99_999}, "the ids go from 0 to"),
        ({"token": True}, "token"),
        ({"versus": "Rome and"}, "one token"),
        ({"versus": []}, "names no token"),
        ({"versus": 0.5}, "versus is a name, several"),
        ({"versus": 0.5, "head": "tags"}, "versus is a name, several"),
        ({"versus": [" Oslo", -1]}, "the ids go from 0 to"),
        ({"position": 20}, "from 0 to 19"),
        ({"position": -21}, "from 0 to 19"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(tiny: Lab, arguments: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny.receipt(RECAP, **arguments)


def test_no_text_that_could_stand_in_its_place(tiny: Lab) -> None:
    with pytest.raises(HookError, match="no other text of 20 tokens"):
        tiny.receipt(RECAP, texts=["Leo."])


@pytest.mark.slow
def test_a_part_is_named_as_the_one_that_changes_most_only_if_its_change_shows(tiny: Lab) -> None:
    table = tiny.receipt("Leo lives in Oslo. Leo has a cat. Leo lives in")
    words = [table.words(part) for part in range(len(table.names)) if table.words(part)]
    numbers = [text.rpartition(": ")[2].split(" → ") for text in words]
    assert len(numbers) >= 10 and all(before != after for before, after in numbers)
    # nothing but the norm comes after the last part, so no line of a part can change when it is replaced
    last = table.names.index("MLP 3")
    assert table.total is not None and abs(table.total[last] - table.adapted[last]) > 1
    assert table.words(last) == ""


@pytest.mark.slow
def test_the_table_says_what_it_is_of_and_closes(tiny: Lab) -> None:
    table = tiny.receipt(RECAP, versus=" Sydney", instead=zero())
    assert repr(table).startswith("·Oslo against ·Sydney, after token 19 ·in: +4.970; the 43 parts sum to it, error ")
    assert "amplified, most by MLP 3: 1.59 → " in repr(table) and "zeros in the part's place" in repr(table)
    assert "the mean of all tokens" in tiny.receipt(RECAP, versus="mean").sentence
    runner_up = tiny.receipt(RECAP)
    best = tiny.trace(RECAP, ["logits"])["logits"][0, -1].topk(2).values
    assert runner_up.receipt.difference == pytest.approx((best[0] - best[1]).item(), abs=1e-4)
    assert "what one of 64 like texts has in the part's place" in repr(runner_up)
    assert "one of 2 texts" in repr(tiny.receipt(RECAP, texts=[RECAP, RECAP.replace("Oslo", "Lima")]))


def test_names_in_the_table_are_only_text(tiny: Lab) -> None:
    html = tiny.receipt("a <b>", position=1)._repr_html_()
    assert "<b>" not in html and "<script" not in html


def test_a_model_without_a_head_is_refused_in_words() -> None:
    model = random_model().transformer
    trace = record(model, byte_tokenizer(), "Leo", READ)
    with pytest.raises(InputError, match="of a model with a head, but got BloomModel"):
        receipt(model, trace, 1, 0)
