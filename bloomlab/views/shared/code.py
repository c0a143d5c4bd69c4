"""The Python behind a picture: it says exactly the texts that a person or a file gave, and calls what it shows only.

Texts are written as literals in which no character can end a line, for a notebook or for Python. Edits are known by
their words alone, which a file may have given: only calls of named edits with plain values are written down.
"""

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

from bloomlab.tiny import TWINS
from bloomlab.views.shared.panel import by_part

if TYPE_CHECKING:
    from bloomlab.tracing.trace import Trace

NAMED_EDITS = (
    "add",
    "copied",
    "cut",
    "drawn",
    "hold",
    "mean",
    "patch",
    "scale",
    "steer",
    "usual",
    "zero",
)  # all can be imported from bloomlab
LONGEST_EDIT = 100_000  # characters
UNSEEN = r"[\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff]"


def quoted(text: str) -> str:
    r"""A text as a literal that Python and the page write alike; what ends a line or cannot be seen is escaped.

    >>> quoted('"é"\u2028!ls') == r'"\"é\"\u2028!ls"'
    True
    """
    written = json.dumps(text, ensure_ascii=False)
    return re.sub(UNSEEN, lambda found: f"\\u{ord(found[0]):04x}", written)


def code_parts(template: str, trace: "Trace", setup: str = "") -> list[str]:
    """The Python behind a picture, cut at the numbers that a selection changes: {layer}, {head}, … in the template.

    Every second part is such a name, to be replaced by its number. SETUP, TEXT, HEADS and EDITS in the template become
    what they are of this trace, all at once: a text, or a name in an edit, may contain any of these marks.
    """
    setup = setup or opened_again(str(trace.provenance.get("model") or "tiny"))
    template, edits = _with_edits(template, by_part(trace.provenance.get("edits") or {}, trace.config.n_layer))
    words = {"SETUP": setup, "TEXT": repr(trace.text), "HEADS": str(trace.config.n_head), "EDITS": edits}
    parts = re.split(r"\{(\w+)\}", template)
    parts[::2] = [re.sub("SETUP|TEXT|HEADS|EDITS", lambda mark: words[mark[0]], part) for part in parts[::2]]
    return parts


def opened_again(model: str) -> str:
    """The Python that opens a model by the name that a trace has kept.

    >>> print(opened_again("tiny-rotary"))
    lab = bloomlab.load('tiny', positions='rotary')
    """
    twin = model.removeprefix("tiny-")
    twin = twin if model != twin and twin in TWINS else ""
    return f"lab = bloomlab.load('tiny', positions={twin!r})" if twin else f"lab = bloomlab.load({model!r})"


def _with_edits(template: str, edits: Mapping[str, str]) -> tuple[str, str]:
    """The template with a mark for the edits that were made, and the Python for it; else with a line that says so."""
    if not edits:
        return template, ""
    # their words may come from a file, and be any; of a tensor only its shape is known, of a function not even that
    written = {spot: edit_in_python(edit) for spot, edit in edits.items()}
    if not all(written.values()):
        return "# the trace shown was edited; add its edit=… below\n" + template, ""
    nodes = [node for edit in written.values() for node in ast.walk(ast.parse(edit))]
    calls = {node.id for node in nodes if isinstance(node, ast.Name) and node.id in NAMED_EDITS}
    template = template.replace(
        "import bloomlab\n", f"import bloomlab\nfrom bloomlab import {', '.join(sorted(calls))}\n", 1
    )
    template = re.sub(r"(lab\.trace\(TEXT, read=\[[^\]]*\])\)", r"\1, EDITS)", template)
    return template, f"edit={{{', '.join(f'{spot!r}: {edit}' for spot, edit in written.items())}}}"


def edit_in_python(words: str) -> str:
    """The words of an edit as Python, if they are a call of a named edit, or a list of such, and nothing else; or "".

    >>> edit_in_python("scale(0.5,   head=[1, 2])"), edit_in_python("scale(open('x'))")
    ('scale(0.5, head=[1, 2])', '')
    """
    if len(words) > LONGEST_EDIT:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts
            node = ast.parse(words, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    several = node.elts if isinstance(node, ast.List) else [node]
    fits = all(_is_named_edit(one) and all(map(_is_value, _arguments(one))) for one in several)
    return ast.unparse(node) if several and fits else ""


def _is_named_edit(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMED_EDITS


def _arguments(call: ast.Call) -> list[ast.expr | None]:
    return [*call.args, *(word.value if word.arg else None for word in call.keywords)]


def _is_value(node: ast.expr | None, depth: int = 4) -> bool:
    """Whether it is a number, a text, a list or slice of such; what a trace has read at a spot; or texts like one."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | int | float | None)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)
    if not depth:
        return False
    inside: Sequence[ast.expr | None] = [None]
    if isinstance(node, ast.List | ast.Tuple):
        inside = node.elts
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "slice":
        inside = _arguments(node)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
        if ast.unparse(node.value.func) == "lab.like" and node.attr == "texts":
            inside = _arguments(node.value)
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call):
        call = node.value
        if ast.unparse(call.func) == "lab.trace":
            inside = [node.slice, *_arguments(call)]
    return all(_is_value(one, depth - 1) for one in inside)
