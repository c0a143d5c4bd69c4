"""From token ids to vectors.

Each id picks a row of a table. BLOOM then normalises that row (most models do not; the large training run was
steadier with it). Nothing here says where a token stands: positions enter only in attention, through ALiBi.

    embed = layer_norm(table[id])                                        (batch, pos, hidden)
"""

from torch import Tensor, nn

from bloomlab.hooks import NO_HOOKS, Hooks


def embed(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    word_embeddings: nn.Embedding,
    word_embeddings_layernorm: nn.LayerNorm,
    hooks: Hooks = NO_HOOKS,
) -> Tensor:
    """The first state of the residual stream, from ids or, in their place, from vectors already looked up.

    Shapes: ids (batch, pos) or vectors (batch, pos, hidden) -> (batch, pos, hidden). Vectors that are passed in
    go through the layer norm like those from the table.

    >>> import torch
    >>> table, norm = nn.Embedding.from_pretrained(torch.tensor([[1.0, 3.0], [5.0, 5.0]])), nn.LayerNorm(2)
    >>> embed(torch.tensor([[0]]), None, table, norm).detach().round(decimals=2)
    tensor([[[-1.,  1.]]])
    """
    vectors = word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
    return hooks("embed", word_embeddings_layernorm(vectors), "batch pos hidden")
