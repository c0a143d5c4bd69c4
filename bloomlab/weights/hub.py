"""From the name of a model to the folder that holds its files, downloaded first if need be.

    "560m", "bloomz-7b1", "bigscience/bloom-560m"    a model on the hub, by its short name or as owner/name
    "models/mine", Path("mine")                      a folder of this machine; it wins over a name

huggingface_hub does the downloading, into the cache that other programs share. This module adds the rest: a word on
the screen before the network is used, only the files that BLOOM needs, one commit for all of them, a check of every
file against its hash, and errors in words. No error ever shows a token; a token comes from HF_TOKEN.
"""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from bloomlab.errors import BloomlabError, DownloadError, InputError, did_you_mean, shorten, shorten_path
from bloomlab.guards.files import replacing
from bloomlab.guards.memory import gigabytes
from bloomlab.guards.uninterrupted import uninterrupted
from bloomlab.weights.download import COMMIT, File, download, endpoint, listing, progress, say, token
from bloomlab.weights.download_errors import AGAIN, WITHOUT_NETWORK, download_error, status_of
from bloomlab.weights.layouts import FLAX_ONLY, LAYOUTS, MSGPACK, read_index

SIZES = ("560m", "1b1", "1b7", "3b", "7b1")
NAMES = {
    **{size: f"bigscience/bloom-{size}" for size in SIZES},
    **{f"{family}-{size}": f"bigscience/{family}-{size}" for family in ("bloom", "bloomz") for size in SIZES},
    **dict.fromkeys(("176b", "bloom", "bloom-176b"), "bigscience/bloom"),
    **dict.fromkeys(("bloomz", "bloomz-176b"), "bigscience/bloomz"),
}
"""Short name -> owner/name on the hub."""

OWNER_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
REVISION = re.compile(r"[\w][\w./-]{0,199}", re.ASCII)
MAX_WEIGHTS = 50 * 10**9  # bytes of a file; by HTTP the hub sends no more, and a BLOOM's largest has 14 GB
MAX_SMALL = 100 << 20  # bytes of any other; BLOOM's own tokenizer.json has 14.5 MB


