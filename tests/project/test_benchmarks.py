"""The benchmarks compare with the model whose hooks were taken out of its source: it must be the same model."""

import torch

from bloomlab import BloomConfig, BloomForCausalLM
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
