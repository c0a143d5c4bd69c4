"""BLOOM, to be read: one component a file. In this order: embedding, alibi, attention, mlp, block, cache, bloom."""
