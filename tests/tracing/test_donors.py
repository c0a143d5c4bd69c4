"""What stands in the place of what is taken out: means and draws of other texts, and a part's own value, held."""

from typing import Any

import pytest
import torch

import bloomlab
from bloomlab.errors import HookError
from bloomlab.hooks import Hooks, NamedEdit
from bloomlab.lab import Lab
from bloomlab.tracing import donors
from bloomlab.tracing.donors import copied, drawn, hold, steer, usual
from bloomlab.tracing.edits import patch, scale, zero
from tests.tiny_random import byte_tokenizer, random_ids, random_model

TEXT = "Leo lives in Oslo."
OTHERS = ["Mia lives in Rome.", "Ben lives in Lima.", "Tom works in Oslo."]  # as many bytes
PARTS = [f"h.{layer}.{part}.out" for layer in range(4) for part in ("attn", "mlp")]
RECAP = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


@pytest.fixture(scope="module")
def tiny() -> Lab:
    return bloomlab.load()


SPOTS = ["embed", "h.1.attn.mixed", "h.0.attn.probs", "h.2.mlp.out", "h.1.resid_post"]


@pytest.mark.parametrize("spot", SPOTS)
def test_the_usual_is_the_mean_over_the_texts_at_each_position(lab: Lab, spot: str) -> None:
    got = lab.trace(TEXT, [spot], {spot: usual(OTHERS)})[spot]
    means = torch.cat([lab.trace(text, [spot])[spot] for text in OTHERS]).double().mean(0, keepdim=True)
    assert got.allclose(means.float(), atol=1e-6) and not got.allclose(lab.trace(TEXT, [spot])[spot], atol=1e-3)


def test_the_usual_of_all_positions_is_one_value_and_takes_texts_of_any_length(lab: Lab) -> None:
    texts = [*OTHERS, "Leo.", "A longer text than the others are."]
    got = lab.trace(TEXT, ["h.1.attn.mixed"], {"h.1.attn.mixed": usual(texts, per="all", head=2)})["h.1.attn.mixed"]
    rows = [lab.trace(text, ["h.1.attn.mixed"])["h.1.attn.mixed"][0, 2] for text in texts]
    mean = torch.cat(rows).double().mean(0).float()
    assert got[0, 2].allclose(mean.expand_as(got[0, 2]), atol=1e-6)
    whole = lab.trace(TEXT, ["h.1.attn.mixed"])["h.1.attn.mixed"]
    assert got[0, :2].equal(whole[0, :2])
    with pytest.raises(HookError, match="per='position'"):
        lab.trace(TEXT, edit={"h.1.attn.probs": usual(texts, per="all")})


@pytest.mark.parametrize("copies", [1, 3, 7])
@pytest.mark.parametrize("per", ["position", "all"])
def test_the_mean_of_equal_rows_is_the_row(lab: Lab, copies: int, per: str) -> None:
    text = TEXT if per == "position" else "a"  # of one position
    spots = ["h.1.attn.mixed", "h.1.mlp.out"]
    edited = lab.trace(text, spots, {spots[0]: usual([text] * copies, per=per)})
    whole = lab.trace(text, spots)
    exact = copies == 1  # rows of a batch are multiplied together, which may round otherwise
    for spot in spots:
        assert edited[spot].equal(whole[spot]) if exact else edited[spot].allclose(whole[spot], atol=1e-5)


@pytest.mark.slow
def test_one_text_is_drawn_and_never_the_text_itself(lab: Lab) -> None:
    spot = "h.1.attn.mixed"
    values = {text: lab.trace(text, [spot])[spot] for text in OTHERS}
    seen = set()
    for seed in range(12):
        got = lab.trace(TEXT, [spot], {spot: drawn([TEXT, *OTHERS, "Leo."], seed=seed)})[spot]
        again = lab.trace(TEXT, [spot], {spot: drawn([TEXT, *OTHERS, "Leo."], seed=seed)})[spot]
        found = [text for text, value in values.items() if got.equal(value)]
        assert len(found) == 1 and again.equal(got)
        seen |= {*found}
    assert seen == {*OTHERS}
    with pytest.raises(HookError, match="no other text of 18 tokens"):
        lab.trace(TEXT, edit={spot: drawn([TEXT, "Leo."])})


