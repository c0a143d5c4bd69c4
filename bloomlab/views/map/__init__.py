"""The whole model."""
