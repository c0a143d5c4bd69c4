"""From logits to text. Read in this order: sampling, settings, predict, beam, decode, tree."""
