"""Lenses turn traces into numbers: tensors and dataclasses in and out.

tokens       how a token was built, merge by merge
costs        what a text costs in tokens and in bits, to compare languages
attention    patterns, arcs, rollout, and what position or content alone makes of them
ledger       one cell of an attention matrix, taken apart
alibi        how far each head can look, and does
lengths      the loss of ever longer texts
hidden       the residual stream: norms, cosines, shares, a map
logit_lens   every state of the stream, read as a prediction
receipt      which part wrote a token: a difference of two logits as a sum
receipts     the receipts of several texts
mlp_receipt  an MLP's line of a receipt: its neurons, and what it would lose without each part it reads
look_receipt why a token looks there: the score of a look as parts of the query × parts of the key
patching     where the answer is carried: maps of effects, exact and estimated
effect_map   such a map, and how far its estimate can be trusted
cells        cells of a run that get another run's value, one at a time or by gradients all at once
attribution  which tokens mattered: left out, by their gradient, by integrated gradients
gradients    the gradient of a difference of two logits at any spot
writing      one step of writing: the next token before and after the settings, and why this one
superposition  more features than dimensions, in the smallest model that shows it
cache        what the KV cache holds, what it saves, and what is lost where part of it goes

A lens names the spots it needs in READ: `lab.trace(text, read=attention.READ)`.
"""
