"""Everything that can go wrong in a download, as five messages, each with a next step.

    offline        the hub cannot be reached, does not answer, or something else answers in its place
    not found      no model, no revision or no file of this name
    not allowed    the hub wants a login, or terms to be accepted
    broken file    the bytes that arrived are not those the hub announced
    no space       the cache cannot hold it, or cannot be written to

The words are our own: a library's message may contain addresses and tokens.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from bloomlab.errors import DownloadError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
NO_WRITING = (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT)  # of a file: a connection can be forbidden too
WITHOUT_NETWORK = (
    "check the network and run this again (finished files are kept), or use bloomlab.load('tiny'), which needs none"
)
AGAIN = "run this again (finished files are kept), and if it stays broken use another network"


def download_error(
    error: Exception, repo: str, host: str, cache: Path, revision: str, has_token: bool, near: str
) -> DownloadError:
    """A library's error while `repo` was looked up or fetched, in our words; `near` suggests a similar name."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RevisionNotFoundError

    status = status_of(error)
    chain = list(_chain(error))
    gated = any(isinstance(each, GatedRepoError) for each in chain)
    disk_error = next((each.errno for each in chain if isinstance(each, OSError) and _is_about_the_disk(each)), None)
    if disk_error:
        words = (
            f"cannot store {repo} in {cache}: {os.strerror(disk_error).lower()}; "
            "make room there, or name another place with cache_dir=…"
        )
    elif status == 403 or gated or (status == 401 and has_token):
        words = (
            f"{host} does not allow {repo}; log in there, accept the model's terms on its page, "
            "and set HF_TOKEN to a token of that account"
        )
    elif any(isinstance(each, RevisionNotFoundError) for each in chain):
        words = f"{host} has {repo}, but no revision {revision!r} of it; leave revision out for the newest"
    elif status == 404 and any(isinstance(each, EntryNotFoundError) for each in chain):
        words = f"{host} lists a file of {repo} that it does not have; run this again later, or name another revision"
    elif status in (401, 404):
        words = (
            f"{host} has no model {repo!r}, or it is private, and no folder here has that name; "
            f"check the spelling, or set HF_TOKEN for a private one{near}"
        )
    elif status is not None:
        busy = "is asked too often" if status == 429 else "has a problem of its own"
        words = f"{host} {busy} (it answered {status}) while {repo} was fetched; wait a minute and run this again"
    elif any("onsistency check failed" in str(each) for each in chain):
        words = (
            f"a file of {repo} arrived broken: it has another size than {host} says; nothing of it was kept, so {AGAIN}"
        )
    elif any(isinstance(each, ValueError | KeyError | TypeError | AttributeError) for each in chain):
        words = (
            f"something else answered in place of {host}, perhaps the login page of this network; open a browser, "
            f"log in to the network, and run this again to fetch {repo}"
        )
    else:
        words = f"cannot reach {host} to fetch {repo} ({_kind(chain)}); {WITHOUT_NETWORK}"
    return DownloadError(words)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and the errors that caused it."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: Exception) -> int | None:
    """The status that the server answered with, if it did."""
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int) and status >= 400:
            return status
    return None


def _kind(chain: list[BaseException]) -> str:
    if any("HF_HUB_OFFLINE" in str(each) or type(each).__name__ == "OfflineModeIsEnabled" for each in chain):
        return "HF_HUB_OFFLINE forbids it"
    timeout = any("Timeout" in type(each).__name__ for each in chain)
    return "no answer in time" if timeout else "no connection"


def _is_about_the_disk(error: OSError) -> bool:
    return error.errno in NO_ROOM or (error.errno in NO_WRITING and error.filename is not None)
