"""A program that was not written for bloomlab reads what bloomlab saves: CTranslate2's converter for BLOOM."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bloomlab import tiny
from bloomlab.config import BloomConfig
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.parity.pairs import randomise
from tests.text.small_tokenizer import TEXTS, hub_folder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # its own warnings are not ours to mend

PROMPTS = [text for text in TEXTS if text.strip()]


def generator_of(folder: Path, converted: Path) -> Any:
    """CTranslate2's generator for a folder that bloomlab saved."""
    import ctranslate2
    import transformers

    transformers.utils.logging.disable_progress_bar()
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted))
    return ctranslate2.Generator(str(converted), device="cpu", intra_threads=1)


@pytest.mark.parametrize(("n_head", "tied", "variety"), [(8, True, 8), (6, False, 50)])
def test_the_converted_model_chooses_the_same_tokens(tmp_path: Path, n_head: int, tied: bool, variety: int) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(hub_folder(tmp_path))
    size = {"vocab_size": len(tokenizer) + 4, "hidden_size": 16 * n_head, "n_layer": 4, "n_head": n_head}
    model = BloomForCausalLM(BloomConfig(**size, tie_word_embeddings=tied)).eval()
    randomise(model)
    folder = tmp_path / "ours"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    other = generator_of(folder, tmp_path / "converted")

    written = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        mine = model.generate(ids, max_new_tokens=24, eos_token_id=None)[0, ids.shape[1] :].tolist()
        (result,) = other.generate_batch(
            [tokenizer.convert_ids_to_tokens(ids[0])],
            max_length=24,
            end_token=[],
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        assert result.sequences_ids[0] == mine, prompt
        written += mine
    assert len(set(written)) > variety  # not one token over and over


def test_the_embedded_model_writes_the_same_sentences(tmp_path: Path) -> None:
    """The trained one, in its own half precision, in ten languages."""
    other = generator_of(tiny.folder(), tmp_path / "converted")
    tokenizer = BloomTokenizerFast.from_pretrained(tiny.folder())
    model = BloomForCausalLM.from_pretrained(tiny.folder())
    for prompt in ["Leo lives in", "Leo vive en", "Leo habite à", "Leo mora em", "Leo tinggal di", "Leo sống ở",
                   "Leo anaishi", "Leo 住在", "يعيش", "Leo रहता", "def f(x):\n", "3 + 4 ="]:  # fmt: skip
        encoding = tokenizer(prompt, return_tensors="pt")
        mine = model.generate(encoding["input_ids"], max_new_tokens=24, eos_token_id=None)
        (result,) = other.generate_batch(
            [encoding.tokens()], max_length=24, end_token=[], sampling_topk=1, include_prompt_in_result=False
        )
        new = mine[0, encoding["input_ids"].shape[1] :].tolist()
        assert tokenizer.decode(result.sequences_ids[0]) == tokenizer.decode(new)
        assert result.sequences_ids[0] == new


def test_the_converted_model_gives_the_same_probabilities(tmp_path: Path) -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(hub_folder(tmp_path))
    size = {"vocab_size": len(tokenizer), "hidden_size": 48, "n_layer": 3, "n_head": 6}
    model = BloomForCausalLM(BloomConfig(**size)).eval()
    randomise(model)
    model.save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    other = generator_of(tmp_path / "ours", tmp_path / "converted")

    for prompt in PROMPTS:
        encoding = tokenizer(prompt, return_tensors="pt")
        (scored,) = other.score_batch([encoding.tokens()])
        with torch.no_grad():
            logits = model(encoding["input_ids"]).logits[0, :-1].log_softmax(-1)
        mine = logits.gather(1, encoding["input_ids"][0, 1:, None])[:, 0]
        theirs = torch.tensor(scored.log_probs)
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0, msg=lambda text, prompt=prompt: f"{prompt}: {text}")
