# What a kernel of the lessons runs before the first cell, where nothing else was asked for (PYTHONSTARTUP): see
# missing.py. It runs among the student's own names, so it makes none; and other programs read the variable, too.
if "get_ipython" in globals() and __import__("importlib.util").util.find_spec("bloomlab"):
    __import__("bloomlab.missing").missing.explain_missing_names()
