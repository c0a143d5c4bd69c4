"""How to continue a text: every choice with its name, checked before anything runs."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from bloomlab.config import BloomConfig
from bloomlab.errors import GenerationError, did_you_mean, shorten

MAX_NEW_TOKENS = 1_000_000  # more is a slip: no machine could hold them
COLDEST = 1e-6  # below this temperature the likeliest token is always drawn, and the numbers overflow


ELSEWHERE = {  # what other libraries call it
    "stop": "stop_strings=…, the texts that end a row",
    "max_length": "max_new_tokens=…, which does not count the prompt",
    "max_tokens": "max_new_tokens=…",
    "min_length": "min_new_tokens=…, which does not count the prompt",
    "streamer": "stream(…) yields each step as it comes",
    "return_dict_in_generate": "stream(…) yields each step with its scores, and lab.write(…).steps explains them",
    "output_scores": "stream(…) yields each step with its scores, and lab.write(…).steps explains them",
    "output_logits": "stream(…) yields each step with its scores, and lab.write(…).steps explains them",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to continue a text.

    max_new_tokens       at most so many tokens are added to each row
    min_new_tokens       no row ends before it has so many
    do_sample            draw by probability; otherwise take the likeliest (greedy)
    temperature          divides the logits when sampling; 0 is greedy
    top_k, top_p         draw among the k likeliest, among the likeliest that together reach p; None: among all
    repetition_penalty   above 1: tokens already in the row become less likely
    num_beams            above 1: keep so many continuations of each row and choose the likeliest whole ones
    length_penalty       for beams: above 0 favours longer continuations, below 0 shorter ones
    early_stopping       for beams: stop once there are as many finished continuations as beams
    num_return_sequences continuations of each row, for sampling and beams
    eos_token_id         the id, or ids, that end a row; "config" is the model's own, None never stops
    pad_token_id         what follows the end of a row; None is the config's, or else the end token itself
    use_cache            keep keys and values, so that a step computes one column only
    stop_strings         a text, or texts, that end a row as soon as its last token completes one; needs `tokenizer=`
    seed                 of the random numbers; None draws other ones each time
    progress             show a bar when a generation takes longer than two seconds

    Raises:
        GenerationError: a value makes no sense.
    """

    max_new_tokens: int = 20
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False
    num_return_sequences: int = 1
    eos_token_id: int | list[int] | Literal["config"] | None = "config"
    pad_token_id: int | None = None
    use_cache: bool = True
    stop_strings: str | list[str] | None = None
    seed: int | None = None
    progress: bool = True

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Settings":
        """Settings from a dictionary; an unknown name is an error."""
        names = [field.name for field in fields(cls)]
        for name in values:
            if name in ELSEWHERE:
                raise GenerationError(f"{name} goes by another name here: {ELSEWHERE[name]}")
            if name not in names:
                raise GenerationError(f"there is no generation setting {name!r}{did_you_mean(name, names)}")
        return cls(**values)

    def __post_init__(self) -> None:
        _whole("max_new_tokens", self.max_new_tokens, 0, MAX_NEW_TOKENS)
        _whole("min_new_tokens", self.min_new_tokens, 0)
        _whole("num_return_sequences", self.num_return_sequences, 1)
        _whole("num_beams", self.num_beams, 1)
        _number("length_penalty", self.length_penalty, "(0 ignores the length)", lambda _: True)
        for name in ("do_sample", "early_stopping", "use_cache", "progress"):
            if not isinstance(getattr(self, name), bool):
                raise GenerationError(f"{name} must be True or False, but got {getattr(self, name)!r}")
        _number("temperature", self.temperature, "at least 0 (0 is greedy)", lambda t: t >= 0)
        _number("repetition_penalty", self.repetition_penalty, "above 0 (1 changes nothing)", lambda r: r > 0)
        if self.top_k == 0 and self.top_k is not False:
            raise GenerationError(
                "top_k must be a whole number of at least 1, but got 0; without it all are drawn among"
            )
        if self.top_k is not None:
            _whole("top_k", self.top_k, 1)
        if any(not isinstance(text, str) or not text for text in self.stop_texts):
            raise GenerationError(
                f"stop_strings must be a text, or a list of them, but got {shorten(self.stop_strings)}"
            )
        if self.top_p is not None:
            _number("top_p", self.top_p, "above 0 and at most 1", lambda p: 0 < p <= 1)
        if self.seed is not None:
            _whole("seed", self.seed, 0, 2**63 - 1)
        if self.min_new_tokens > self.max_new_tokens:
            raise GenerationError(
                f"min_new_tokens is {self.min_new_tokens} but max_new_tokens is {self.max_new_tokens}; raise the latter"
            )
        if self.num_beams > 1 and self.do_sample:
            raise GenerationError("beams are chosen, not drawn; pass do_sample=False, or num_beams=1")
        if self.num_beams > 1 and self.stop_strings is not None:
            raise GenerationError("beams do not look for stop_strings; end them by eos_token_id, or pass num_beams=1")
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            raise GenerationError(
                f"{self.num_beams} beams cannot give {self.num_return_sequences} continuations; raise num_beams"
            )
        if self.num_beams == 1 and self.num_return_sequences > 1 and self.greedy:
            raise GenerationError("greedy continuations are all the same; pass do_sample=True or num_beams for several")

    @property
    def stop_texts(self) -> list[str]:
        """The texts that end a row."""
        texts = self.stop_strings
        return [] if texts is None else list(texts) if isinstance(texts, list | tuple) else [texts]

    @property
    def greedy(self) -> bool:
        return not self.do_sample or self.temperature < COLDEST

    def check(self, config: BloomConfig) -> None:
        """Refuse what this model does not have: ids beyond its vocabulary, or a top_k larger than it."""
        _whole("pad_token_id", self.pad_id(config), 0, config.vocab_size - 1)
        if self.top_k is not None:
            _whole("top_k", self.top_k, 1, config.vocab_size)

    def stop_ids(self, config: BloomConfig) -> list[int]:
        """The ids that end a row."""
        ids = config.eos_token_id if self.eos_token_id == "config" else self.eos_token_id
        ids = [] if ids is None else ids if isinstance(ids, list) else [ids]
        for token_id in ids:
            _whole("eos_token_id", token_id, 0, config.vocab_size - 1)
        return ids

    def pad_id(self, config: BloomConfig) -> int:
        """The id that fills a row after its end."""
        stop = self.stop_ids(config)
        choices = [self.pad_token_id, config.pad_token_id, stop[0] if stop else None, 0]
        pad: int = next(token_id for token_id in choices if token_id is not None)
        return pad


def _whole(name: str, value: object, low: int, high: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise GenerationError(f"{name} must be a whole number {limits}, but got {shorten(value)}")


def _number(name: str, value: object, limits: str, fits: Callable[[float], bool]) -> None:
    # (an int of 400 digits is finite, but does not fit a float)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e30 or not fits(value):
        raise GenerationError(f"{name} must be a number {limits}, but got {shorten(value)}")
