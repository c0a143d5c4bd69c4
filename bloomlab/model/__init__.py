"""The lesson. Read in this order: embedding, alibi, attention, mlp, block, cache, bloom."""
