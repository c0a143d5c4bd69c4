"""A hub of models on this machine, for tests: it speaks as much of the hub's language as huggingface_hub asks for,
and can be told to misbehave in every way that networks and servers do."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "owner/small-bloom"
PORTAL = b"<!DOCTYPE html><html><body>Welcome to the hotel. Please log in.</body></html>"

Fault = Callable[["Answer"], bool]
"""Answers in its own way and says True, or leaves a request to the honest hub and says False."""


class FakeHub:
    """What is served, what goes wrong, and what was asked for.

    Attributes:
        files: name -> content.
        fault: what goes wrong; may be changed while the hub runs.
        xet: whether it also offers its large files by a transport of its own, as the real one does.
        asked: how often each "METHOD name" was asked for ("GET info": the list of files).
        tokens: every authorization that was sent.
    """

    def __init__(self, folder: Path) -> None:
        self.files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        self.fault: Fault = lambda answer: False
        self.xet = False
        self.asked: Counter[str] = Counter()
        self.tokens: set[str] = set()
        self.address = ""

    def about(self) -> dict[str, Any]:
        """What the hub says of a model: its commit, and each file with size and hash."""
        siblings = []
        for name, content in self.files.items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
            if is_large(name):
                entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}


class Answer(BaseHTTPRequestHandler):
    """One request, and what is said to it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for nothing

    def __init__(self, hub: FakeHub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.name = "info" if path.startswith("/api/models/") else path.rpartition("/")[2]
        self.hub.asked[f"{self.command} {self.name}"] += 1
        self.hub.tokens |= {self.headers["authorization"]} - {None}
        with suppress(ConnectionError):  # the client went away
            if not self.hub.fault(self):
                self.honest(path)

    def honest(self, path: str) -> None:
        if f"/{REPO}" not in path:
            self.say(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif self.name == "info" and path.rpartition("/")[2] not in ("main", COMMIT):
            self.say(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif self.name == "info":
            self.say(200, json.dumps(self.hub.about()).encode())
        elif self.name not in self.hub.files:
            self.say(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        else:
            self.send_file(self.hub.files[self.name])

    def send_file(self, content: bytes, length: int | None = None) -> None:
        """A file with the headers that its honest content would have."""
        true = self.hub.files[self.name]
        tag = sha256(true) if is_large(self.name) else git_hash(true)
        start = int((self.headers["range"] or "bytes=0-").removeprefix("bytes=").rstrip("-") or 0)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(true))}
        if self.hub.xet and is_large(self.name):
            headers |= {"X-Xet-Hash": tag, "X-Xet-Refresh-Route": f"{self.hub.address}/api/xet-token"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(true) - 1}/{len(true)}"
        self.say(206 if start else 200, content[start:], headers, length)

    def say(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def fake_hub(folder: Path) -> Iterator[FakeHub]:
    """A hub that serves the files of this folder as `REPO`."""
    hub = FakeHub(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answer, hub))
    server.daemon_threads = True
    hub.address = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def is_large(name: str) -> bool:
    """Whether the hub keeps a file outside git, by its SHA-256."""
    return name.endswith((".safetensors", ".bin")) or name == "tokenizer.json"


# -- faults ----


def status(code: int, where: str = "", **headers: str) -> Fault:
    """Answer with this status, to requests for the file `where` (all, if not said)."""

    def fault(answer: Answer) -> bool:
        if where and answer.name != where:
            return False
        answer.say(code, b"", {key.replace("_", "-"): value for key, value in headers.items()})
        return True

    return fault


def portal(answer: Answer) -> bool:
    """The login page of a hotel, whatever was asked for."""
    answer.say(200, PORTAL, {"Content-Type": "text/html"})
    return True


def changed(where: str, change: Callable[[bytes], bytes]) -> Fault:
    """Send another content for a file, under the honest one's headers."""

    def fault(answer: Answer) -> bool:
        if answer.name != where or answer.command != "GET":
            return False
        answer.send_file(change(answer.hub.files[where]))
        return True

    return fault


def flipped(content: bytes) -> bytes:
    """The same length, one bit in the middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def breaks_off(where: str) -> Fault:
    """Promise a whole file, send a third of it, and hang up."""

    def fault(answer: Answer) -> bool:
        if answer.name != where or answer.command != "GET":
            return False
        content = answer.hub.files[where]
        answer.send_file(content[: len(content) // 3] if not answer.headers["range"] else b"", length=len(content))
        answer.close_connection = True
        return True

    return fault


def breaks_off_once(where: str, after: int) -> Fault:
    """Promise a whole file, send so many bytes of it, and hang up; the next time, be honest."""
    broken: list[bool] = []

    def fault(answer: Answer) -> bool:
        if answer.name != where or answer.command != "GET" or broken:
            return False
        broken.append(True)
        answer.send_file(answer.hub.files[where][:after], length=len(answer.hub.files[where]))
        answer.close_connection = True
        return True

    return fault


def endless_list(part: bytes, pause: float = 0) -> Fault:
    """A list of files that goes on with `part` for as long as somebody listens."""

    def fault(answer: Answer) -> bool:
        if answer.name != "info":
            return False
        answer.say(200, b'{"siblings": [', length=1 << 40)
        while True:  # until the client goes away
            answer.wfile.write(part)
            time.sleep(pause)

    return fault


def stalls(where: str, seconds: float = 30) -> Fault:
    """Send the first half of a file (or of nothing: the list of files), and then nothing for a long time."""

    def fault(answer: Answer) -> bool:
        if answer.name != where or answer.command != "GET":
            return False
        if where in answer.hub.files:
            content = answer.hub.files[where]
            answer.send_file(content[: len(content) // 2], length=len(content))
            answer.wfile.flush()
        time.sleep(seconds)
        answer.close_connection = True
        return True

    return fault