def test_each_row_of_a_batch_gets_another_text_than_its_own(lab: Lab) -> None:
    spot, pair = "h.1.attn.mixed", OTHERS[:2]
    got = lab.trace(pair, [spot], {spot: drawn(pair)})[spot]
    rows = [lab.trace(text, [spot])[spot] for text in pair]
    assert got[0].allclose(rows[1][0], atol=1e-5) and got[1].allclose(rows[0][0], atol=1e-5)


def test_with_every_part_held_nothing_changes(tiny: Lab) -> None:
    change: dict[str, Any] = {"h.0.attn.mixed": zero(head=1), "h.2.mlp.pre": scale(3.0)}
    whole, edited = (tiny.trace(RECAP, ["logits"], edit)["logits"] for edit in (None, change))
    held = tiny.trace(RECAP, ["logits"], change | {part: hold() for part in PARTS})["logits"]
    assert held.equal(whole) and not edited.allclose(whole, atol=0.1)


def test_a_held_part_wins_over_what_reaches_it_and_order_matters_at_one_spot(tiny: Lab) -> None:
    spot = "h.2.attn.out"
    whole = tiny.trace(RECAP, [spot])[spot]
    below = {"h.0.attn.mixed": zero()}
    assert tiny.trace(RECAP, [spot], below | {spot: hold()})[spot].equal(whole)
    assert tiny.trace(RECAP, [spot], {spot: [zero(), hold()]})[spot].equal(whole)
    assert not tiny.trace(RECAP, [spot], {spot: [hold(), zero()]})[spot].any()
    some = tiny.trace(RECAP, [spot], below | {spot: hold(pos=3)})[spot]
    assert some[0, 3].equal(whole[0, 3]) and not some[0, 4].allclose(whole[0, 4], atol=1e-2)


def test_what_is_held_comes_from_the_base_where_it_has_it_and_is_the_same(tiny: Lab) -> None:
    change = {"h.1.attn.mixed": zero(head=1), "h.2.mlp.out": hold()}
    read = ["attn.probs", "logits", *change]
    base = tiny.trace(RECAP, read)
    with_base, without = (tiny.trace(RECAP, read, change, base=base) for base in (base, None))
    assert all(with_base[name].equal(without[name]) for name in base.names)


