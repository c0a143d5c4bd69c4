"""The floors of the house: imports go down only, and Jupyter stays upstairs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import bloomlab

PACKAGE = Path(bloomlab.__file__).parent

# Lowest floor first; on a floor, and in a folder, in reading order. "lens.*": any order, but no circles.
FLOORS = [
    ["errors", "apart", "files", "arguments", "config", "hooks", "outputs", "contract"],
    ["layout", "memory", "hub_errors", "hub_client", "hub", "room", "checkpoint_files", "checkpoint", "pretrained"],
    [f"model.{name}" for name in "embedding alibi attention mlp block cache bloom".split()],
    [f"generation.{name}" for name in "sampling settings predict beam decode".split()],
    ["heads.*", "chips", "encoding", "tokenizer_file", "tokenizer"],
    ["trace", "record", "edits", "finetune", "verdicts", "asking", "missing"],
    [f"jax.{name}" for name in "hooks embedding alibi attention mlp block cache outputs contract checkpoint".split()],
    [f"jax.{name}" for name in "pretrained bloom sampling decode causal_lm bridge".split()],
    ["lens.*", "tiny.*", "card", "lessons"],
    ["views.*"],
    ["lab"],
    ["checks.*"],
    ["doctor", "commands", "orders", "magics", "cli", "startup", "__main__"],
    ["__init__"],
]
ORDER = [module for floor in FLOORS for module in floor]
FOLDERS = {"model", "generation", "heads", "lens", "tiny", "views", "checks", "jax"}
DOWNWARDS_LATER = {("config", "hub")}  # BloomConfig.from_pretrained("name") looks for the file when called
NOTEBOOK = {"anywidget", "ipywidgets", "IPython", "plotly", "matplotlib", "traitlets"}


def module_files() -> dict[str, Path]:
    """Every module of the package, by its dotted name below `bloomlab`."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return files


MODULES = module_files()


def place(module: str) -> int:
    """How high a module stands: its position in ORDER. A folder's own `__init__` stands on its last file."""
    if module in ORDER:
        return ORDER.index(module)
    folder = module.split(".")[0]
    if f"{folder}.*" in ORDER:
        return ORDER.index(f"{folder}.*")
    inside = [i for i, name in enumerate(ORDER) if name.startswith(f"{folder}.")]
    assert module in FOLDERS and inside, f"bloomlab/{module} has no floor: give it one in FLOORS"
    return inside[-1]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every name a file imports, and whether at once, as the file is read, or later, in a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    later = {
        inner
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    package = ".".join(["bloomlab", *path.relative_to(PACKAGE).parts[:-1]])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node not in later
        elif isinstance(node, ast.ImportFrom):
            start = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node not in later


def own_imports(module: str) -> Iterator[tuple[str, bool]]:
    """The modules of bloomlab that a module imports, and whether at once."""
    for name, at_once in imports(MODULES[module]):
        if name == "bloomlab" or name.startswith("bloomlab."):
            if name == "bloomlab.__version__":
                continue
            below = name.removeprefix("bloomlab").removeprefix(".")
            while below and below not in MODULES:
                below = below.rpartition(".")[0]
            yield below or "__init__", at_once


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_the_floors_only(module: str) -> None:
    for target, at_once in own_imports(module):
        if (module, target) in DOWNWARDS_LATER and not at_once:
            continue
        same_folder = module.split(".")[0] == target.split(".")[0] in FOLDERS
        loose = same_folder and f"{module.split('.')[0]}.*" in ORDER
        own_init = same_folder and module in FOLDERS
        assert place(target) < place(module) or loose or own_init, (
            f"bloomlab/{module} imports {target}, which stands above it"
        )


def test_no_two_modules_import_each_other() -> None:
    graph = {module: {target for target, _ in own_imports(module)} - {module} for module in MODULES}
    for later, lower in DOWNWARDS_LATER:
        graph.get(later, set()).discard(lower)
    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


@pytest.mark.parametrize("module", MODULES)
def test_only_views_magics_and_the_lab_know_about_notebooks(module: str) -> None:
    for name, at_once in imports(MODULES[module]):
        if name.split(".")[0] in NOTEBOOK:
            floor = module.split(".")[0]
            assert floor in {"views", "magics", "lab"}, f"bloomlab/{module} imports {name}"
            assert floor != "lab" or not at_once, f"bloomlab/lab imports {name} before a view is asked for"


def loaded_after(code: str) -> set[str]:
    """The top-level names of all modules a fresh Python has loaded after running `code`."""
    code += "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_bloomlab_loads_neither_torch_nor_jupyter() -> None:
    loaded = loaded_after("import bloomlab; dir(bloomlab); bloomlab.__version__")
    assert "bloomlab" in loaded
    heavy = {"torch", "jax", "flax", "numpy", "tokenizers", "safetensors", "huggingface_hub", "jupyterlab", "comm"}
    assert not loaded & (NOTEBOOK | heavy)


@pytest.mark.slow
def test_importing_the_lab_loads_no_notebook_library() -> None:
    loaded = loaded_after("import bloomlab.lab")
    assert "torch" in loaded
    assert not loaded & NOTEBOOK


def test_importing_bloomlab_takes_under_fifty_milliseconds() -> None:
    """Best of five: the best run is the one that nothing else on the machine disturbed."""
    code = "from time import perf_counter as t; a = t(); import bloomlab; print(t() - a)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5)]
    assert min(float(run.stdout) for run in runs) < 0.050


PUBLIC = """
    AutoTokenizer BloomConfig BloomForCausalLM BloomForQuestionAnswering BloomForSequenceClassification
    BloomForTokenClassification BloomModel BloomTokenizerFast BloomlabError FlaxBloomForCausalLM FlaxBloomModel
    Hooks Lab Trace
    __version__ add fit fits load mean patch scale zero
""".split()


def test_the_public_names_are_these() -> None:
    assert sorted(bloomlab.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(bloomlab))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(bloomlab, name) is getattr(bloomlab, name)


def test_no_public_name_hides_a_module() -> None:
    tops = {module.split(".")[0] for module in MODULES}
    assert not tops & set(PUBLIC)


def test_the_pages_auto_tokenizer_is_blooms_tokenizer() -> None:
    assert bloomlab.AutoTokenizer is bloomlab.BloomTokenizerFast


def test_an_unknown_public_name_gets_a_suggestion() -> None:
    with pytest.raises(AttributeError, match=r"bloomlab has no 'BloomForCausalLm'.*BloomForCausalLM"):
        bloomlab.BloomForCausalLm  # noqa: B018
