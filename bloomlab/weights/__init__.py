"""From the name of a model, or a folder, to its weights: download, judge every byte, open, save."""
