"""Who looks at whom."""
