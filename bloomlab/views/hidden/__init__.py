"""What BLOOM would say at every step of every layer."""
