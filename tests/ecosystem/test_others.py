"""Other tools that people use beside a model: each does with ours what it does with any."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

import bloomlab
from bloomlab import tiny
from bloomlab.heads.causal_lm import BloomForCausalLM
from tests.tiny_random import random_ids, random_model

ROOT = Path(__file__).parents[2]


class Logits(nn.Module):
    """The logits alone: what a tracer wants."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.model(ids, use_cache=False).logits
        return logits


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_accelerate_prepares_model_optimizer_and_data(tmp_path: Path) -> None:
    from accelerate import Accelerator

    tokenizer = bloomlab.BloomTokenizerFast.from_pretrained(tiny.folder())
    rows = [{**tokenizer(text), "labels": i % 2} for i, text in enumerate(["Leo lives", "Leo vive en"] * 8)]
    data = DataLoader(rows, batch_size=4, collate_fn=lambda some: tokenizer.pad(some, return_tensors="pt"))
    torch.manual_seed(0)
    given = bloomlab.BloomForSequenceClassification.from_pretrained(tiny.folder(), pad_token_id=3)
    accelerator = Accelerator(cpu=True)
    model, optimizer, data = accelerator.prepare(given, torch.optim.AdamW(given.parameters(), 1e-3), data)
    losses = []
    for batch in data:
        loss = model(**batch).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] and accelerator.unwrap_model(model) is given
    accelerator.save_model(model, tmp_path)
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.slow
def test_two_processes_train_one_model() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command.append(str(Path(__file__).with_name("two_processes.py")))
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert "the same weights on both: True" in run.stdout, run.stderr[-2000:]


@pytest.mark.slow
def test_a_pipeline_of_scikit_learn_learns_from_what_a_lab_reads() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    lab = bloomlab.load()
    last = FunctionTransformer(
        lambda texts: torch.cat([lab.trace(text, ["final"])["final"][:, -1] for text in texts]).numpy()
    )
    texts = [tiny.world.story(language, seed=f"{language} {i}").text for i in range(30) for language in ("en", "fr")]
    labels = ["en", "fr"] * 30
    learner = make_pipeline(last, StandardScaler(), LogisticRegression(max_iter=500)).fit(texts[:40], labels[:40])
    assert learner.score(texts[40:], labels[40:]) > 0.9


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::UserWarning")
def test_torch_jit_traces_it_for_texts_of_other_lengths_too() -> None:
    model = random_model().requires_grad_(False)
    traced = torch.jit.trace(Logits(model), (random_ids(1, 6),))
    for ids in (random_ids(1, 6), random_ids(2, 9)):
        torch.testing.assert_close(traced(ids), model(ids).logits, atol=1e-5, rtol=0)


def test_safetensors_saves_and_loads_the_model(tmp_path: Path) -> None:
    model, other = random_model(), BloomForCausalLM(random_model().config).eval()
    save_model(model, str(tmp_path / "model.safetensors"))
    load_model(other, str(tmp_path / "model.safetensors"))
    assert other(random_ids()).logits.equal(model(random_ids()).logits)


@pytest.mark.slow
def test_weights_are_averaged_pruned_counted_and_pickled(tmp_path: Path) -> None:
    model, ids = random_model(), random_ids()
    average = AveragedModel(model)
    average.update_parameters(model)
    assert average(ids).logits.equal(model(ids).logits)
    with FlopCounterMode(display=False) as count:
        model(ids)
    assert count.get_total_flops() > 2 * ids.numel() * model.config.vocab_size * model.config.hidden_size
    assert pickle.loads(pickle.dumps(model))(ids).logits.equal(model(ids).logits)
    layer = model.transformer.h[0].mlp.dense_h_to_4h
    prune.l1_unstructured(layer, "weight", 0.5)
    pruned = model(ids).logits
    prune.remove(layer, "weight")
    assert (layer.weight == 0).float().mean() == 0.5
    model.save_pretrained(tmp_path)
    assert BloomForCausalLM.from_pretrained(tmp_path)(ids).logits.equal(pruned)
