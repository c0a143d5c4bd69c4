"""The benchmarks compare with the model whose hooks were taken out of its source: it must be the same model."""

import pytest
import torch

from bloomlab import BloomConfig, BloomForCausalLM
from tests.benchmarks import cuda
from tests.benchmarks.plain import without_hooks


def test_the_model_without_hooks_computes_the_same_logits_and_calls_no_hook() -> None:
    torch.manual_seed(0)
    ours = BloomForCausalLM(BloomConfig(vocab_size=50, hidden_size=16, n_layer=2, n_head=4)).eval()
    module, removed = without_hooks()
    assert removed == len([name for name in ours.hook_names() if not name.startswith("h.1.")])  # a call for each spot
    plain = module.BloomForCausalLM(ours.config).eval()
    plain.load_state_dict(ours.state_dict())
    ids = torch.randint(50, (2, 7))
    output = plain(ids)
    assert torch.equal(output.logits, ours(ids).logits)
    assert torch.equal(plain(ids[:, :1], past_key_values=output.past_key_values).logits,
                       ours(ids[:, :1], past_key_values=output.past_key_values).logits)  # fmt: skip


def test_without_a_card_the_benchmark_of_one_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cuda.main("7b1", "cuda:0") == 2
    assert capsys.readouterr().out.startswith("there is no CUDA device here")


@pytest.mark.slow
def test_its_checks_pass_where_the_device_is_the_cpu() -> None:
    checks = list(cuda.numbers("cpu"))
    assert len(checks) == 10 and all(right for _, right in checks)
