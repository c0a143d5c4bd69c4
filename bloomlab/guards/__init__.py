"""Guards against mistakes, broken files, full memory and Ctrl-C: nothing is lost. Nothing here knows BLOOM."""
