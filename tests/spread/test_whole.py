"""A model in two processes is a model: whatever is asked of it comes out as it does in one."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

import bloomlab
from bloomlab import Lab, add, patch, scale, zero
from bloomlab.errors import CheckpointError, HookError, InputError, MissingPackageError, PartsError
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.lens import cache as cache_lens
from bloomlab.spread.part import measured
from bloomlab.spread.whole import BloomInParts
from bloomlab.tracing.record import weights_hash

pytestmark = pytest.mark.slow  # the engines take seconds to start

TEXT = "Leo lives in Oslo. Leo has a cat."
START = "Leo lives in"
ONE = bloomlab.load()


def processes(lab: Lab) -> list[psutil.Process]:
    """The controller and the engines of a lab."""
    engines = lab.model.engines
    engines.client[:].block = True
    pids = [engines.client[target].apply_sync(os.getpid) for target in engines.targets]
    return [psutil.Process(pid) for pid in pids]


def world() -> list[Any]:
    return [
        torch.get_rng_state().sum().item(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    home = tmp_path_factory.mktemp("ipython")
    before, os.environ["IPYTHONDIR"] = os.environ.get("IPYTHONDIR"), str(home)
    now = world()
    lab = bloomlab.load(engines=2)
    running = processes(lab)
    assert world() == now and not [path for path in home.rglob("*") if path.is_file() and path.name != "README"]
    yield lab
    lab.model.engines.close()
    _, left = psutil.wait_procs(running, 10)
    assert not left, "engines were left behind"
    os.environ.pop("IPYTHONDIR")
    if before is not None:
        os.environ["IPYTHONDIR"] = before


def near(found: Tensor, expected: Tensor) -> bool:
    room = 1e-4 * max(1.0, expected.nan_to_num().abs().max().item())
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=room, equal_nan=True)


def works(lab: Lab) -> bool:
    return near(lab.trace(TEXT, ["logits"])["logits"], ONE.trace(TEXT, ["logits"])["logits"])


# -- the same numbers --------------------------------------------------------------------------------------


def test_it_is_a_model_of_that_class_with_these_weights(lab: Lab) -> None:
    assert isinstance(lab.model, BloomForCausalLM) and len(lab.model.engines) == 2
    assert lab.code == "lab = bloomlab.load(engines=2)"
    assert weights_hash(lab.model) == weights_hash(ONE.model)
    assert lab.model.hook_names() == ONE.model.hook_names()
    assert lab.model.num_parameters() == ONE.model.num_parameters() and lab.model.dtype == torch.float32
    theirs = dict(ONE.model.named_parameters())
    assert all(tensor.equal(theirs.pop(name)) for name, tensor in lab.model.named_parameters()) and not theirs
    assert lab.info().fit.parameters == ONE.info().fit.parameters


def test_every_spot_is_equal_to_one_process(lab: Lab) -> None:
    for text in (TEXT, [TEXT, "Ana"]):
        ours, theirs = lab.trace(text, ["*"]), ONE.trace(text, ["*"])
        assert ours.names == theirs.names
        assert all(near(ours[name], theirs[name]) for name in theirs.names)


def test_every_way_of_writing_gives_the_same(lab: Lab) -> None:
    for settings in ({}, {"num_beams": 3}, {"do_sample": True, "seed": 5}, {"num_return_sequences": 2, "num_beams": 4}):
        ours, theirs = (each.generate(START, max_new_tokens=6, **settings) for each in (lab, ONE))
        assert ours == theirs, settings
    assert lab.generate([START, "Ana has"], max_new_tokens=4) == ONE.generate([START, "Ana has"], max_new_tokens=4)
    assert "".join(lab.stream(START, max_new_tokens=4)) == "".join(ONE.stream(START, max_new_tokens=4))


def test_a_stitched_trace_is_the_same(lab: Lab) -> None:
    read = ["attn.probs", "attn.scores", "resid_post", "mlp.post", "logits"]
    ours, theirs = (each.trace(START, read, max_new_tokens=4) for each in (lab, ONE))
    assert ours.text == theirs.text and all(near(ours[name], theirs[name]) for name in theirs.names)


def test_a_pass_costs_the_bytes_that_the_arithmetic_says(lab: Lab) -> None:
    """Two sums a layer and one at the table, and the scores of the last position joined: docs/large.md counts so."""
    engines, config = lab.model.engines, lab.model.config
    for n in (8, 1):
        before = engines.ask(measured)["sent"]
        lab.model(torch.arange(10, 10 + n)[None], logits_to_keep=1)
        sent = engines.ask(measured)["sent"] - before
        assert sent == 4 * ((2 * config.n_layer + 1) * n * config.hidden_size + config.vocab_size // 2)


def test_documented_switches_and_the_loss_are_the_same(lab: Lab) -> None:
    ids = ONE.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    mask = torch.ones(8)
    mask[3] = 0
    named = {"labels": ids, "output_attentions": True, "output_hidden_states": True, "head_mask": mask}
    ours, theirs = lab.model(ids, **named), ONE.model(ids, **named)
    assert near(ours.loss, theirs.loss.detach()) and ours.keys() == theirs.keys()
    assert all(near(a, b.detach()) for a, b in zip(ours.attentions, theirs.attentions, strict=True))
    assert all(near(a, b.detach()) for a, b in zip(ours.hidden_states, theirs.hidden_states, strict=True))
    assert near(
        lab.model(inputs_embeds=torch.ones(1, 2, 128)).logits,
        ONE.model(inputs_embeds=torch.ones(1, 2, 128)).logits.detach(),
    )
    assert isinstance(lab.model(ids, return_dict=False), tuple)
    with pytest.raises(InputError, match="token ids must be from 0"):
        lab.model(torch.tensor([[99999]]))


def test_a_cache_stays_on_the_engines_and_can_be_cut_and_read(lab: Lab) -> None:
    ids = ONE.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    ours, theirs = (each.model(ids[:, :-1], use_cache=True).past_key_values for each in (lab, ONE))
    assert (len(ours), ours.length, ours.nbytes) == (len(theirs), theirs.length, theirs.nbytes)
    assert near(ours[2][0], theirs[2][0].detach())
    assert near(cache_lens.value_norms(ours), cache_lens.value_norms(theirs).detach())
    assert near(ours.columns(slice(2, 5))[1][1], theirs.columns(slice(2, 5))[1][1].detach())
    index = torch.tensor([0, 0])
    call = {"attention_mask": torch.ones(2, theirs.length + 1, dtype=torch.long)}
    more = ids[:, -1:].expand(2, -1)
    left = lab.model(more, past_key_values=ours.rows(index), **call).logits
    right = ONE.model(more, past_key_values=theirs.rows(index), **call).logits
    assert near(left, right.detach())
    whole = [(k, v) for k, v in theirs]  # one that was made elsewhere is sent
    assert near(
        lab.model(ids[:, -1:], past_key_values=whole).logits,
        ONE.model(ids[:, -1:], past_key_values=theirs).logits.detach(),
    )
    held = lab.model.engines.ask(how_many_caches)
    del ours, left
    works(lab)
    assert lab.model.engines.ask(how_many_caches) < held


def how_many_caches(part: Any) -> int:
    return len(part.caches)


# -- edits -------------------------------------------------------------------------------------------------


def test_edits_by_hand_do_the_same(lab: Lab) -> None:
    clean = ONE.trace(TEXT, ["attn.mixed", "resid_post"])
    factor = 3.0

    def by_hand(x: Tensor, at: Any) -> Tensor:
        import math

        return x * factor if math.isfinite(x.sum().item()) else x

    for edit in (
        {"h.2.attn.mixed": zero(head=3)},
        {"h.1.attn.probs": scale(0.5, head=[0, 7], key=0)},
        {"h.1.mlp.post": zero(neuron=200)},
        {"h.0.attn.mixed": patch(clean["h.0.attn.mixed"].flip(1))},
        {"resid_mid": add(torch.ones(128))},
        {"h.3.mlp.pre": by_hand, "h.1.attn.scores": [by_hand, scale(0.1)]},
        {"h.3.attn.alibi": lambda x, at: torch.zeros_like(x)},
    ):
        ours, theirs = (each.trace(TEXT, ["logits", "attn.probs"], edit) for each in (lab, ONE))
        assert all(near(ours[name], theirs[name]) for name in theirs.names), edit
    edit = {"h.2.mlp.out": zero()}
    ours, theirs = (each.trace(START, ["logits"], edit, max_new_tokens=3) for each in (lab, ONE))
    assert ours.text == theirs.text and near(ours["logits"], theirs["logits"])


def test_an_edit_that_prints_is_heard_once(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    def loud(x: Tensor, at: Any) -> Tensor:
        print("in", at.name)
        return x

    lab.trace(TEXT, ["logits"], {"h.1.mlp.out": loud})
    assert capsys.readouterr().out == "in h.1.mlp.out\n"


def test_an_edit_that_fails_is_one_error_with_its_words_and_the_next_run_is_right(lab: Lab) -> None:
    def raises(x: Tensor, at: Any) -> Tensor:
        raise ValueError("no such luck")

    def in_place(x: Tensor, at: Any) -> Tensor:
        return x.mul_(2)

    def misses(x: Tensor, at: Any) -> Tensor:
        import no_such_package

        return no_such_package.of(x)  # type: ignore[no-any-return]

    lock = threading.Lock()
    edits: list[tuple[Any, type[Exception], str]] = [
        (raises, PartsError, "no such luck"),
        (in_place, HookError, "in place"),
        (lambda x, at: x[:1, :1], HookError, "must return"),
        (lambda x, at: x * float("nan"), HookError, "NaN"),
        (misses, PartsError, "no_such_package"),
        (lambda x, at: x * int(not lock.locked()), InputError, "cannot be sent"),
    ]
    for edit, kind, words in edits:
        with pytest.raises(kind, match=words) as caught:
            lab.trace(TEXT, ["logits"], {"h.1.attn.mixed": edit})
        assert len(str(caught.value)) <= 400
        assert works(lab), words
    with pytest.raises(HookError, match="no spot"):
        lab.trace(TEXT, ["attn.prob"])


# -- views and lenses ----------------------------------------------------------------------------------------


def test_each_view_opens(lab: Lab) -> None:
    for open_it in (
        lambda lab: lab.explore(TEXT),
        lambda lab: lab.attention(TEXT, layer=2),
        lambda lab: lab.hidden_states(TEXT),
        lambda lab: lab.alibi(TEXT),
        lambda lab: lab.predictions(TEXT),
        lambda lab: lab.tokens(TEXT),
        lambda lab: lab.write(START),
        lambda lab: lab.receipt(f"{TEXT} {START}"),
        lambda lab: lab.lens(TEXT),
        lambda lab: lab.ablate(TEXT, "h.2.attn.mixed", head=3),
    ):
        ours, theirs = (repr(open_it(each)) for each in (lab, ONE))
        assert re.sub(r"error \S+", "", ours) == re.sub(r"error \S+", "", theirs)
    page = lab.explore(TEXT)._repr_mimebundle_()
    assert page


def test_lenses_that_need_gradients_or_matrices_give_the_same(lab: Lab) -> None:
    ours, theirs = (each.attribution(TEXT) for each in (lab, ONE))
    for name in ("left_out", "gradient", "integrated"):
        assert near(getattr(ours, name), getattr(theirs, name))
    ours, theirs = (each.effects("Leo lives in Oslo.", "Leo lives in Lima.") for each in (lab, ONE))
    assert repr(ours) == repr(theirs)


def test_what_cannot_be_done_in_parts_is_refused_in_words(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(PartsError, match="detach=False"):
        lab.trace(TEXT, ["logits"], detach=False)
    with pytest.raises(InputError, match="cannot be trained"):
        lab.model.train()
    with pytest.raises(bloomlab.BloomlabError):
        lab.model.save_pretrained(tmp_path)
    for engines in (0, -1, 1000, "two", 2.0, True):
        with pytest.raises(InputError, match="engines must be"):
            bloomlab.load(engines=engines)
    assert works(lab)


def test_without_ipyparallel_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipyparallel", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'bloomlab\[cluster\]'"):
        bloomlab.load(engines=2)


def test_nothing_listens_beyond_this_machine(lab: Lab) -> None:
    family = [psutil.Process(lab.model.engines.controller), *processes(lab)]
    family += [child for each in family for child in each.children(recursive=True)]
    listening = [one for each in family for one in each.net_connections() if one.status == psutil.CONN_LISTEN]
    assert len(listening) > 5 and {one.laddr.ip for one in listening} == {"127.0.0.1"}


# -- when something goes wrong ---------------------------------------------------------------------------------


# in a callback of a weak reference Python cannot raise: an interrupt that falls there ends nothing
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_fifty_moments_leaves_the_next_run_right(lab: Lab) -> None:
    chance, interrupted = Random(0), 0
    started = time.perf_counter()
    lab.trace(TEXT, ["attn.probs", "logits"], {"h.2.attn.mixed": zero(head=1)})
    usual = time.perf_counter() - started
    for _ in range(50):
        before = world()
        timer = threading.Timer(chance.random() * 1.1 * usual, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            lab.trace(TEXT, ["attn.probs", "logits"], {"h.2.attn.mixed": zero(head=1)})
            timer.join()
            time.sleep(0.01)
        except KeyboardInterrupt:
            interrupted += 1
        timer.join()
        assert works(lab) and world() == before
    assert interrupted > 25


def test_an_interrupt_that_comes_in_a_later_call_does_not_end_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    engines, late = lab.model.engines, [0, 1]  # which engine hears it now; first one, then the other
    told = engines._told

    def heard(letter: bytes) -> dict[int, tuple[str, Any, str]]:
        return told(letter) | ({late.pop(): ("stop", None, "")} if late else {})

    monkeypatch.setattr(engines, "_told", heard)
    monkeypatch.setattr(engines, "_signalled", True)
    assert works(lab)
    late[:] = [0]
    monkeypatch.setattr(engines, "_signalled", False)  # nobody here has sent one
    with pytest.raises(PartsError, match="it was interrupted"):
        works(lab)


def test_engines_end_with_a_notebook_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, bloomlab, time; lab = bloomlab.load(engines=2); e = lab.model.engines; "
        "print(*[e.client[t].apply_sync(os.getpid) for t in e.targets], flush=True); time.sleep(60)"
    )
    notebook = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
    assert notebook.stdout
    engines = [psutil.Process(int(pid)) for pid in notebook.stdout.readline().split()]
    family = [*engines, *psutil.Process(notebook.pid).children(recursive=True)]
    assert len(engines) == 2
    notebook.kill()
    notebook.wait()
    notebook.stdout.close()
    assert not psutil.wait_procs(family, 30)[1]


def test_engines_that_were_brought_along_stay_when_an_opening_fails(lab: Lab, tmp_path: Path) -> None:
    view = lab.model.engines.client[:]
    ONE.model.save_pretrained(tmp_path)
    model = BloomInParts.open(tmp_path, view)
    ids = ONE.tokenizer(TEXT, return_tensors="pt")["input_ids"]
    assert near(model(ids).logits, ONE.model(ids).logits.detach()) and works(lab)
    model.engines.close()
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        BloomInParts.open(tmp_path, view)
    assert works(lab) and lab.model.engines.ask(models_here) == 1


def models_here(part: Any) -> int:
    from bloomlab.spread.part import _parts

    return len(_parts)


def test_an_engine_that_hangs_or_dies_is_one_error(lab: Lab) -> None:
    """The last test of this file: it ends one of the engines."""
    running, engines = processes(lab), lab.model.engines
    engines.patience = 2.0
    assert works(lab)
    running[1].suspend()
    with pytest.raises(PartsError, match=r"has not answered for 2 seconds"):
        works(lab)
    with pytest.raises(PartsError, match="still at work"):
        works(lab)
    running[1].resume()
    engines.patience = 20.0
    assert works(lab)

    running[1].kill()
    started = time.monotonic()
    with pytest.raises(PartsError, match=r"engine 1.*open the model anew"):
        works(lab)
    assert time.monotonic() - started < 20
    with pytest.raises(PartsError, match="engine 1"):
        works(lab)
    assert running[0].is_running()
