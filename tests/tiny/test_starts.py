"""Twins of the short setting, from several starts: the spread, its floors, and the command that trains them."""

import json
from pathlib import Path

import pytest

from bloomlab.model.positions import KINDS
from bloomlab.tiny import TWINS_FOLDER, positions, starts
from bloomlab.tiny.floors import Floor
from bloomlab.tiny.measure_positions import LENGTHS
from bloomlab.tiny.positions import BRIEF, LENGTH, SHIPPED, Setting

KEPT = starts.kept()


def floors(figures: dict) -> list[Floor]:
    return starts.floors(figures, KEPT, str(LENGTH), str(LENGTHS[-1]))


def test_each_kind_was_trained_from_three_starts():
    assert {kind: len(starts.of_kind(KEPT, kind)) for kind in KINDS} == dict.fromkeys(KINDS, len(BRIEF.seeds))
    assert BRIEF.steps * BRIEF.rows < SHIPPED.steps * SHIPPED.rows / 5


def test_a_table_has_mean_and_range_of_the_starts():
    figures = {"none": {"by_length": {"64": [1.0, 0.1], "128": [1.5, 0.1]}}, "none-seed1": {}, "learned": {}}
    figures["none-seed1"] = {"by_length": {"64": [2.0, 0.1], "128": [2.5, 0.1]}}
    figures["learned"] = {"by_length": {"64": [3.0, 0.1]}}
    table = starts.tables(figures)["spread_loss"]().splitlines()
    assert table[0] == "|  | 64 | 128 |"
    assert table[2] == "| none | 1.50 (1.00 to 2.00) | 2.00 (1.50 to 2.50) |"
    assert table[3] == "| learned | 3.00 (3.00 to 3.00) | – |"


def test_what_was_kept_reaches_its_floors_and_what_learned_nothing_does_not():
    assert all(floors(KEPT)) and len(floors(KEPT)) == 18  # a loss each, and of ALiBi that it reads on
    worse = json.loads(json.dumps(KEPT))
    worse["rotary-seed1"]["by_length"]["64"][0] = 8.0
    worse["alibi"]["by_length"]["512"][0] = worse["alibi"]["by_length"]["64"][0] + 0.01
    assert [floor.name.split(":")[0] for floor in floors(worse) if not floor] == ["alibi", "rotary-seed1"]
    assert floors({"alibi-seed7": KEPT["alibi"]})[0].holds  # another start is held to its kind's floor


def test_a_floor_is_beyond_the_worst_start_by_twice_their_range():
    kept = {"none": {"by_length": {"64": [1.0, 0]}}, "none-seed1": {"by_length": {"64": [1.1, 0]}}}
    [floor] = starts.floors({"none-seed2": {"by_length": {"64": [1.29, 0]}}}, kept, "64", "512")
    assert floor.limit == pytest.approx(1.3) and floor


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["alibi"], [("alibi", 0, SHIPPED)]),
        (["rotary", "--seed", "1", "--steps", "9"], [("rotary", 1, SHIPPED._replace(steps=9, seeds=(1,)))]),
        (["none", "--short"], [("none", seed, BRIEF) for seed in BRIEF.seeds]),
        (
            ["none", "rotary", "--short", "--seed", "7"],
            [(k, 7, BRIEF._replace(seeds=(7,))) for k in ("none", "rotary")],
        ),
    ],
)
def test_the_command_trains_what_is_asked(arguments, asked, tmp_path, monkeypatch):
    trained: list[tuple[str, int, Setting]] = []

    def train(kind: str, out: Path, run: Path, seed: int, *_: object, setting: Setting) -> bool:
        assert out.parent == Path("my-short" if "--short" in arguments else "my-positions")
        trained.append((kind, seed, setting))
        return True

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(positions, "train", train)
    monkeypatch.setattr("sys.argv", ["positions", *arguments])
    positions.main()
    assert trained == asked


def test_whatever_the_start_the_end_of_a_long_row_and_how_far_heads_look_tell_alibi_from_the_others():
    """The card says so, of the loss in the last stretch and of the mean distance, in tokens."""
    ends, looks = (
        {kind: [starts.picks()[pick](of) for of in starts.of_kind(KEPT, kind)] for kind in KINDS}
        for pick in ("spread_positions", "spread_distance")
    )
    others = [kind for kind in KINDS if kind not in ("alibi", "learned")]  # learned reads 64 tokens and no more
    assert round(max(each["481 to 512"] for each in ends["alibi"]), 2) == 1.46
    assert round(min(each["481 to 512"] for kind in others for each in ends[kind]), 2) == 1.92
    assert all(9.5 < each["64"] < 14.5 for kind in KINDS for each in looks[kind])
    assert all(36.5 < each["512"] < 37.5 for each in looks["alibi"])
    assert min(each["512"] for kind in others for each in looks[kind]) > 108


def test_the_kept_figures_stand_in_the_card():
    card = (TWINS_FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(table() in card for table in starts.tables(KEPT).values())
