"""Engines: the processes in which the parts of a model live, started here or brought along, and how they are asked.

ipyparallel starts them (on this machine, by ssh, SLURM, Kubernetes …) and carries letters; it knows nothing of BLOOM.
Every question goes to all engines, since all of them take part in every answer; the first one's answer is the answer.
"""

import contextlib
import os
import shutil
import tempfile
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from bloomlab.errors import BloomlabError, InputError, MissingPackageError, PartsError, shorten
from bloomlab.guards.uninterrupted import interrupts_wait
from bloomlab.spread import part as parts
from bloomlab.spread.group import HERE, MEETING
from bloomlab.spread.letters import NEEDED, read_letter, written

START = 120.0  # seconds that engines may take to start
GRACE = 5.0  # seconds that the other engines have, once one has failed


def client_library() -> Any:
    """ipyparallel, if it is there.

    Raises:
        MissingPackageError: it is not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of on import is between it and its own libraries
            import cloudpickle  # type: ignore[import-untyped]  # noqa: F401
            import ipyparallel  # type: ignore[import-untyped]  # neither has types
    except ImportError:
        raise MissingPackageError(NEEDED) from None
    return ipyparallel


class Engines:
    """The engines of one model.

    Args:
        engines: how many to start on this machine; or those of an ipyparallel client, as `rc[:]`.
        patience: seconds that a part waits for another before it says that it is gone.

    Raises:
        InputError: that is neither.
        MissingPackageError: ipyparallel is not installed.
        PartsError: the engines do not start or do not answer.
    """

    def __init__(self, engines: Any, patience: float = 120.0) -> None:
        self.key, self.patience = uuid.uuid4().hex, patience
        self._lock = threading.RLock()
        self._round = 0
        self._signalled = False  # whether an engine was ever sent an interrupt
        self._pending: list[tuple[int, Any]] = []
        self._dropped: list[str] = []  # caches that nobody holds on to any more
        self.end: Callable[[], None] = lambda: None
        if type(engines) is int:
            if not 1 <= engines <= 256:
                raise InputError(f"engines must be from 1 to 256 on one machine, but got {engines}")
            self.said, library = str(engines), client_library()
            self.client, cluster, folder = _start(library, engines)
            self.end = weakref.finalize(self, _stop, self.client, cluster, folder)
            self.controller: int = cluster.controller.pid
            self.view = self.client[:]
        else:
            view = engines[:] if hasattr(engines, "direct_view") else engines
            if not hasattr(view, "targets") or not hasattr(view, "client"):
                raise InputError(
                    f"engines must be how many to start here, or those of an ipyparallel client, such as rc[:]; got "
                    f"{shorten(engines)}"
                )
            self.said, self.client, self.view = "rc[:]", view.client, view
            client_library()
        targets = self.view.targets
        self.targets: list[int] = list(self.client.ids) if targets == "all" else list(targets)
        if not self.targets:
            raise InputError("the client has no engines; start some, and wait for them")
        try:
            self._meet()
            if type(engines) is int:
                self.ask(parts.watch, os.getpid(), self.controller, max(1, (os.cpu_count() or 1) // engines))
        except BaseException:
            self.end()
            raise

    def __len__(self) -> int:
        return len(self.targets)

    def _meet(self) -> None:
        """Make a group of them. On one machine they listen at 127.0.0.1 alone; on several, where others reach them."""
        addresses = self._each(_where, [()] * len(self))
        several = len({name for name, _ in addresses}) > 1
        listen = [address if several else HERE for _, address in addresses]
        begun = [(self.key, rank, len(self), address) for rank, address in enumerate(listen)]
        place = self._each(parts.begin, begun, bare=True)[0]
        self._each(parts.join, [(self.key, place)] * len(self), bare=True)

    # -- asking ------------------------------------------------------------------------------------------

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function(part, *arguments)` returns on the first part. All parts call it at the same time.

        Raises:
            BloomlabError: what went wrong there, in its words.
            PartsError: something else went wrong there, or an engine is gone or does not answer.
            InputError: an argument cannot be sent.
        """
        with self._lock:
            dropped, self._dropped = self._dropped, []
            letter = written((function, arguments) if not dropped else (_and_forget, (dropped, function, *arguments)))
            self._settle()
            found = self._told(letter)
            for _ in self.targets:  # an interrupt that was meant for an earlier call can come now, to each engine
                if not (self._signalled and any(kind == "stop" for kind, _, _ in found.values())):
                    break
                self._round += 1
                self._settle()
                found = self._told(letter)
            return self._answer(found)

    def _told(self, letter: bytes) -> dict[int, tuple[str, Any, str]]:
        """What each engine answers to a letter."""
        try:
            with interrupts_wait():  # a letter is sent whole
                answers = [
                    self._send(target, parts.answer, self.key, (self._round, self.patience), letter)
                    for target in self.targets
                ]
                self._pending = list(enumerate(answers))
            return self._heard()
        except BaseException:
            self._round += 1
            self._interrupt()
            raise

    def drop(self, key: str) -> None:
        """A cache that nobody holds on to: the next letter says so."""
        self._dropped.append(key)

    def _send(self, target: int, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self.client[target].apply_async(function, *arguments)
        except Exception as error:  # ipyparallel has its own for an engine that is gone, and none of ours
            raise PartsError(f"engine {target} is gone ({shorten(str(error), 80)}); open the model anew") from None

    def _each(self, function: Callable[..., Any], arguments: list[tuple[Any, ...]], bare: bool = False) -> list[Any]:
        """What a function returns on each engine, with arguments of its own; before there is a group."""
        sent = []
        for target, given in zip(self.targets, arguments, strict=True):
            called = (parts.answer, "", (0, 0.0), written((function, given))) if bare else (function, *given)
            sent.append(self._send(target, *called))
        self._pending = list(enumerate(sent))
        found = []
        for rank, answer in enumerate(sent):
            if not answer.wait(START):
                raise PartsError(f"engine {self.targets[rank]} does not answer; see its log, and start it anew")
            try:
                value = answer.get()
            except Exception as error:  # ipyparallel's own
                raise PartsError(
                    f"engine {self.targets[rank]} cannot take part: {shorten(str(error), 200)}; bloomlab must be "
                    "installed there, too"
                ) from None
            if bare:
                kind, value, _ = read_letter(value)
                if kind != "done":
                    raise value if kind == "error" else PartsError(f"engine {self.targets[rank]}: {value}")
            found.append(value)
        self._pending = []
        return found

    def _heard(self) -> dict[int, tuple[str, Any, str]]:
        """What each engine has said, by its rank. Once one has failed, the others have little time left."""
        found: dict[int, tuple[str, Any, str]] = {}
        until = float("inf")
        while self._pending and time.monotonic() < until:
            self._pending[0][1].wait(min(0.1, max(0.0, until - time.monotonic())))
            for rank, answer in [each for each in self._pending if each[1].ready()]:
                found[rank] = _opened(answer)
                self._pending.remove((rank, answer))
                if found[rank][0] != "done":
                    until = min(until, time.monotonic() + GRACE)
        return found

    def _answer(self, found: dict[int, tuple[str, Any, str]]) -> Any:
        """The first engine's answer, with what it has printed; or the one error."""
        if self._pending or any(kind != "done" for kind, _, _ in found.values()):
            self._round += 1
            raise self._what_went_wrong(found)
        if found[0][2]:
            print(found[0][2], end="")
        return found[0][1]

    def _what_went_wrong(self, found: dict[int, tuple[str, Any, str]]) -> BloomlabError:
        """One error for all: an engine that is gone; or what one says; or one that does not answer."""
        for rank, (kind, what, _) in sorted(found.items()):
            if kind == "gone":
                return PartsError(
                    f"engine {self.targets[rank]}, which holds part {rank} of the model, is gone ({what}); its part "
                    "is lost: open the model anew"
                )
        for _, (kind, what, said) in sorted(found.items()):
            if kind == "error":
                if said:
                    print(said, end="")
                error: BloomlabError = what
                return error
        for rank, (kind, what, said) in sorted(found.items()):
            if kind in ("other", "stop"):
                if said:
                    print(said, end="")
                return PartsError(f"on engine {self.targets[rank]}: {what or 'it was interrupted'}")
        silent = [self.targets[rank] for rank, _ in self._pending]
        if silent:
            return PartsError(
                f"engine {silent[0]} has not answered for {self.patience:g} seconds; if it is only slow, raise "
                "model.engines.patience; if it hangs, interrupt or end it, and open the model anew"
            )
        return PartsError(f"the parts lost touch: {shorten(next(what for _, what, _ in found.values() if what), 200)}")

    # -- interrupts --------------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        """Tell engines that are still at work to stop, and wait a little until they have."""
        self._pending = [each for each in self._pending if not each[1].ready()]
        if not self._pending:
            return
        with contextlib.suppress(Exception):  # one that is gone cannot be told
            targets = [self.targets[rank] for rank, _ in self._pending]
            self._signalled = True
            self.client.send_signal("SIGINT", targets=targets, block=False).wait(GRACE)
        if self._over(0.5):
            return
        # an interrupt between two lines of ipyparallel's leaves a letter without an answer; so each engine hangs up,
        # which frees those that wait for it, and one that has done so is through with all that came before
        with contextlib.suppress(BloomlabError):
            hung_up = [self._send(target, parts.hang_up, self.key) for target in self.targets]
            until = time.monotonic() + GRACE
            while time.monotonic() < until and not self._over(0.05):
                self._pending = [each for each in self._pending if not hung_up[each[0]].ready()]

    def _over(self, seconds: float) -> bool:
        """Whether no engine is at work; if some are, they have so many seconds."""
        until = time.monotonic() + seconds
        for _, answer in self._pending:
            answer.wait(max(0.0, until - time.monotonic()))
        self._pending = [each for each in self._pending if not each[1].ready()]
        return not self._pending

    def _settle(self) -> None:
        """Stop engines that are still at work on an earlier question: they can take no other."""
        until = time.monotonic() + MEETING + GRACE
        while self._pending and time.monotonic() < until:
            self._round += 1
            self._interrupt()
        if self._pending:
            raise PartsError(
                f"engine {self.targets[self._pending[0][0]]} is still at work on an earlier call and does not listen; "
                "wait, or end it and open the model anew"
            )

    def close(self) -> None:
        """End the engines that were started here; those that were brought along only let go of the model."""
        with contextlib.suppress(BloomlabError):
            self.ask(parts.close_part, self.key)
        self.end()


def _and_forget(part: Any, dropped: list[str], function: Callable[..., Any], *arguments: Any) -> Any:
    parts.forget(part, dropped)
    return function(part, *arguments)


def _opened(answer: Any) -> tuple[str, Any, str]:
    """What an engine has said; or that it is gone."""
    try:
        kind, what, said = read_letter(answer.get(timeout=0))
        return kind, what, said
    except Exception as error:  # ipyparallel's own: the engine died, or a letter of its own went wrong
        return "gone", shorten(str(error), 120), ""


def _where() -> tuple[str, str]:
    """The name of an engine's machine, and the address at which others reach it."""
    import socket

    name, address = socket.gethostname(), ""
    with contextlib.suppress(OSError):
        address = socket.gethostbyname(name)
    if not address or address.startswith("127."):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: this asks by which address one would go out
            address = probe.getsockname()[0]
    return name, address


# -- engines of one's own ----------------------------------------------------------------------------------


def _start(library: Any, count: int) -> tuple[Any, Any, str]:
    """Engines on this machine, which listen at 127.0.0.1; their files are in a folder of their own."""
    cluster: Any = None
    folder = ""
    try:
        folder = tempfile.mkdtemp(prefix="bloomlab-engines-")
        cluster = library.Cluster(
            n=count,
            profile_dir=folder,
            controller_ip=HERE,
            controller_location=HERE,
            log_level=50,
            load_profile=False,
            shutdown_atexit=False,  # `_stop` does, and quietly
            engine_timeout=int(START),
        )
        with _quiet():
            cluster.start_cluster_sync()
            client = cluster.connect_client_sync()
            client.wait_for_engines(count, timeout=START, interactive=False)
        return client, cluster, folder
    except BaseException as error:
        _stop(None, cluster, folder)
        if isinstance(error, Exception) and not isinstance(error, BloomlabError):
            raise PartsError(f"{count} engines could not be started here: {shorten(str(error), 200)}") from None
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _stop(client: Any, cluster: Any, folder: str) -> None:
    """End them, and remove what they wrote."""
    with contextlib.suppress(Exception), _quiet():
        if client is not None:
            client.close()
    with contextlib.suppress(Exception), _quiet():
        if cluster is not None:
            cluster.stop_cluster_sync()
    shutil.rmtree(folder, ignore_errors=True)
