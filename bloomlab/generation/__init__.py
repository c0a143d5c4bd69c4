"""From logits to text: sampling (pure functions on logits) and decode (functions that take a model)."""
