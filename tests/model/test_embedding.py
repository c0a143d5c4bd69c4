"""The first state of the stream: a row of the table, normalised."""

import torch
from torch import nn

from bloomlab.hooks import Hooks
from bloomlab.model.embedding import embed
from tests.tiny_random import random_ids, random_model


def test_each_position_is_its_tokens_row_after_the_layer_norm() -> None:
    model = random_model().transformer
    ids = random_ids()
    table, norm = model.word_embeddings.weight, model.word_embeddings_layernorm
    out = embed(ids, None, model.word_embeddings, norm)
    row = table[ids[1, 2]]
    expected = (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(out[1, 2], expected)


def test_vectors_in_place_of_ids_go_through_the_layer_norm_too() -> None:
    model = random_model()
    ids = random_ids()
    vectors = model.transformer.word_embeddings(ids)
    assert model(inputs_embeds=vectors).logits.equal(model(ids).logits)


def test_the_spot_is_after_the_layer_norm_and_an_edit_there_is_what_the_model_sees() -> None:
    table, norm = nn.Embedding(4, 2), nn.LayerNorm(2)
    hooks = Hooks(read=["embed"], edit={"embed": lambda x, at: x + 1})
    hooks.start(0)
    out = embed(torch.tensor([[1, 2]]), None, table, norm, hooks)
    torch.testing.assert_close(out, norm(table(torch.tensor([[1, 2]]))) + 1)
    assert hooks["embed"].equal(out)
