"""Run something where no event loop runs; once a browser test has begun, Playwright's runs in the main thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def aside(call: Callable[[], T]) -> T:
    """What the call gives, or raises, in a thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
