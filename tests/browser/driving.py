"""What a person does with a notebook: open it, run it, read what it printed, change the theme."""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.servers import Server
from tests.browser.waiting import comes_to, redrawn, until

IDLE = "jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code').map(cell => cell.model.outputs.toJSON())"""

EXECUTE = """async code => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({code, store_history: false});
    const said = {text: "", error: ""};
    future.onIOPub = ({header, content}) => {
        if (header.msg_type === "stream") said.text += content.text;
        if (header.msg_type === "error") said.error = content.traceback.join("\\n");
    };
    await future.done;
    return said;
}"""


def write_notebook(path: Path, cells: list[str]) -> None:
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(notebook, path)


class Notebook:
    """A notebook open in one of the two applications, on a page."""

    def __init__(self, visit: Visit, server: Server, source: Path | list[str], name: str) -> None:
        self.visit, self.server = visit, server
        self.page: Page = visit.page
        self.name = f"{name}.ipynb"
        if isinstance(source, Path):
            shutil.copy(source, server.root / self.name)
        else:
            write_notebook(server.root / self.name, source)
        self.page.goto(server.url(self.name))
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=120_000)
        until(self.page, IDLE, timeout=120_000)

    def command(self, name: str, **arguments: Any) -> None:
        """Run one of the application's own commands, as its menus do."""
        self.page.evaluate(f"jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(arguments)})")

    def run_all(self, timeout: float = 240_000) -> list[list[dict[str, Any]]]:
        """Run every cell; the outputs of each code cell. A cell that raised fails the test, with its error."""
        self.command("notebook:run-all-cells")
        until(self.page, IDLE, timeout=timeout)
        outputs: list[list[dict[str, Any]]] = self.page.evaluate(OUTPUTS)
        for output in (output for cell in outputs for output in cell):
            if output["output_type"] == "error":
                raise AssertionError("\n".join(output["traceback"]))
        return outputs

    def python(self, code: str) -> str:
        """Run a line in the notebook's kernel, outside its cells; what it printed."""
        said = self.page.evaluate(EXECUTE, code)
        assert not said["error"], said["error"]
        return str(said["text"])

    def comes_to(self, code: str, printed: str) -> None:
        """Until a line prints that in the kernel: what was chosen on the page may still be on its way there."""
        comes_to(self.page, lambda: self.python(code), printed)

    def dark(self, on: bool = True) -> None:
        self.command("apputils:change-theme", theme="JupyterLab Dark" if on else "JupyterLab Light")
        wanted = "false" if on else "true"
        until(self.page, f"document.body.dataset.jpThemeLight === '{wanted}'")
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)  # it covers the page while styles load

    def close(self) -> None:
        """End the kernel too: each holds a copy of torch."""
        self.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.visit.close()


def open_more(root: Locator) -> None:
    """What stands behind "more", where there is no room to show it anyway."""
    redrawn(root.page)  # how much room there is, and so whether the button is there, is measured
    button = root.locator("[data-part=more]")
    if button.is_visible() and button.get_attribute("aria-pressed") == "false":
        button.click()
