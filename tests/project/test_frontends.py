"""What a page that is made from a notebook shows, where no widget can run."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config


@pytest.mark.slow
def test_nbconvert_shows_the_still_once_whatever_it_prefers() -> None:
    code = "import bloomlab\nbloomlab.load().alibi('Leo lives in Oslo.')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    for store in (True, False):
        NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=store).execute()
        still_first = Config({"NbConvertBase": {"display_data_priority": ["text/html", "text/plain"]}})
        for options in (Config(), still_first):
            page = HTMLExporter(config=options).from_notebook_node(notebook)[0]
            assert page.count("Heads of layer 0:") == 1
