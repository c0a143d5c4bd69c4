"""huggingface_hub, limited to what BLOOM needs: a safe address, a bounded answer, one way to download.

Files come by plain HTTPS, even from a hub that offers a transport of its own (Xet, hf_xet): the bytes and their hash
are the same, and on this one way every fault and every interrupt has been tested.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from bloomlab.errors import DownloadError
from bloomlab.guards.progress import without_monitor
from bloomlab.weights.download_errors import AGAIN

HUB = "https://huggingface.co"
COMMIT = re.compile(r"[0-9a-f]{40}")
TAG = re.compile(r"[\w-]{1,128}", re.ASCII)  # of a file; the hub's are hashes

WAIT = 10  # seconds until the hub must say something
LONGEST = 60  # seconds for its whole answer
MAX_LISTING = 1 << 22  # bytes of the list of files: room for some ten thousand
CHUNK = 1 << 18  # bytes between two steps of a progress bar, and the most that is lost when a connection breaks


@dataclass(frozen=True)
class File:
    """A file on the hub. `digest` is its SHA-256, or for a small file git's SHA-1, or "" if unknown."""

    size: int = 0
    digest: str = ""


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, if it is safe to ask.

    Raises:
        DownloadError: others could read what is sent there.
    """
    address = os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB
    with suppress(ValueError):
        url = urlsplit(address)
        if url.hostname and (
            url.scheme == "https" or (url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"))
        ):
            return address
    raise DownloadError(
        "HF_ENDPOINT must be an https:// address (http:// only for localhost), since others on the network could "
        "change the files and read the token; set another one, or none"
    )


def token() -> str | bool:
    """HF_TOKEN; False if there is none, so that no token stored elsewhere is sent.

    Raises:
        DownloadError: it cannot be a token.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token.isascii() or not (token or "x").isprintable() or " " in token:
        raise DownloadError("HF_TOKEN holds characters that no token has; copy it again from the hub's settings page")
    return token or False


def listing(address: str, repo: str, revision: str) -> tuple[str, dict[str, File]]:
    """The commit that a revision stands for, and the files it has, by name.

    The answer is read here, not by huggingface_hub, which accepts one of any length, however slow.

    Raises:
        DownloadError: the list is longer than any BLOOM's.
        ValueError: the answer does not come from a hub.
        Exception: whatever else huggingface_hub raises.
    """
    from huggingface_hub import get_session, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # it is public

    url = f"{address}/api/models/{repo}/revision/{quote(revision, safe='')}"
    headers = {**build_hf_headers(token=token()), "Accept-Encoding": "identity"}
    answer, until = b"", time.monotonic() + LONGEST
    with get_session().stream("GET", url, params={"blobs": True}, headers=headers, timeout=WAIT) as response:
        if response.is_error:
            hf_raise_for_status(response)
        for part in response.iter_bytes():
            answer += part
            if len(answer) > MAX_LISTING:
                raise DownloadError(
                    f"the hub's {repo} has too many files: their list is longer than {MAX_LISTING >> 20} MB; it is "
                    "not a BLOOM that can be opened here"
                )
            if time.monotonic() > until:
                raise TimeoutError("the list of files did not end")
    return _read_listing(json.loads(answer))


def _read_listing(answer: Any) -> tuple[str, dict[str, File]]:
    """The commit and the files in a hub's answer."""
    if not COMMIT.fullmatch(answer["sha"]):
        raise ValueError("no commit")
    files = {}
    for each in answer["siblings"]:
        size, digest = each.get("size") or 0, (each.get("lfs") or {}).get("sha256") or each.get("blobId") or ""
        if type(size) is not int or size < 0 or not isinstance(digest, str) or not isinstance(each["rfilename"], str):
            raise ValueError("no list of files")
        files[each["rfilename"]] = File(size, digest)
    return answer["sha"], files


_SETTINGS = threading.Lock()


def download(address: str, repo: str, commit: str, name: str, cache: Path, bar: Any) -> None:
    """Have huggingface_hub put a file into its cache, by plain HTTP."""
    from huggingface_hub import constants, file_download, hf_hub_download

    with _SETTINGS:  # it reads these from its own modules only
        before = constants.HF_HUB_DISABLE_XET, constants.DOWNLOAD_CHUNK_SIZE
        ask = file_download.get_hf_file_metadata
        try:
            constants.HF_HUB_DISABLE_XET, constants.DOWNLOAD_CHUNK_SIZE = True, CHUNK
            file_download.get_hf_file_metadata = partial(_with_plain_names, ask)
            hf_hub_download(
                repo,
                name,
                revision=commit,
                cache_dir=cache,
                endpoint=address,
                token=token(),
                etag_timeout=WAIT,
                tqdm_class=bar,
            )
        finally:
            constants.HF_HUB_DISABLE_XET, constants.DOWNLOAD_CHUNK_SIZE = before
            file_download.get_hf_file_metadata = ask


def _with_plain_names(ask: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What the hub says of a file, once the names in it lead nowhere: huggingface_hub makes paths of them, unlooked.

    Raises:
        ValueError: the answer does not come from a hub.
    """
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        about = ask(*arguments, **named)
        commit, tag = about.commit_hash, about.etag
    except RemoteEntryNotFoundError as error:
        commit, tag = error.response.headers.get("X-Repo-Commit"), None
        if commit is None or COMMIT.fullmatch(commit):
            raise
    if (commit is not None and not COMMIT.fullmatch(commit)) or (tag is not None and not TAG.fullmatch(tag)):
        raise ValueError("no name of a file or of a commit")
    return about


# -- words on the screen ----


def say(text: str) -> None:
    """Print at once, to stderr, so that it is not mistaken for a result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(repo: str, files: list[File], stop: threading.Event) -> Iterator[Any]:
    """A bar over all files, if there are several; gives the kind of bar that huggingface_hub shows for each.

    Raises:
        KeyboardInterrupt: from the bar, once `stop` is set.
        DownloadError: more bytes arrive than the hub's list announced.
    """
    from tqdm.auto import tqdm as any_bar  # type: ignore[import-untyped]  # it ships no types

    tqdm = without_monitor(any_bar)

    count, size = len(files), sum(file.size for file in files)
    limit = size if all(file.size for file in files) else None  # some hubs list no sizes
    with tqdm(total=size, unit="B", unit_scale=True, desc="in total", disable=count < 2, position=0) as total:

        class FileBar(tqdm):  # type: ignore[misc, valid-type]  # as above
            """The bar of one file; it moves the total's bar too."""

            arrived = 0

            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                super().__init__(*args, **{**options, "leave": count < 2, "position": int(count > 1)})
                self.before = total.n

            def update(self, n: float | None = 1) -> Any:
                if stop.is_set():
                    raise KeyboardInterrupt  # the main thread has raised it already
                FileBar.arrived += int(n or 0)
                if limit is not None and FileBar.arrived > limit:
                    raise DownloadError(
                        f"a file of {repo} arrived broken: it is larger than the hub's list says; nothing of it was "
                        f"kept, so {AGAIN}"
                    )
                shown = super().update(n)
                total.update(self.before + self.n - total.n if self.before + self.n > total.n else 0)
                return shown

        yield FileBar
