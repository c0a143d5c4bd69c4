"""What a page that is made from a notebook shows, where no widget can run."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config

PAGE = (Path(__file__).parents[2] / "docs" / "frontends.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_nbconvert_shows_the_still_picture_with_the_option_that_the_page_names() -> None:
    [priority] = re.findall(r"--NbConvertBase\.display_data_priority='(\[.+?\])'", PAGE)
    code = "import bloomlab\nbloomlab.load().alibi('Leo lives in Oslo.')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    options = Config({"NbConvertBase": {"display_data_priority": re.findall(r'"(.+?)"', priority)}})
    still, widget = (HTMLExporter(config=config).from_notebook_node(notebook)[0] for config in (options, Config()))
    assert "Heads of layer 0:" in still
    assert "Heads of layer 0:" not in widget  # so the option is needed
