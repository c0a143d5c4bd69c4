"""When a row ends: an end token, a stop string, the time, or a function of one's own."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import GenerationError, shorten
from bloomlab.generation.settings import Settings

Ends = Callable[[Tensor, Tensor], Tensor]
"""(ids (row, pos), scores (row, vocab) that the last ids were chosen by) -> (row,) whether each row ends."""


def endings(settings: Settings, config: BloomConfig, tokenizer: Any, device: torch.device) -> Ends:
    """The function that says which rows end; the clock of `max_time` runs from here on.

    Raises:
        GenerationError: there are stop strings, but no tokenizer to read them with.
    """
    stop_ids = torch.tensor(settings.stop_ids(config), dtype=torch.long, device=device)
    stops = stop_finder(settings, tokenizer)
    until = None if settings.max_time is None else time.monotonic() + settings.max_time

    def ends(ids: Tensor, scores: Tensor) -> Tensor:
        ended = torch.isin(ids[:, -1], stop_ids)
        if stops:
            ended = ended | torch.tensor([stops(row) for row in ids.tolist()], device=device)
        if until is not None and time.monotonic() > until:
            ended = torch.ones_like(ended)
        for place, function in enumerate(settings.stopping_criteria or ()):
            ended = ended | _answer(function(ids, scores), ended, place)
        return ended

    return ends


def _answer(answer: Any, ended: Tensor, place: int) -> Tensor:
    """What a function of one's own says of the rows: one answer for all, or one for each."""
    if isinstance(answer, bool):
        return torch.full_like(ended, answer)
    if not isinstance(answer, Tensor) or answer.dtype != torch.bool or answer.shape not in ((), ended.shape):
        came = f"{answer.dtype} {tuple(answer.shape)}" if isinstance(answer, Tensor) else shorten(answer)
        raise GenerationError(
            f"stopping_criteria[{place}] must return True, False or a bool tensor {tuple(ended.shape)}, but gave {came}"
        )
    return answer.to(ended.device)


def stop_finder(settings: Settings, tokenizer: Any) -> Callable[[Sequence[int]], bool] | None:
    """A function that says of a row of ids whether its last token completes a stop string; None if there are none.

    As in transformers, the text may begin before the last token, even in the prompt, and end inside it. What stands
    after it in that token stays.

    Raises:
        GenerationError: there are stop strings, but no tokenizer to read them with.
    """
    texts = [text.encode() for text in settings.stop_texts]
    if not texts:
        return None
    if not hasattr(tokenizer, "tokens_of_ids"):
        raise GenerationError("stop_strings are texts, so pass the tokenizer, too: generate(…, tokenizer=tokenizer)")
    longest = max(map(len, texts))

    def stops(row: Sequence[int]) -> bool:
        last = read = tokenizer.tokens_of_ids([row[-1]])[0].bytes
        for token_id in reversed(row[:-1]):
            if len(read) >= longest + len(last) - 1:
                break
            read = tokenizer.tokens_of_ids([token_id])[0].bytes + read
        before = len(read) - len(last)
        return any(read.find(text, max(0, before - len(text) + 1)) >= 0 for text in texts)

    return stops
