"""How far each head can look."""