def local_folder(
    name_or_folder: str | os.PathLike[str],
    error: type[BloomlabError],
    *parts: str,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder with these parts of a model: "config", "tokenizer", "weights", "flax weights"; see `find`."""
    return find(name_or_folder, error, revision, cache_dir).fetch(*parts)


def find(
    name_or_folder: str | os.PathLike[str],
    error: type[BloomlabError],
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> "Source":
    """Where a model's files are; nothing is downloaded yet, but the hub is asked what it has.

    Args:
        revision: branch, tag or commit on the hub; the main branch by default.
        cache_dir: where downloaded files are kept; huggingface_hub's own place by default.

    Raises:
        InputError: the name is neither a text nor a path, or the revision cannot be one.
        error: there is no such folder, and no model can have such a name.
        DownloadError: the hub cannot be asked, or does not have the model.
    """
    if isinstance(name_or_folder, Source):
        return name_or_folder
    if not isinstance(name_or_folder, str | os.PathLike) or not os.fspath(name_or_folder):
        raise InputError(f"expected the name of a model or a folder, but got {name_or_folder!r}; pass a path or a name")
    if revision is not None and (not isinstance(revision, str) or not REVISION.fullmatch(revision) or ".." in revision):
        raise InputError(f"expected a branch, a tag or a commit as revision, but got {shorten(revision)}")
    try:
        folder = Path(name_or_folder).expanduser()
        kind = "a folder" if folder.is_dir() else "a file" if folder.exists() else "neither"
    except (OSError, ValueError, RuntimeError):  # a name too long, or with a NUL, or of an unknown user
        kind = "no possible name of a folder"
    if kind == "a folder":
        if revision is not None:
            raise InputError(f"{shorten_path(folder)} is a folder here, which has no revision; leave revision out")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise error(f"the folder {shorten_path(folder)} may not be entered and listed; change who may read it")
        return Source(str(folder), folder)
    repo = NAMES.get(name_or_folder, name_or_folder) if isinstance(name_or_folder, str) else ""
    if kind == "neither" and OWNER_NAME.fullmatch(repo) and not re.search(r"--|\.\.|\.git$", repo):
        return _ask(repo, revision or "main", cache_dir)
    hint = "name its folder" if kind == "a file" else f"the names are {', '.join(SIZES)}, 176b, bloomz-…, or owner/name"
    near = did_you_mean(str(name_or_folder), NAMES)
    raise error(
        f"expected a folder with the files of a model, or a model's name, but {str(name_or_folder)[:200]!r} is {kind}; "
        f"{hint}{near}"
    )


@dataclass(frozen=True)
class Source:
    """A model's files: a folder of this machine, or one commit on the hub and where it is kept.

    Attributes:
        name: as a person would write it.
        folder: where the files are, or will be.
        commit: on the hub; "" for a folder.
        files: those the hub has (or, offline, those kept here), by name.
        kept: the hub's cache for this model.
        endpoint: the hub's address; "" when it cannot be asked.
        revision: the branch, tag or commit that was asked for.
    """

    name: str
    folder: Path
    commit: str = ""
    files: Mapping[str, File] | None = None
    kept: Path = Path()
    endpoint: str = ""
    revision: str = "main"

    def __fspath__(self) -> str:
        """A source can stand in for a folder: `find` returns it and does not ask the hub again."""
        return str(self.folder)

    def fetch(self, *parts: str) -> Path:
        """The folder, with these parts of the model in it, each file whole and checked.

        "weights" are those the torch classes read; "flax weights" the same, or else flax_model.msgpack.

        Raises:
            DownloadError: a file cannot be fetched; the finished ones are kept.
        """
        if not self.commit:
            return self.folder
        if "config" in parts:
            self._get(["config.json"])
        if "tokenizer" in parts:
            self._get(self._tokenizer_files())
        if "weights" in parts:
            self._get(self._weight_files(LAYOUTS))
        if "flax weights" in parts:
            self._get(self._weight_files((*LAYOUTS, MSGPACK)))
        if self.endpoint and self.revision != self.commit:
            with suppress(OSError, InputError):  # a read-only cache is not a reason to fail now
                _remember(self.kept / "refs" / self.revision, self.commit)
        return self.folder

    # -- which files ----

    def _tokenizer_files(self) -> list[str]:
        files = self.files or {}
        vocabulary = ["tokenizer.json"] if "tokenizer.json" in files else ["vocab.json", "merges.txt"]
        return [*vocabulary, *(name for name in ("tokenizer_config.json", "special_tokens_map.json") if name in files)]

    def _weight_files(self, layouts: Iterable[str]) -> list[str]:
        name = next((name for name in layouts if name in (self.files or {})), LAYOUTS[0])
        if not name.endswith(".json"):
            return [name]
        self._get([name])
        return list(dict.fromkeys(read_index(self.folder / name).values()))

    # -- getting them ----

    def _get(self, names: list[str]) -> None:
        """Make sure that these files are in the folder, each checked."""
        files = self.files or {}
        where = f"the hub's {self.name}" if self.endpoint else f"the copy of {self.name} kept here"
        for name in names:
            if name not in files:
                if MSGPACK in files and name == LAYOUTS[0]:
                    raise DownloadError(f"{where} has no {shorten(name)}, but {FLAX_ONLY}")
                if self.endpoint:
                    raise DownloadError(f"{where} has no {shorten(name)}: it is not a BLOOM that can be opened here")
                raise DownloadError(f"{where} has no {shorten(name)}, and the hub cannot be asked; {WITHOUT_NETWORK}")
            large = name.endswith((".safetensors", ".bin", ".msgpack"))
            size, most = files[name].size, MAX_WEIGHTS if large else MAX_SMALL
            if size > most:
                raise DownloadError(
                    f"{shorten(name)} of {where} has {gigabytes(size)}, and a BLOOM's has less than {gigabytes(most)}: "
                    "it is not a BLOOM that can be opened here"
                )
        missing = [name for name in names if not self._is_checked(name)]
        if not missing:
            return
        stop = threading.Event()
        try:
            uninterrupted(partial(self._have, missing, stop), stop=stop)  # no interrupt reaches the libraries
        except BloomlabError:
            raise
        except Exception as error:  # whatever the libraries raise
            raise _in_words(error, self.name, self.endpoint, self.kept, self.revision) from None

    def _have(self, names: list[str], stop: threading.Event) -> None:
        with self._one_program_at_a_time():
            missing = [name for name in names if not self._is_checked(name)]
            self._check_room(missing)
            with progress(self.name, [(self.files or {})[name] for name in missing], stop) as bar:
                for name in missing:
                    if self.endpoint:
                        download(self.endpoint, self.name, self.commit, name, self.kept.parent, bar)
                    self._check(name)

    def _check_room(self, names: list[str]) -> None:
        """Refuse, before fetching, what the disk cannot hold."""
        needed = sum((self.files or {})[name].size for name in names if not (self.folder / name).exists())
        place = next(path for path in (self.kept, *self.kept.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if needed > free:
            raise DownloadError(
                f"{self.name} needs {gigabytes(needed)} on the disk, but {self.kept.parent} has {gigabytes(free)} "
                "free; make room, or name another place with cache_dir=…"
            )

    @contextmanager
    def _one_program_at_a_time(self) -> Iterator[None]:
        """If several programs want the same model, one of them fetches it."""
        if not self.endpoint:
            yield
            return
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]  # it is public

        notes = self._notes()
        notes.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(notes / "bloomlab.lock"):
            yield

    # -- checking them ----

    def _notes(self) -> Path:
        """The folder of huggingface_hub's locks: a note lost there does no harm."""
        return self.kept.parent / ".locks" / self.kept.name

    def _note(self, name: str) -> tuple[Path, str]:
        """The note that this very file was checked, and what it must say."""
        path = self.folder / name
        about = path.stat()
        return self._notes() / f"{path.resolve().name}.checked", f"{name} {about.st_size} {about.st_mtime_ns}"

    def _is_checked(self, name: str) -> bool:
        try:
            note, says = self._note(name)
            return note.read_bytes() == says.encode()  # another program can have written anything
        except OSError:
            return False

    def _check(self, name: str) -> None:
        """Compare a file with its hash. A file that fails is removed, so that it will be fetched again."""
        path = self.folder / name
        expected = (self.files or {})[name].digest or _blob(path).name  # the cache names a file by its hash
        got = digest(path, len(expected))
        if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", expected) and got != expected:
            if self.endpoint:
                for copy in (path.resolve(), _blob(path), path):
                    copy.unlink(missing_ok=True)
            done = f"it was removed, so {AGAIN}" if self.endpoint else "fetch it again when there is a network"
            raise DownloadError(
                f"{name} of {self.name} is broken: its hash is {got[:12]}… where the hub says {expected[:12]}…; {done}"
            )
        note, says = self._note(name)
        with suppress(OSError, InputError):
            _remember(note, says)


def _blob(path: Path) -> Path:
    """Where the cache keeps a file: its name is a link, perhaps to another link into a store for all models."""
    return path.parent / path.readlink() if path.is_symlink() else path


def digest(path: Path, length: int = 64) -> str:
    """A file's SHA-256 in 64 letters, or in 40 the SHA-1 that git gives it."""
    if length == 40:
        sha = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        sha = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            sha.update(part)
    return sha.hexdigest()


# -- asking the hub ----


def _ask(repo: str, revision: str, cache_dir: str | os.PathLike[str] | None) -> Source:
    """The model the hub has under this name, or the copy kept here if the hub cannot be asked."""
    address = endpoint()
    say(f"{repo}: asking {urlsplit(address).hostname} …")  # before anything slow
    from huggingface_hub import constants

    try:
        place = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
    except RuntimeError as error:  # a user without a home, or another's who is not there
        raise DownloadError(
            f"there is no folder to keep models in: {str(error).lower().rstrip('.')}; name one in cache_dir=… or "
            "HF_HUB_CACHE"
        ) from None
    kept = place / f"models--{repo.replace('/', '--')}"
    try:
        if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise ConnectionError("HF_HUB_OFFLINE is set")
        ((commit, files),) = uninterrupted(partial(listing, address, repo, revision))
    except BloomlabError:
        raise
    except Exception as error:  # whatever the libraries raise
        copy = None if status_of(error) in (401, 403, 404) else _kept(repo, revision, kept)
        if copy is None:
            raise _in_words(error, repo, address, kept, revision) from None
        say(f"{repo}: the hub does not answer; using the copy kept here, commit {copy.commit}")
        return copy
    say(f"{repo}: commit {commit}")
    return Source(repo, kept / "snapshots" / commit, commit, files, kept, address, revision)


def _kept(repo: str, revision: str, kept: Path) -> Source | None:
    """The copy in the cache, if there is one."""
    commit = revision
    with suppress(OSError, ValueError):
        commit = (kept / "refs" / revision).read_text(encoding="utf-8").strip()
    folder = kept / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not folder.is_dir():
        return None
    files = {path.name: File() for path in folder.iterdir() if path.is_file()}
    return Source(repo, folder, commit, files, kept, revision=revision)


def _in_words(error: Exception, repo: str, address: str, kept: Path, revision: str) -> DownloadError:
    host, near = urlsplit(address).hostname or "the hub", did_you_mean(repo, NAMES.values())
    return download_error(error, repo, host, kept.parent, revision, bool(token()), near)


def _remember(path: Path, text: str) -> None:
    """Write a small file whole, unless it says so already."""
    if not path.is_file() or path.read_bytes() != text.encode():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft:
            draft.write_text(text, encoding="utf-8")