def test_the_direct_effect_of_a_head_is_the_change_with_all_that_follows_held(tiny: Lab) -> None:
    """The head's own product with the matrix of the vocabulary, by hand, against holding all later parts."""
    spot, read = "h.3.attn.mixed", ["h.3.attn.mixed", "h.3.resid_post", "logits"]
    city, other = (tiny.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    edit = {spot: zero(head=4), "h.3.mlp.out": hold()}
    whole, held = tiny.trace(RECAP, read), tiny.trace(RECAP, read, edit)
    model = tiny.model
    dense = model.transformer.h[3].self_attention.dense
    width = whole[spot].shape[-1]
    added = whole[spot][0, 4, -1] @ dense.weight[:, 4 * width : 5 * width].T
    state = whole["h.3.resid_post"][0, -1]
    by_hand = model.lm_head(model.transformer.ln_f((state - added).detach()))
    difference = [(logits[city] - logits[other]).item() for logits in (by_hand, held["logits"][0, -1])]
    assert difference[0] == pytest.approx(difference[1], abs=1e-4)
    assert abs(difference[0] - (whole["logits"][0, -1, city] - whole["logits"][0, -1, other]).item()) > 0.5


def test_means_are_kept_while_the_weights_are_these_and_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    lab, spot = Lab(model, byte_tokenizer(), name="random"), "h.1.attn.mixed"
    runs: list[int] = []
    read = donors.Donors.read_anew
    monkeypatch.setattr(donors.Donors, "read_anew", lambda *args: runs.append(1) or read(*args))
    first = lab.trace(TEXT, [spot], {spot: usual(OTHERS)})[spot]
    lab.trace(TEXT, [spot], {spot: usual(OTHERS, head=1)})
    assert len(runs) == 1
    with torch.no_grad():
        model.transformer.h[0].mlp.dense_h_to_4h.weight.mul_(1.5)
    assert not lab.trace(TEXT, [spot], {spot: usual(OTHERS)})[spot].equal(first) and len(runs) == 2
    monkeypatch.setattr(donors, "KEPT", 1)
    for n in range(3):
        lab.trace(TEXT, [spot], {spot: usual(OTHERS[n:])})
    assert len(donors._kept(model)) == 1


def test_many_texts_are_read_some_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spot = "h.1.attn.mixed"
    texts = [f"Leo lives in {n:05d}" for n in range(40)]
    whole = lab.trace(texts[0], [spot], {spot: usual(texts)})[spot]
    monkeypatch.setattr(donors, "COLUMNS_AT_ONCE", 100)
    donors._kept(lab.model).clear()
    assert lab.trace(texts[0], [spot], {spot: usual(texts)})[spot].allclose(whole, atol=1e-6)


def test_what_is_done_is_said_and_can_be_done_again(lab: Lab) -> None:
    edit = {"h.1.attn.mixed": [usual(OTHERS, head=2), hold(head=1)]}
    trace = lab.trace(TEXT, ["logits"], edit)
    assert trace.provenance["edits"] == {"h.1.attn.mixed": "[usual(<3 texts>, head=2), hold(head=1)]"}
    assert lab.trace(TEXT, ["logits"], trace.edit)["logits"].equal(trace["logits"])


def test_what_is_copied_is_what_the_other_text_has(lab: Lab) -> None:
    spot = "h.1.attn.mixed"
    other = lab.trace(OTHERS[0], [spot])[spot]
    got = lab.trace(TEXT, [spot], {spot: copied(OTHERS[0], head=1, query=[2, 4])})[spot]
    assert got.equal(lab.trace(TEXT, [spot], {spot: patch(other, head=1, query=[2, 4])})[spot])
    short = lab.trace(TEXT, [spot], {spot: copied("Leo.", columns=3, query=17)})[spot]
    assert short[:, :, 17].equal(lab.trace("Leo.", [spot])[spot][:, :, 3])
    edit = copied(OTHERS[0], head=1)
    assert repr(edit) == "copied('Mia lives in Rome.', head=1)" and edit.source == OTHERS[0]


def test_a_text_as_its_own_donor_changes_exactly_nothing(tiny: Lab) -> None:
    whole = tiny.trace(RECAP, ["logits"])["logits"]
    for spot in ("h.0.attn.mixed", "h.2.mlp.out", "h.1.resid_post"):
        assert tiny.trace(RECAP, ["logits"], {spot: copied(RECAP)})["logits"].equal(whole)


def test_a_direction_is_the_way_between_two_means_times_its_dose(lab: Lab) -> None:
    spot, sets = "h.1.resid_post", (["Mia lives in Rome.", "Leo."], ["Ben lives in Lima."])
    means = [torch.cat([lab.trace(text, [spot])[spot][0] for text in texts]).double().mean(0) for texts in sets]
    whole = lab.trace(TEXT, [spot])[spot]
    for dose, where in ((1.0, {}), (-2.5, {"pos": [2, 5]})):
        got = lab.trace(TEXT, [spot], {spot: steer(*sets, dose, **where)})[spot]
        places = where.get("pos", list(range(18)))
        expected = whole.clone()
        expected[0, places] += dose * (means[0] - means[1]).float()
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert lab.trace(TEXT, [spot], {spot: steer(*sets, 0)})[spot].equal(whole)
    assert lab.trace(TEXT, [spot], {spot: steer([TEXT], [TEXT], 9)})[spot].equal(whole)
    assert repr(steer(*sets, 2, pos=3)) == "steer(<2 texts>, <1 texts>, dose=2, pos=3)"


def test_a_direction_needs_no_texts_of_one_length(tiny: Lab) -> None:
    """It is the same in every text, so many texts of any length can be measured with it."""
    edit = {"h.1.resid_post": steer(["Leo habite à Oslo."], ["Leo lives in Oslo."], 2)}
    texts = ["Ana has a cat.", "Leo lives in"]
    found = tiny.refute(texts[0], edit, texts=texts[1:], n=2).found
    alone = tiny.refute(texts[1], edit, n=1).found
    (other,) = found.of("other texts")
    # of its own answer and rival each
    assert other.after == pytest.approx(alone.after, abs=1e-3) and len(found.of("random directions")) == 2
    mean = {"h.1.resid_post": usual(texts, "all")}
    assert len(tiny.refute(texts[0], mean, texts=texts[1:], n=1).found.of("other texts")) == 1


def test_which_text_is_drawn_does_not_depend_on_the_batch(lab: Lab) -> None:
    spot = "h.1.attn.mixed"
    together = lab.trace(OTHERS, [spot], {spot: drawn([*OTHERS, TEXT], seed=3)})[spot]
    for row, text in enumerate(OTHERS):
        alone = lab.trace(text, [spot], {spot: drawn([*OTHERS, TEXT], seed=3)})[spot]
        assert together[row].allclose(alone[0], atol=1e-5)


def test_an_edit_is_made_again_at_another_place(lab: Lab) -> None:
    source = torch.zeros(1, 6, 18, 4)
    edits = [zero(head=1), scale(2.0, head=1), patch(source, head=1), usual(OTHERS, head=1), drawn(OTHERS, 5, head=1)]
    edits += [
        hold(head=1),
        copied(TEXT, head=1),
        usual(OTHERS, "all", head=1),
        copied(TEXT, columns=[0, 1], pos=[2, 3]),
        steer(OTHERS, [TEXT], 2, head=1),
    ]
    for edit in edits:
        moved = edit.at(head=3)
        assert repr(moved) == repr(edit).replace("head=1", "head=3").replace("pos=[2, 3]", "head=3")
        assert type(moved) is type(edit)
    with pytest.raises(HookError, match="cannot be made again"):
        NamedEdit("mine", lambda x, at: x).at(head=1)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda: copied(""), "takes the text to copy from"),
        (lambda: copied(["Leo"]), "takes the text to copy from"),
        (lambda: copied("Leo."), "has only 4 columns"),
        (lambda: usual([]), "at least one text"),
        (lambda: usual("Leo"), "a list of texts"),
        (lambda: drawn([""]), "none that is empty"),
        (lambda: drawn([3]), "a list of texts"),
        (lambda: drawn(OTHERS, seed="1"), "whole number"),
        (lambda: usual(OTHERS, per="token"), "per 'position' or per 'all'"),
        (lambda: usual(["a"] * 20_001), "at most 20,000"),
        (lambda: usual(["Leo."]), "1 of 1 have others, such as 'Leo.'"),
        (lambda: drawn(OTHERS, layer=3), "no axis 'layer'"),
        (lambda: hold(head=99), "from 0 to"),
        (lambda: steer([], ["Leo"]), "at least one text"),
        (lambda: steer(["Leo"], "Leo"), "a list of texts"),
        (lambda: steer(["Leo"], ["Ana"], "2"), "dose of steer must be a number"),
        (lambda: steer(["Leo"], ["Ana"], float("inf")), "dose of steer must be a number"),
        (lambda: steer(["Leo"], ["Ana"]), "added to states"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(lab: Lab, edit: Any, words: str) -> None:
    with pytest.raises(HookError, match=words):
        lab.trace(TEXT, edit={"h.1.attn.mixed": edit()})


def test_alone_they_say_where_they_work() -> None:
    with pytest.raises(HookError, match=r"lab\.trace"):
        random_model()(random_ids(1, 4), hooks=Hooks(edit={"embed": hold()}))


def test_a_batch_of_texts_is_held_row_by_row(lab: Lab) -> None:
    spot = "h.1.mlp.out"
    whole = lab.trace(OTHERS, [spot])[spot]
    assert lab.trace(OTHERS, [spot], {"h.0.attn.out": zero(), spot: hold()})[spot].equal(whole)
    one = lab.trace(OTHERS, [spot], {spot: patch(whole[:1])})[spot]
    assert one[1].equal(whole[0])
