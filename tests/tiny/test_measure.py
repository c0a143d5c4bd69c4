"""Each measurement, on a model where the right number is known."""

import json
import math
from pathlib import Path

import pytest
import torch

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.alibi import slopes
from bloomlab.tiny import folder
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import (
    golden,
    golden_distance,
    grammatical,
    look_back,
    loss,
    loss_by_length,
    pack,
    repeated_ids,
    sentences,
    token_before,
    validation_rows,
    write_on,
)
from bloomlab.tiny.train import new_model
from bloomlab.tokenizer import BloomTokenizerFast


@pytest.fixture(scope="module")
def tokenizer() -> BloomTokenizerFast:
    return BloomTokenizerFast.from_pretrained(folder())


@pytest.fixture
def blank() -> BloomForCausalLM:
    """A model that prefers nothing: all scores and all logits are 0."""
    model = new_model(seed=0).eval()
    with torch.no_grad():
        for block in model.transformer.h:
            block.self_attention.query_key_value.weight.zero_()
        model.lm_head.weight.zero_()
    return model


def test_a_model_that_prefers_nothing_loses_the_logarithm_of_the_vocabulary(blank: BloomForCausalLM) -> None:
    ids = repeated_ids(rows=3, half=8)
    assert loss(blank, ids) == pytest.approx(math.log(3072), rel=1e-5)
    assert loss_by_length(blank, ids, (8, 16)) == pytest.approx({8: math.log(3072), 16: math.log(3072)}, rel=1e-5)


def test_without_content_a_head_looks_back_as_its_slope_says(blank: BloomForCausalLM) -> None:
    induction, right = look_back(blank)
    previous = token_before(blank, repeated_ids())
    assert induction.shape == previous.shape == (4, 8) and right < 0.01
    for head, slope in enumerate(slopes(8)):

        def share(query: int, back: int, slope: float = slope) -> float:
            return math.exp(-slope * back) / sum(math.exp(-slope * distance) for distance in range(query + 1))

        before = [share(query, 1) for query in range(8, 96)]
        after_first = [share(query, 47) for query in range(48, 96)]
        for layer in range(4):
            assert float(previous[layer, head]) == pytest.approx(sum(before) / len(before), rel=1e-4)
            assert float(induction[layer, head]) == pytest.approx(sum(after_first) / len(after_first), rel=1e-4)


def test_repeated_ids_say_everything_twice_and_no_special() -> None:
    ids = repeated_ids(rows=4, half=10)
    assert ids.shape == (4, 20) and torch.equal(ids[:, :10], ids[:, 10:]) and int(ids.min()) > 3


def test_rows_are_whole_documents_and_the_last_one_is_cut(tokenizer: BloomTokenizerFast) -> None:
    rows = pack(iter(["7 + 5 = 12", "Leo lives in Oslo."] * 10), tokenizer, length=20, rows=2)
    text = tokenizer.decode(rows[0].tolist())
    assert rows.shape == (2, 20) and text.startswith("7 + 5 = 12</s>Leo lives in Oslo.</s>7 + 5")
    assert tokenizer.decode(rows[1].tolist())[:5] in ("7 + 5", "Leo l")  # a row starts with a document


def test_validation_rows_are_always_the_same(tokenizer: BloomTokenizerFast) -> None:
    assert torch.equal(validation_rows(tokenizer, 64, 4), validation_rows(tokenizer, 64, 4))


def test_sentences_end_where_their_script_ends_them() -> None:
    assert sentences("里奥住在奥斯陆。他吃米饭。") == ["里奥住在奥斯陆。", "他吃米饭。"]
    assert sentences("लियो कहाँ रहता है? ओस्लो में।\nअधूरा") == ["लियो कहाँ रहता है?", "ओस्लो में।"]
    assert sentences("أين يعيش ليو؟ في أوسلو.") == ["أين يعيش ليو؟", "في أوسلو."]


def test_the_share_of_grammatical_sentences_counts_every_sentence() -> None:
    fr, zh = LANGUAGES["fr"], LANGUAGES["zh"]
    written = [
        (fr, "Ana vit à Oslo. Elle est né à Lima."),
        (zh, "再说一遍。里奥有一只马。"),
        (fr, "Récapitulons. Il a"),
    ]
    share, wrong = grammatical(written)
    assert share == pytest.approx(3 / 5) and wrong == ["Elle est né à Lima.", "里奥有一只马。"]


def test_an_untrained_model_writes_nothing_grammatical(tokenizer: BloomTokenizerFast) -> None:
    written = write_on(new_model(seed=0).eval(), tokenizer, count=1)
    assert [language.code for language, _ in written] == list(LANGUAGES)
    assert all(grammatical([pair])[0] == 0 for pair in written if sentences(pair[1]))


def test_golden_logits_notice_another_model_and_another_tokenizer(
    tokenizer: BloomTokenizerFast, tmp_path: Path
) -> None:
    model, path = new_model(seed=0).eval(), tmp_path / "golden.json"
    entries = golden(model, tokenizer)
    path.write_text(json.dumps({"golden": entries}))
    assert golden_distance(model, tokenizer, path) < 1e-4
    assert golden_distance(new_model(seed=1).eval(), tokenizer, path) > 1e-2
    entries[0]["ids"][0] += 1
    path.write_text(json.dumps({"golden": entries}))
    assert golden_distance(model, tokenizer, path) == math.inf
