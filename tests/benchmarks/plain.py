"""The model with every hook taken out of its source, to measure what hooks cost.

The modules are read, rewritten and imported a second time: `hooks("q", q, "…")` becomes `q`, `hooks.wants(…)`
becomes False, `hooks.known` None. Nothing else changes, so a difference in time is the price of the calls.
"""

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import bloomlab

HOOKED = ["embedding", "attention", "mlp", "block", "bloom"]
MODULES = [*(f"model.{name}" for name in HOOKED), "heads.causal_lm"]
PREFIX = "bloomlab_without_hooks."


class WithoutHooks(ast.NodeTransformer):
    """Takes the calls of `hooks` out, and lets modules import each other under their second names."""

    def __init__(self) -> None:
        self.removed = 0

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = ast.unparse(node.func)
        if called == "hooks":
            self.removed += 1
            return node.args[1]
        if called == "hooks.wants":
            return ast.Constant(False)
        if called in {"hooks.at", "hooks.start", "self.checked", "chain"}:
            return ast.Constant(None)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(None) if ast.unparse(node) == "hooks.known" else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module and node.module.removeprefix("bloomlab.") in MODULES:
            node.module = PREFIX + node.module.removeprefix("bloomlab.")
        return node


def without_hooks() -> tuple[ModuleType, int]:
    """The causal head's module, rebuilt without hooks, and how many calls were taken out."""
    removed = 0
    for name in MODULES:
        path = Path(bloomlab.__file__).parent / f"{name.replace('.', '/')}.py"
        rewriting = WithoutHooks()
        tree = ast.fix_missing_locations(rewriting.visit(ast.parse(path.read_text(encoding="utf-8"))))
        removed += rewriting.removed
        module = ModuleType(PREFIX + name)
        module.__file__ = str(path)
        sys.modules[PREFIX + name] = module
        exec(compile(tree, f"<{name} without hooks>", "exec"), module.__dict__)
    return importlib.import_module(PREFIX + MODULES[-1]), removed
