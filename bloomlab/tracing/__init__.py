"""Run a model, record what passes through it, change it on the way. Read in this order: trace, edits, record."""
