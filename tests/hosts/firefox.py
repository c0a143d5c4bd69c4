"""Firefox, driven by its own WebDriver BiDi: Playwright wants a newer one than Debian's."""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from websocket import WebSocket, create_connection

NAMES = ("firefox-esr", "firefox")


def find() -> str | None:
    """The path of a Firefox, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Firefox:
    """One tab of a Firefox without a window."""

    def __init__(self, path: str, port: int = 28_333) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = ["--headless", f"--remote-debugging-port={port}", "--profile", self._profile.name, "--no-remote"]
        self._process = subprocess.Popen([path, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._numbers = itertools.count(1)
        self._line = self._connect(f"ws://127.0.0.1:{port}/session")
        self.version = self._send("session.new", capabilities={})["capabilities"]["browserVersion"]
        self._tab = self._send("browsingContext.create", type="tab")["context"]
        self._send("browsingContext.setViewport", context=self._tab, viewport={"width": 1280, "height": 900})

    def _connect(self, address: str) -> WebSocket:
        for _ in range(300):
            try:
                return create_connection(address, timeout=60, suppress_origin=True)
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("Firefox did not begin to listen in 30 s")

    def _send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._line.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._line.recv())
            if answer.get("id") == number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def goto(self, url: str) -> None:
        self._send("browsingContext.navigate", context=self._tab, url=url, wait="interactive")

    def evaluate(self, expression: str) -> Any:
        """What an expression gives, as JSON carries it; a promise is waited for."""
        code = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        answer = self._send("script.evaluate", expression=code, target={"context": self._tab}, awaitPromise=True)
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    def wait_for(self, expression: str, seconds: float = 60) -> Any:
        """What an expression gives, once that is true."""
        deadline = time.monotonic() + seconds
        while not (found := self.evaluate(expression)):
            if time.monotonic() > deadline:
                raise AssertionError(f"in Firefox this did not come true: {expression}")
            time.sleep(0.2)
        return found

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._send("browsingContext.captureScreenshot", context=self._tab)["data"]))

    def close(self) -> None:
        self._line.close()
        self._process.terminate()
        self._process.wait(timeout=20)
        self._profile.cleanup()
