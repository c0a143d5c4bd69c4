"""The floors of the house: imports go down only, and Jupyter stays upstairs."""

import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

import bloomlab
from docs.make_architecture import DOWNWARDS_LATER, imports, modules, own_imports

# Lowest floor first. A room is a folder, its files in reading order; "*": any order, but no circles.
FLOORS = [
    ["errors"],
    ["elsewhere"],
    ["guards: markup progress frames memory uninterrupted files arguments"],
    ["config", "hooks", "outputs"],
    [
        "weights: layouts bin_process bin_file download_errors download hub fits tensor_file slowly devices checkpoint "
        "reopens int8 for_others pretrained"
    ],
    ["model: embedding alibi positions attention mlp block cache arguments bloom"],
    ["generation: sampling rules names values settings predict prompt stopping beam decode tree"],
    ["heads: *", "text: tokens batches encoding padding chat tokenizer_file tokenizer"],
    ["spread: shares group letters part engines whole"],
    ["tracing: trace_file by_need trace edits donors record", "tasks: results ask finetune"],
    [
        "jax: hooks embedding alibi attention mlp block cache outputs arguments checkpoint pretrained bloom sampling "
        "decode causal_lm bridge"
    ],
    ["lens: *"],
    [
        "tiny: floors facts interrupt language world pairs like documents labelled measure heads measure_heads rows "
        "card snapshot train_tokenizer from_nothing evaluate train positions starts measure_positions sizes",
        "translated",
        "editions",
        "lessons",
    ],
    ["views: *"],
    ["lab"],
    ["pages"],
    ["lesson_run", "slides", "site"],
    ["notebook: unrun_cells startup doctor commands line_parser magics"],
    [
        "checks: record handin covers guesses class_table verdict parts by_hand counted head_lines training use "
        "scale lengths why"
    ],
    ["cli", "__main__"],
    ["__init__"],
]
ROOMS = {room: files.split() for floor in FLOORS for room, _, files in (entry.partition(": ") for entry in floor)}
ORDER = [f"{room}.{file}" if file else room for room, files in ROOMS.items() for file in files or [""]]
FOLDERS = {room for room, files in ROOMS.items() if files}
MODULES = modules()
NOTEBOOK = {"anywidget", "ipywidgets", "IPython", "plotly", "matplotlib", "traitlets"}


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


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_the_floors_only(module: str) -> None:
    for target, at_once in own_imports(MODULES[module]):
        if (module, target) in DOWNWARDS_LATER and not at_once:
            continue
        same_folder = module.split(".")[0] == target.split(".")[0] in FOLDERS
        loose = same_folder and f"{module.split('.')[0]}.*" in ORDER
        own_init = same_folder and FOLDERS & {module, target}  # no circle through it: see below
        assert place(target) < place(module) or loose or own_init, (
            f"bloomlab/{module} imports {target}, which stands above it"
        )


@pytest.mark.slow
def test_a_view_that_is_a_folder_reads_from_payload_to_panel() -> None:
    """And what all views share knows none of them."""
    order = [
        "languages",
        "lengths",
        "writing",
        "given",
        "said",
        "payload",
        "question",
        "inside",
        "receipt",
        "mattered",
        "effects",
        "still",
        "figure",
        "effects_figure",
        "panel",
        "result",
    ]
    for module, path in MODULES.items():
        room, _, file = module.rpartition(".")
        if not room.startswith("views."):
            continue
        for target, _ in own_imports(path):
            if room == "views.shared":
                assert not target.startswith("views.") or target.startswith("views.shared"), f"{module}: {target}"
            elif target.rpartition(".")[0] == room:
                assert order.index(target.rpartition(".")[2]) < order.index(file), f"{module} imports {target}"


@pytest.mark.slow
def test_no_two_modules_import_each_other() -> None:
    graph = {module: {target for target, _ in own_imports(MODULES[module])} - {module} for module in MODULES}
    for later, lower in DOWNWARDS_LATER:
        graph.get(later, set()).discard(lower)
    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


@pytest.mark.parametrize("module", MODULES)
def test_only_views_magics_and_the_lab_know_about_notebooks(module: str) -> None:
    for name, at_once in imports(MODULES[module]):
        if name.split(".")[0] in NOTEBOOK:
            room = module.split(".")[0]
            assert room in {"views", "lab"} or module == "notebook.magics", f"bloomlab/{module} imports {name}"
            assert room != "lab" or not at_once, f"bloomlab/lab imports {name} before a view is asked for"


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


@pytest.mark.slow
def test_importing_bloomlab_takes_a_quarter_of_importing_asyncio() -> None:
    """That takes some tens of milliseconds; of five runs the median, as what disturbs the machine disturbs both."""
    imports = "a = t(); import asyncio; b = t(); import bloomlab; c = t()"
    code = f"from time import perf_counter as t; {imports}; print((c - b) / (b - a))"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5)]
    assert sorted(float(run.stdout) for run in runs)[2] < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("where", ["emscripten", "elsewhere"])
def test_without_torch_the_import_says_so_in_one_sentence(where: str) -> None:
    """In JupyterLite there is none at all; elsewhere the doctor may still be asked."""
    hide = "import sys; sys.modules['torch'] = None; "
    ask = "import bloomlab.notebook.doctor; from bloomlab import load"
    code = f"{hide}sys.platform = 'emscripten'; import bloomlab" if where == "emscripten" else hide + ask
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1 and last.startswith("bloomlab.errors.MissingPackageError: bloomlab needs torch, which")
    assert "JupyterLite" in last and len(last) < 300


PUBLIC = """
    AutoTokenizer BloomConfig BloomForCausalLM BloomForQuestionAnswering BloomForSequenceClassification
    BloomForTokenClassification BloomModel BloomTokenizerFast BloomlabError FlaxBloomForCausalLM FlaxBloomModel
    Hooks Lab Trace
    __version__ add copied cut drawn finding fit fits from_transformers hold load mean models patch scale steer
    to_transformers usual zero
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
