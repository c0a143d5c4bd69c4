"""What BLOOM can be asked: one head a file."""
