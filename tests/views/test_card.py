"""A page about the model: the embedded one's own, and of any other what its files say."""

import bloomlab
from bloomlab.lab import Lab
from bloomlab.views.card import Card
from tests.tasks.task_heads import random_head
from tests.tiny_random import byte_tokenizer, random_model


def test_the_embedded_model_shows_its_card() -> None:
    card = bloomlab.load().card()
    assert isinstance(card, Card) and card.startswith("# The embedded model")
    assert repr(card) == str(card) == card._repr_markdown_()
    assert "```" in card and "Limits" in card


def test_any_other_model_shows_its_sizes_and_how_it_was_opened() -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="small")
    card = lab.card()
    assert "small: BLOOM of 3 layers" in card and f"{lab.model.num_parameters():,}" in card
    assert "    lab = bloomlab.Lab(model, tokenizer)" in card and "no task heads" in card
    assert "weights " in card  # their hash
    lab.heads["tags"] = random_head("tags")
    assert "    tags: O, PERSON, CITY" in lab.card()


def test_no_name_from_outside_is_markup() -> None:
    lab = Lab(random_model(), byte_tokenizer(), name="x\n\n<img src=x onerror=alert(1)>\n\n```\n# y\u202e")
    lab.heads["<b>"] = random_head("language")  # a label of it is <b>ar</b>
    for line in lab.card().split("\n"):
        if any(sign in line for sign in ("<", "```", "y⟨")):
            assert line.startswith("    "), line
    assert "\u202e" not in lab.card()
