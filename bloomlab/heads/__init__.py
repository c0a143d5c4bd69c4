"""The heads on top of BLOOM, one task a file: the next token, a label, tags, an answer."""
