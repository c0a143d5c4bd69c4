"""JupyterLab and Notebook 7 as a student starts them, each with folders of its own and no network."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN = "only-for-tests"
APPS = {  # name -> module, the option that shows the application object to the page, path of a notebook
    "lab": ("jupyterlab", "--LabApp.expose_app_in_browser=True", "lab/tree/{name}"),
    "notebook": ("notebook", "--JupyterNotebookApp.expose_app_in_browser=True", "notebooks/{name}"),
}
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


class Server:
    """A running Jupyter server; `root` is the folder it shows."""

    def __init__(self, app: str, folder: Path) -> None:
        module, expose, self.path = APPS[app]
        self.app, self.root, self.log = app, folder / "root", folder / "server.log"
        self.root.mkdir(parents=True)
        for plugin, settings in SETTINGS.items():
            file = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(settings), encoding="utf-8")
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]
        command += [f"--ServerApp.root_dir={self.root}", "--LabApp.news_url=None", expose]
        environment = {**os.environ, **{name: str(folder / place) for name, place in own.items()}}
        environment.pop("MPLBACKEND", None)  # a kernel draws into the page
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.root, stdout=log, stderr=log, start_new_session=True
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_answers(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        url = f"http://127.0.0.1:{self.port}/api/status?token={TOKEN}"
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError(f"{self.app} did not start in {seconds} s:\n{self.log.read_text()[-2000:]}")

    def url(self, notebook: str) -> str:
        return f"http://127.0.0.1:{self.port}/{self.path.format(name=notebook)}?token={TOKEN}&reset"

    def stop(self) -> None:
        """End the server and its kernels: they are in a process group of their own."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(timeout=10)
                return
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                return
