"""How to continue a text: every choice with its name, checked before anything runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import GenerationError, NearMatches, shorten
from bloomlab.generation.names import NOT_FOR_A_CALL, check_names
from bloomlab.generation.values import CHECKS, as_biases, flat, whole

COLDEST = 1e-6  # below this temperature the likeliest token is always drawn, and the numbers overflow


@dataclass(frozen=True, kw_only=True)
class Settings(NearMatches):
    """How to continue a text. `of` takes `max_length` and `min_length`, too, which count the prompt; and a
    `generation_config`, a dictionary of settings or what transformers calls so, over which the others win.

    How long:
    max_new_tokens       at most so many tokens are added to each row
    min_new_tokens       no row ends before it has so many
    eos_token_id         the id, or ids, that end a row; "config" is the model's own, None never stops
    pad_token_id         what follows the end of a row; None is the config's, or else the end token itself
    stop_strings         a text, or texts, that end a row as soon as its last token completes one; needs `tokenizer=`
    max_time             all rows end with the first token after so many seconds
    stopping_criteria    functions (ids, scores) -> whether the rows end: True or False, or a tensor (batch)

    What may come next (`rules` says how, in this order):
    sequence_bias        {(5, 6): -2.0}: added to the score of 6 after 5; -inf forbids it
    repetition_penalty   above 1: tokens already in the row become less likely
    no_repeat_ngram_size no run of so many tokens comes twice in a row
    bad_words_ids        lists of ids that do not come
    forced_eos_token_id  the id, or ids, of which one comes last, where a row reaches max_new_tokens
    remove_invalid_values  go on where the model gives scores that are no numbers, as if they were 0
    exponential_decay_length_penalty  (start, factor): after so many new tokens the end is ever likelier
    suppress_tokens      ids that do not come; begin_suppress_tokens: not as the first new token
    logits_processor     functions (ids, scores) -> scores

    What is drawn (`sampling` says how, in this order):
    do_sample            draw by probability; otherwise take the likeliest (greedy)
    temperature          divides the scores; 0 is greedy
    top_k, top_p         draw among the k likeliest, among the likeliest that together reach p; None (or 0): among all
    min_p                drop what is less than p times as likely as the likeliest
    typical_p            draw among those of usual surprise that together reach p
    epsilon_cutoff, eta_cutoff  drop what is less likely than this, or than a bound that falls where the choice is open
    renormalize_logits   log_softmax of the scores at the end
    seed                 of the random numbers; None draws other ones each time
    num_return_sequences continuations of each row, for sampling and beams

    Beams:
    num_beams            above 1: keep so many continuations of each row and choose the likeliest whole ones
    length_penalty       above 0 favours longer continuations, below 0 shorter ones
    early_stopping       True: stop once there are as many finished as beams; "never": only where none can get better

    use_cache            keep keys and values, so that a step computes one column only
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
    min_p: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    renormalize_logits: bool = False
    sequence_bias: Any = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    forced_eos_token_id: int | list[int] | None = None
    remove_invalid_values: bool = False
    exponential_decay_length_penalty: tuple[int, float] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    logits_processor: list[Callable[[Tensor, Tensor], Tensor]] | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    eos_token_id: int | list[int] | Literal["config"] | None = "config"
    pad_token_id: int | None = None
    use_cache: bool = True
    stop_strings: str | list[str] | None = None
    max_time: float | None = None
    stopping_criteria: list[Callable[[Tensor, Tensor], Any]] | None = None
    seed: int | None = None
    progress: bool = True

    @classmethod
    def of(cls, given: dict[str, Any], n_prompt: int | None = None) -> "Settings":
        """Settings from a dictionary, for a prompt of so many columns; an unknown name is an error."""
        given = unfolded(given)
        check_names(given, NAMES)
        return cls(**lengths(given, n_prompt))

    def __post_init__(self) -> None:
        for name, check in CHECKS.items():
            check(name, getattr(self, name))
        if self.min_new_tokens > self.max_new_tokens:
            raise GenerationError(
                f"min_new_tokens is {self.min_new_tokens} but max_new_tokens is {self.max_new_tokens}; raise the latter"
            )
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
        top = config.vocab_size - 1
        whole(0, top)("pad_token_id", self.pad_id(config))
        if self.top_k:
            whole(1, config.vocab_size)("top_k", self.top_k)
        for name in ("forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids"):
            for token_id in flat(getattr(self, name)):
                whole(0, top)(f"each id in {name}", token_id)
        for token_id in flat([] if self.sequence_bias is None else list(as_biases(self.sequence_bias))):
            whole(0, top)("each id in sequence_bias", token_id)
        if self.exponential_decay_length_penalty is not None and not self.stop_ids(config):
            raise GenerationError(
                "exponential_decay_length_penalty makes the end likelier, but nothing ends a row; pass eos_token_id=…"
            )

    def stop_ids(self, config: BloomConfig) -> list[int]:
        """The ids that end a row."""
        ids = flat(config.eos_token_id if self.eos_token_id == "config" else self.eos_token_id)
        for token_id in ids:
            whole(0, config.vocab_size - 1)("eos_token_id", token_id)
        return ids

    def pad_id(self, config: BloomConfig) -> int:
        """The id that fills a row after its end."""
        stop = self.stop_ids(config)
        choices = [self.pad_token_id, config.pad_token_id, stop[0] if stop else None, 0]
        pad: int = next(token_id for token_id in choices if token_id is not None)
        return pad


NAMES = (*(each.name for each in fields(Settings)), "max_length", "min_length")
"""What a setting may be called."""


def unfolded(given: dict[str, Any]) -> dict[str, Any]:
    """The settings, with those of a `generation_config` among them; where both say something, the call's own wins.

    >>> unfolded({"generation_config": {"top_k": 5, "do_sample": True}, "top_k": 2})
    {'top_k': 2, 'do_sample': True}

    Raises:
        GenerationError: it is not a dictionary, nor an object that gives one.
    """
    config = given.get("generation_config")
    changed = getattr(config, "to_diff_dict", lambda: config)()
    if not isinstance(changed, Mapping | None):
        raise GenerationError(f"generation_config must be a dictionary of settings, but got {shorten(config)}")
    found = {name: value for name, value in (changed or {}).items() if value is not None and name not in NOT_FOR_A_CALL}
    return {**found, **{name: value for name, value in given.items() if name != "generation_config"}}


def lengths(given: dict[str, Any], n_prompt: int | None) -> dict[str, Any]:
    """The settings, with max_length and min_length, which count the prompt, as numbers of new tokens.

    A number of new tokens that is given, too, wins. None leaves any of the four out.

    >>> lengths({"max_length": 12, "min_length": 3}, n_prompt=5)
    {'max_new_tokens': 7, 'min_new_tokens': 0}

    Raises:
        GenerationError: they are not numbers of tokens, or the prompt leaves no room.
    """
    limits = ("max_length", "min_length", "max_new_tokens", "min_new_tokens")
    settings = {name: value for name, value in given.items() if name not in limits or value is not None}
    for name in ("max_length", "min_length"):
        if name not in settings:
            continue
        length, new = settings.pop(name), f"{name[:4]}new_tokens"
        whole(0)(name, length)
        if new in settings:
            continue
        if n_prompt is None:
            raise GenerationError(f"{name} counts the prompt, which is not known here; pass {new}=…")
        if name == "max_length" and length <= n_prompt:
            raise GenerationError(
                f"max_length is {length}, but the prompt has {n_prompt} columns already; raise it, or pass {new}=…"
            )
        settings[new] = max(length - n_prompt, 0)
    return settings
