"""What a person sees: one file per view, a pure `*_payload()` and a class of traits that carries it to the page."""
