"""What the heads say at each layer."""
