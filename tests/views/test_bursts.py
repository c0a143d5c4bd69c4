"""A page sends in bursts: a slider, a held arrow key, fast typing. The model runs for the last message only."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bloomlab.lab import Lab
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import in_a_loop

TEXT = "Leo 😀 lives."
VIEWS: dict[str, Callable[[Lab], Any]] = {
    "explorer": lambda lab: lab.explore(TEXT),
    "tokens": lambda lab: lab.tokens(TEXT).view,
    "attention": lambda lab: lab.attention(TEXT),
    "alibi": lambda lab: lab.alibi(TEXT),
    "hidden": lambda lab: lab.hidden_states(TEXT),
    "predictions": lambda lab: lab.predictions(TEXT),
}


@pytest.fixture
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


def count_runs(lab: Lab) -> list[int]:
    """A list that grows with every pass through the model."""
    runs: list[int] = []
    forward = lab.model.transformer.forward

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(len(runs))
        return forward(*arguments, **options)

    lab.model.transformer.forward = counted  # type: ignore[method-assign]
    return runs


async def until(ready: Callable[[], bool]) -> None:
    while not ready():
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
def test_a_hundred_texts_typed_at_once_run_the_model_at_most_twice(name: str, lab: Lab) -> None:
    async def burst() -> tuple[Any, list[int]]:
        view = VIEWS[name](lab)
        runs = count_runs(lab)
        for number in range(1, 101):
            view.set_state({"typed": {"text": f"text {number}", "number": number}})
        await until(lambda: view.answered == 100)
        return view, runs

    view, runs = in_a_loop(burst)
    assert view.text == "text 100" and view.state == "ready"
    assert len(runs) <= (0 if name == "tokens" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
def test_a_hundred_moves_of_the_selection_run_no_model(name: str, lab: Lab) -> None:
    async def burst() -> list[int]:
        view = VIEWS[name](lab)
        runs = count_runs(lab)
        for move in range(100):
            view.set_state({"layer": move % 3, "head": move % 6, "query": move % 12, "key": move % 5})
        await asyncio.sleep(0.1)
        return runs

    assert in_a_loop(burst) == []
