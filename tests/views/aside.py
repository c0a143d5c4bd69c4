"""Run something where no event loop runs; once a browser test has begun, Playwright's runs in the main thread."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def aside(call: Callable[[], T]) -> T:
    """What the call gives, or raises, in a thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def in_a_loop(start: Callable[[], Coroutine[Any, Any, T]], seconds: float = 60) -> T:
    """What a coroutine gives in an event loop of its own; TimeoutError if that takes too long."""

    async def run() -> T:
        return await asyncio.wait_for(start(), seconds)

    return aside(lambda: asyncio.run(run()))
