"""A lesson, run once from top to bottom in a kernel of its own."""

from typing import Any

from bloomlab.errors import InputError

SECONDS = 600  # for a cell


def run(name: str, notebook: bytes, starts: str) -> Any:
    """The notebook with its outputs; `starts` is Python that runs before its first cell.

    Raises:
        InputError: a cell failed, or there is no kernel.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal

    book = nbformat.reads(notebook.decode(), as_version=4)  # type: ignore[no-untyped-call]
    book.cells.insert(0, nbformat.v4.new_code_cell(starts))  # type: ignore[no-untyped-call]
    try:
        NotebookClient(book, timeout=SECONDS, kernel_name="python3").execute()
    except (CellControlSignal, OSError, RuntimeError, LookupError) as error:  # a cell's; no kernel, or one that died
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]
        raise InputError(f"the lesson {name} could not be run: {why}; `bloomlab doctor` says what works") from None
    book.cells = book.cells[1:]
    return book
