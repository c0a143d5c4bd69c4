"""Lenses turn traces into numbers: tensors and dataclasses in and out."""
