"""Patterns that are made when they are looked at have the numbers of those that are kept; and the memory is bounded."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bloomlab import Lab
from bloomlab.errors import HookError, InputError, MemoryLimitError
from bloomlab.hooks import Hooks
from bloomlab.tracing import record as recording
from bloomlab.tracing.by_need import READABLE
from bloomlab.tracing.donors import hold
from bloomlab.tracing.edits import cut, scale, zero
from bloomlab.tracing.record import record
from bloomlab.tracing.trace import Trace
from tests.tiny_random import byte_tokenizer, random_model

MODEL, TOKENIZER = random_model(), byte_tokenizer()
TEXT = "Leo lives in Oslo."
READ = ["attn.scores", "attn.probs", "attn.alibi", "attn.biased", "resid_post"]
PATTERNS = [f"h.{layer}{end}" for layer in range(3) for end in READABLE]
EDITS: list[dict[str, Any]] = [
    {},
    {"h.1.attn.mixed": zero(head=1)},
    {"attn.alibi": scale(0.5)},
    {"h.1.attn.biased": cut(key=0, head=2)},
    {"h.0.attn.scores": scale(2.0, head=0), "h.2.attn.probs": zero(key=1)},
    {"h.0.mlp.out": zero(pos=2), "h.1.attn.q": scale(0.5), "h.2.attn.probs": hold(head=1)},
]


def traces(monkeypatch: pytest.MonkeyPatch, edit: Any = None, **options: Any) -> tuple[Trace, Trace]:
    """A trace that keeps its patterns, and one that makes them."""
    kept = record(MODEL, TOKENIZER, TEXT, READ, edit, **options)
    monkeypatch.setattr(recording, "KEPT", 0)
    return kept, record(MODEL, TOKENIZER, TEXT, READ, edit, by_need=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: "+".join(edit) or "none")
def test_what_is_made_is_what_was_kept_bit_for_bit(edit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, made = traces(monkeypatch, edit)
    assert not set(PATTERNS) & made.readings.keys() and kept.by_need is None
    assert [name for name in made.names if not name.endswith((".q", ".k"))] == kept.names
    for name in kept.names:
        assert name in made and made.axes(name) == kept.axes(name)
        assert made[name].equal(kept[name]), name  # what comes after them, too: the lines are the same
    for name in PATTERNS:
        heads = list(made.heads(name))
        assert torch.stack(heads).equal(kept[name][0]) and torch.stack(list(kept.heads(name))).equal(kept[name][0])
        assert made.head(name, 4).equal(kept[name][0, 4]) and kept.head(name, 4).equal(kept[name][0, 4])
    assert made.stack("attn.probs").equal(kept.stack("attn.probs"))
    assert made.nbytes < kept.nbytes


def test_an_edited_run_begins_where_its_base_does_though_no_pattern_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    edit = {"h.2.attn.probs": zero(head=3)}
    monkeypatch.setattr(recording, "KEPT", 0)
    base = record(MODEL, TOKENIZER, TEXT, [*READ, "embed"], by_need=True)
    runs: list[Any] = []
    forward = MODEL.transformer.h[0].forward
    monkeypatch.setattr(
        MODEL.transformer.h[0], "forward", lambda *args, **more: runs.append(1) or forward(*args, **more)
    )
    after = record(MODEL, TOKENIZER, TEXT, [*READ, "embed"], edit, base=base, by_need=True)
    assert not runs, "the layers below the edit ran again"
    alone = record(MODEL, TOKENIZER, TEXT, READ, edit)
    for name in alone.names:
        assert after[name].equal(alone[name]), name


def test_a_trace_without_patterns_is_saved_with_them_cut_to_its_row_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, made = traces(monkeypatch)
    opened = Trace.load(made.save(tmp_path / "made.safetensors"))
    assert all(opened[name].equal(kept[name]) for name in kept.names)
    assert all((made.numpy()[name] == kept[name].numpy()).all() for name in kept.names)
    assert made.row(0)["h.1.attn.probs"].equal(kept["h.1.attn.probs"])
    assert "attn.probs in 3 layers" in repr(made)
    with pytest.raises(HookError, match=r"did you mean 'h\.1\.attn\.probs'"):
        made["h.1.attn.prob"]
    with pytest.raises(InputError, match="one text has heads 0 to 5; asked for 6"):
        made.head("h.1.attn.probs", 6)
    made.close()
    assert made.by_need is None
    with pytest.raises(InputError, match="closed"):
        made["h.1.attn.probs"]


def test_a_weight_that_changes_afterwards_does_not_change_what_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(seed=3)
    monkeypatch.setattr(recording, "KEPT", 0)
    made = record(model, TOKENIZER, TEXT, READ, by_need=True)
    before = made["h.1.attn.probs"]
    with torch.no_grad():
        model.transformer.h[1].self_attention.query_key_value.weight.mul_(3)
    assert made["h.1.attn.probs"].equal(before)


def test_what_is_passed_takes_the_readable_lines_and_is_not_kept() -> None:
    ids = torch.tensor([TOKENIZER.encode(TEXT)])
    read, passing = Hooks(["logits", "h.1.attn.probs"]), Hooks(["logits"], passing=["h.1.attn.probs"])
    for hooks in (read, passing):
        MODEL(ids, hooks=hooks)
    assert passing["logits"].equal(read["logits"]) and list(passing) == ["logits"]
    with pytest.raises(HookError, match=r"there is no spot 'h\.9\.attn\.probs'"):
        MODEL(ids, hooks=Hooks(passing=["h.9.attn.probs"]))


def test_room_is_asked_for_a_layer_at_work_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, runs = Lab(MODEL, TOKENIZER), []
    monkeypatch.setattr(MODEL, "forward", lambda *args, **more: runs.append(1))
    monkeypatch.setattr("bloomlab.guards.memory.free_bytes", lambda: 50_000_000)
    with pytest.raises(MemoryLimitError, match=r"of 2000 columns needs .* but 50\.0 MB are free here; .*shorten"):
        lab.attention("L" * 2000)
    assert not runs


@pytest.mark.slow
def test_the_longest_text_takes_no_more_than_its_bound_in_any_tab() -> None:
    """Of one run; two of them vary by a third with what else the machine does: `python -m tests.benchmarks.memory`."""
    from tests.benchmarks.memory import BOUND, rows

    found = list(rows())
    peaks = {line[:72].strip(): float(line[72:81]) for line in found}
    assert len(peaks) == 16 and max(peaks.values()) > 100
    assert all(peak <= BOUND for peak in peaks.values()), "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "last"),
    [("against", "the run difference"), pytest.param("scores", "the tab alibi, difference", marks=pytest.mark.long)],
)
def test_the_tensors_of_two_runs_of_the_longest_text_stay_far_below_it(which: str, last: str) -> None:
    """What a process takes beside them varies with what else the machine does; this does not."""
    from tests.benchmarks.memory import BOUND, tensors

    most = dict(tensors(which, last))
    assert "two runs" in most and [*most][-1] == last
    assert 100 < max(most.values()) <= 0.8 * BOUND, most
