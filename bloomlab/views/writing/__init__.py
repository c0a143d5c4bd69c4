"""A text as it is written."""
