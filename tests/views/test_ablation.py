"""What a model loses without a part: the tables say what the effect holds, and any text stays a text."""

import re

import pytest

from bloomlab.lab import Lab
from bloomlab.lens.effect import READ, effect
from bloomlab.tracing.edits import zero
from bloomlab.views.ablation import Ablation
from tests.tiny_random import byte_tokenizer, random_model


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer())


def ablation(lab: Lab, text: str) -> Ablation:
    whole, changed = lab.trace(text, READ), lab.trace(text, READ, {"h.1.attn.mixed": zero(head=2)})
    found = effect(whole, changed)
    return Ablation("h.1.attn.mixed", "zero(head=2)", whole.tokens, found, lab.tokenizer, "random · float32")


def test_the_summary_is_of_the_last_position_and_the_mean_loss(lab: Lab) -> None:
    found = ablation(lab, "Leo lives")
    assert found.kl == found.effect.kl[-1].item() > 0
    assert found.loss_change == pytest.approx(found.effect.loss_change[:-1].mean().item())
    assert repr(found).startswith(f"zero(head=2) at h.1.attn.mixed: the next token moved by {found.kl:.4f} nats")


def test_the_tables_hold_a_row_for_each_token_and_each_next_token(lab: Lab) -> None:
    found = ablation(lab, "Leo lives")
    lines = repr(found).splitlines()
    assert len(lines) == 2 + 5 + 1 + 9 and f"{found.effect.kl[3]:.4f}" in lines[8 + 3]
    page = found._repr_html_()
    assert len(re.findall('<th scope="row"', page)) == 5 + 9 and "<script" not in page
    assert found._repr_mimebundle_() == {"text/plain": repr(found), "text/html": page}


def test_one_token_has_no_loss(lab: Lab) -> None:
    assert ablation(lab, "a").loss_change is None and "loss" not in repr(ablation(lab, "a")).splitlines()[0]


def test_a_long_text_shows_its_first_tokens_and_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bloomlab.views.ablation.SHOWN_TOKENS", 4)
    found = ablation(lab, "Leo lives")
    assert repr(found).endswith("5 more tokens: .effect has them all") and len(found.effect.kl) == 9
    assert "5 more tokens" in found._repr_html_()


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "</table><script>", "القطة", "a\u202eb", "\x00"])
def test_a_text_stays_a_text(lab: Lab, text: str) -> None:
    page = ablation(lab, text)._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        *"tr th td bdi p small".split(),
    }
    assert "\u202e" not in page and "\x00" not in page
