"""Each measurement, on a model where the right number is known."""

import json
import math
from pathlib import Path

import pytest
import torch

from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.model.alibi import slopes
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import folder
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import (
    absent,
    attention_distance,
    golden,
    golden_distance,
    grammatical,
    look_back,
    loss,
    loss_by_length,
    loss_by_position,
    pack,
    questions,
    recall,
    repeated_ids,
    sentences,
    token_before,
    validation_rows,
    write_on,
)
from bloomlab.tiny.train import new_model


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_untrained_model_writes_nothing_grammatical(tokenizer: BloomTokenizerFast) -> None:
    written = write_on(new_model(seed=0).eval(), tokenizer, count=1)
    assert [language.code for language, _ in written] == list(LANGUAGES)
    assert all(grammatical([pair])[0] == 0 for pair in written if sentences(pair[1]))


@pytest.mark.slow
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


def test_a_blank_head_looks_as_far_back_as_its_slope_says(blank: BloomForCausalLM) -> None:
    ids = torch.randint(4, 3072, (2, 40), generator=torch.Generator().manual_seed(0))
    far = attention_distance(blank, ids)
    assert far.shape == (4, 8)
    for head, slope in enumerate(slopes(8)):
        means = []
        for query in range(40):
            weights = [math.exp(-slope * back) for back in range(query + 1)]
            means.append(sum(back * weight for back, weight in enumerate(weights)) / sum(weights))
        assert float(far[2, head]) == pytest.approx(sum(means) / 40, rel=1e-4)


def test_the_loss_by_position_of_a_model_without_a_preference_is_flat(blank: BloomForCausalLM) -> None:
    ids = torch.randint(4, 3072, (3, 101), generator=torch.Generator().manual_seed(0))
    losses = loss_by_position(blank, ids, width=25)
    assert losses == pytest.approx([math.log(3072)] * 4, rel=1e-4)


def test_the_losses_by_position_average_to_the_loss(tokenizer: BloomTokenizerFast) -> None:
    model, ids = new_model(seed=0).eval(), validation_rows(tokenizer, 65, 4)
    losses = loss_by_position(model, ids, width=16)
    assert len(losses) == 4 and sum(losses) / 4 == pytest.approx(loss(model, ids), rel=1e-4)


def test_a_question_can_be_far_from_its_answer(tokenizer: BloomTokenizerFast) -> None:
    for prompt, answer in questions(tokenizer, 20, people=2, gap=120):
        told, asked = prompt.rsplit("\n", 1)
        assert asked and answer.strip() and answer[-1] not in ".。।"
        assert len(tokenizer.encode(told)) >= 120
    assert questions(tokenizer, 5) == questions(tokenizer, 5) != questions(tokenizer, 5, held=False)


def test_recall_is_right_only_where_every_token_of_the_answer_is_the_likeliest(
    tokenizer: BloomTokenizerFast, blank: BloomForCausalLM
) -> None:
    cases = questions(tokenizer, 6)
    assert recall(blank, tokenizer, cases) == [False] * 6  # it always says token 0
    assert recall(blank, tokenizer, [("Leo lives in", tokenizer.decode([0]) * 2)]) == [True]


def test_a_story_that_was_read_is_not_new() -> None:
    en = LANGUAGES["en"]
    written = [(en, "Leo eats rice.\nWhat does Leo eat?"), (en, "Leo eats bread.")]
    assert absent(written, ["Leo eats rice.\nLet us say it again.", "7 + 5 = 12"]) == 0.5
