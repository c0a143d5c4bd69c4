"""The Jupyter side: the line magic, the kernels of the lessons, the doctor."""
