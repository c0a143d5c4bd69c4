# Runs before the first cell in the kernels of the lessons (through PYTHONSTARTUP): see unrun_cells.py. It runs in the
# student's own namespace, so it defines nothing. Other programs read that variable too, hence the conditions.
if "get_ipython" in globals() and __import__("importlib.util").util.find_spec("bloomlab"):
    __import__("bloomlab.notebook.unrun_cells").notebook.unrun_cells.explain_missing_names()
