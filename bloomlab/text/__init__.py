"""From text to ids and back, and what each token shows as."""
