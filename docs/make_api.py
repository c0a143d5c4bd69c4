"""Write docs/api.md, the page of everything public, from the docstrings: `python docs/make_api.py`.

It reads the source and imports nothing, so the page is the same on every machine.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"

CONTENTS = {  # section -> module, and the names in it
    "To begin with": {"lab": ["load", "Lab", "finding"], "weights.fits": ["fits", "models"]},
    "The model": {
        "config": ["BloomConfig"],
        "weights.pretrained": ["BloomPreTrainedModel"],
        "model.bloom": ["BloomModel"],
        "model.cache": ["KVCache"],
    },
    "The task heads": {
        "heads.causal_lm": ["BloomForCausalLM"],
        "heads.sequence_classification": ["BloomForSequenceClassification"],
        "heads.token_classification": ["BloomForTokenClassification"],
        "heads.question_answering": ["BloomForQuestionAnswering"],
        "heads.bridge": ["to_transformers", "from_transformers"],
    },
    "In JAX": {
        "jax.pretrained": ["FlaxBloomPreTrainedModel"],
        "jax.bloom": ["FlaxBloomModel"],
        "jax.causal_lm": ["FlaxBloomForCausalLM", "next_token_loss"],
        "jax.bridge": ["record"],
    },
    "What they return": {
        "outputs": [
            "ModelOutput",
            "BaseModelOutputWithPastAndCrossAttentions",
            "CausalLMOutputWithCrossAttentions",
            "SequenceClassifierOutputWithPast",
            "TokenClassifierOutput",
            "QuestionAnsweringModelOutput",
        ]
    },
    "The tokenizer": {
        "text.tokenizer": ["BloomTokenizerFast"],
        "text.tokens": ["Token"],
        "text.encoding": ["BatchEncoding"],
    },
    "Generation": {
        "generation.settings": ["Settings"],
        "generation.decode": ["generate", "stream", "Step"],
        "views.writing.writing": ["Writing", "WrittenStep"],
        "generation.tree": ["Tree", "Node"],
    },
    "Fine-tuning": {"tasks.finetune": ["fit"], "tiny.labelled": ["batch"], "tiny.pairs": ["recaps"]},
    "Looking inside": {
        "hooks": ["Hooks", "At", "Spot"],
        "tracing.trace": ["Trace"],
        "tracing.edits": ["zero", "scale", "add", "mean", "patch", "cut"],
        "model.positions": [
            *["in_place_of_alibi", "no_positions", "sinusoidal", "learned", "rotary"],
            *["stretched_base", "gentler", "window"],
        ],
        "tracing.donors": ["usual", "drawn", "copied", "hold", "steer"],
    },
    "Lenses": {
        "lens.look_receipt": ["look_receipt", "LookReceipt"],
        "lens.receipt": ["receipt", "total_effects", "Receipt", "stream_parts"],
        "lens.receipts": ["receipts", "Receipts"],
        "lens.mlp_receipt": ["neurons", "without", "MlpLines"],
        "lens.ledger": ["score_ledger", "ScoreLedger"],
        "lens.tokens": ["merges", "Merge", "replay", "script"],
        "lens.costs": ["cost", "compare", "Cost", "surprise", "bits_per_byte"],
        "lens.attention": ["rollout", "head_average", "position_only", "content_only", "position_share", "arcs"],
        "lens.whole": ["whole", "Part"],
        "lens.alibi": ["reach", "bias_by_distance", "previous_token_bound", "mean_distance", "first_tie"],
        "lens.lengths": ["length_lab", "Progress", "LengthLoss"],
        "lens.hidden": ["stream", "norms", "cosines", "shares", "pca"],
        "lens.logit_lens": ["logit_lens", "LensRow"],
        "lens.probe": ["probe"],
        "lens.effect": ["effect", "Effect"],
        "lens.slopes": ["slopes_used", "text_effect", "TextEffect", "loss_by_slope", "SlopeLoss"],
        "lens.cases": ["of_template", "alike", "Case", "Cases"],
        "lens.over_texts": ["over_texts", "OverTexts"],
        "lens.refute": ["refute", "Refutation", "Control"],
        "lens.held": ["held", "Held", "noticed", "holding"],
        "lens.keep": ["keep", "Kept"],
        "lens.direction": ["direction", "Direction"],
        "lens.patching": ["effects", "effects_over"],
        "lens.effect_map": ["Effects", "Agreement"],
        "lens.cells": ["Cell", "Run", "read", "swapped", "estimated"],
        "lens.gradients": ["gradients"],
        "lens.attribution": ["attribution", "Attribution", "integrated", "mean_embedding"],
        "lens.findings": ["Finding", "Check"],
        "lens.cache": ["cache_bytes", "multiplications", "kept", "evict", "Eviction", "transplant"],
        "lens.writing": ["choice", "Choice", "loop_period"],
        "lens.difference": ["attention_change", "stream_change", "lens_change", "label_change"],
    },
    "What an effect is worth": {
        "views.evidence": ["Evidence"],
        "views.effects": ["EffectMap"],
        "views.attribution": ["TokenAttribution"],
    },
    "Teaching": {
        "checks.covers": ["cover"],
        "views.cover": ["Cover"],
        "checks.guesses": ["report"],
        "checks.class_table": ["class_of", "ClassTable"],
    },
    "Errors": {
        "errors": [
            "BloomlabError",
            "InputError",
            "ConfigError",
            "CheckpointError",
            "TokenizerError",
            "HookError",
            "GenerationError",
            "MemoryLimitError",
            "DownloadError",
        ]
    },
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def page() -> str:
    """The whole page."""
    parts = [
        "# Everything public",
        "Made from the docstrings by `python docs/make_api.py`; a test compares. [The other pages](README.md) show "
        "the same things at work. Each name is imported from the module shown beside it; the most used ones from "
        "`bloomlab` itself, too. `AutoTokenizer` is `BloomTokenizerFast`.",
    ]
    for section, modules in CONTENTS.items():
        parts.append(f"## {section}")
        for module, names in modules.items():
            source = ROOT / "bloomlab" / f"{module.replace('.', '/')}.py"
            found = {node.name: node for node in ast.parse(source.read_text("utf-8")).body if hasattr(node, "name")}
            for name in names:
                parts += [f"### {name}", f"`bloomlab.{module}`", *entry(found[name])]
    return "\n\n".join(parts) + "\n"


def entry(node: ast.stmt, prefix: str = "") -> Iterator[str]:
    """What is said of a class or a function: how it is called, its docstring, and its public methods."""
    if isinstance(node, Function):
        is_property = any(ast.unparse(mark).endswith("property") for mark in node.decorator_list)
        yield f"```python\n{prefix}{node.name if is_property else call(node)}\n```"
        yield from docstring(node)
    elif isinstance(node, ast.ClassDef):
        methods = {part.name: part for part in node.body if isinstance(part, Function)}
        if "__init__" in methods:
            yield f"```python\n{call(methods['__init__'], node.name)}\n```"
        elif fields := [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]:
            yield f"```python\n{listed(node.name, fields)}\n```"
        yield from docstring(node)
        for name, method in methods.items():
            if ast.get_docstring(method) and (not name.startswith("_") or name == "__call__"):
                yield from entry(method, f"{node.name}.")


def call(node: Function, name: str = "") -> str:
    """How a function is called."""
    returns = f" -> {written(node.returns)}" if node.returns and not name else ""
    return listed(name or node.name, list(arguments(node.args))) + returns


def listed(name: str, lines: list[str]) -> str:
    """A name and its arguments, one a line where they are many."""
    one_line = f"{name}({', '.join(lines)})"
    return one_line if len(one_line) <= 100 else f"{name}(\n" + "".join(f"    {line},\n" for line in lines) + ")"


def arguments(of: ast.arguments) -> Iterator[str]:
    """The arguments one by one, but for `self`: "name: type = default"."""
    places = [*of.posonlyargs, *of.args]
    defaults = [None] * (len(places) - len(of.defaults)) + of.defaults
    named = list(zip(of.kwonlyargs, of.kw_defaults, strict=True))
    for argument, default in zip(places, defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield written(argument) + (f" = {written(default)}" if default else "")
    if of.vararg or named:
        yield f"*{written(of.vararg) if of.vararg else ''}"
    for argument, default in named:
        yield written(argument) + (f" = {written(default)}" if default else "")
    if of.kwarg:
        yield f"**{written(of.kwarg)}"


def written(node: ast.AST) -> str:
    """As it stands in the source."""
    if isinstance(node, ast.arg):
        return f"{node.arg}: {written(node.annotation)}" if node.annotation else node.arg
    return ast.unparse(node)


def docstring(node: Function | ast.ClassDef) -> Iterator[str]:
    """The first paragraph as prose, the rest as it stands in the source."""
    first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
    if first:
        yield first
    if rest:
        yield f"```text\n{rest}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
