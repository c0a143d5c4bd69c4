"""What every test can count on: no network, and the same random examples each time."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is first imported
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # no warning when a test forks
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"  # the future default; the old one warns
os.environ["MPLBACKEND"] = "agg"
# jax compiles for one call what a person calls often: a third of its tests' time went into making that quick
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: threads only get in each other's way

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background jobs ignore Ctrl-C; tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import torch
from hypothesis import settings

from tests.budget import Budget

settings.register_profile("bloomlab", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("bloomlab")

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """A test that reaches beyond this machine fails instead of passing only when there is a network."""
    connect = socket.socket.connect

    def connect_to_loopback(self: socket.socket, address: Any) -> None:
        local = self.family == getattr(socket, "AF_UNIX", None) or str(address[0]).startswith(LOOPBACK)
        if not local:
            raise AssertionError(f"a test tried to reach {address}; tests use no network")
        connect(self, address)

    socket.socket.connect = connect_to_loopback  # type: ignore[method-assign]
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once a browser test has begun, Playwright's event loop counts as running; the other tests know nothing of it."""
    if request.node.get_closest_marker("browser"):
        yield
        return
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """No test leaves gradients off, and none changes what Ctrl-C does (whoever runs a notebook here leaves it deaf)."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)
    grad = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert grad, "this test leaves gradients off"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(), "budget")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The doctests of bloomlab.jax are slow: each compiles the little it computes."""
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.path.parent.name == "jax":
            item.add_marker(pytest.mark.slow)
