"""From logits to text.

Read in this order: sampling, rules, names, values, settings, predict, prompt, stopping, beam, decode, tree.
"""
