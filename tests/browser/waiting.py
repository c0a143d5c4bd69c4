"""Waiting for what a page will say by itself."""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page


def until(page: Page, expression: str, timeout: float = 30_000) -> None:
    """Until a JavaScript expression, or function, is true on the page; `timeout` is in milliseconds.

    It is asked from outside. Playwright's own `wait_for_function` asks again by `eval` inside the page, and a page
    whose policy forbids that ends the wait with an error, though only where the first answer was no.
    """
    end = time.monotonic() + timeout / 1000
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {timeout / 1000:g} s: {expression}")
        page.wait_for_timeout(20)


def comes_to(page: Page, read: Callable[[], object], wanted: object, timeout: float = 30_000) -> None:
    """Until what is read is as wanted: a kernel, or a drawing, may still be on its way to it."""
    end = time.monotonic() + timeout / 1000
    while (found := read()) != wanted:
        assert time.monotonic() < end, f"not within {timeout / 1000:g} s: {wanted!r}, but {found!r}"
        page.wait_for_timeout(20)


def redrawn(page: Page) -> None:
    """Once the page has been drawn anew, and what waits for that (requestAnimationFrame, ResizeObserver) has run."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")


def settled(page: Page, expression: str, quiet: float = 500, timeout: float = 30_000) -> Any:
    """The value of a JavaScript expression once it has been the same for `quiet` milliseconds: what was asked for
    before may still be on its way."""
    end = time.monotonic() + timeout / 1000
    value, since = page.evaluate(expression), time.monotonic()
    while time.monotonic() - since < quiet / 1000:
        if time.monotonic() > end:
            raise TimeoutError(f"it never stays the same for {quiet / 1000:g} s: {expression}")
        page.wait_for_timeout(20)
        if (now := page.evaluate(expression)) != value:
            value, since = now, time.monotonic()
    return value
