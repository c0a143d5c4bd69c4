"""Names of tokens, and tables of them and their numbers: what is written where no script runs."""

from collections.abc import Iterable, Sequence
from typing import Any

from bloomlab.guards.markup import escaped
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token, display_tokens


def names(picture: dict[str, Any]) -> list[str]:
    """What to call each token: its chip, and of a chip of several tokens which part."""
    shown = [""] * len(picture["tokens"])
    for chip in picture["chips"]:
        for part, token in enumerate(chip["tokens"], start=1):
            shown[token] = (
                chip["shown"] if len(chip["tokens"]) == 1 else f"{chip['shown']} {part}/{len(chip['tokens'])}"
            )
    return shown


def token_names(tokens: Sequence[Token]) -> list[str]:
    """What to call each token of a text: its chip, and of a chip of several tokens which part.

    >>> first, second = Token(9, b"\\xe4\\xb8", "", (0, 1)), Token(9, b"\\xad", "", (0, 1))
    >>> token_names([first, second, Token(5, b" a", " a", (1, 3))])
    ['中 1/2', '中 2/2', '·a']
    """
    shown = [{"shown": chip.shown, "tokens": list(chip.tokens)} for chip in display_tokens(tokens)]
    return names({"tokens": tokens, "chips": shown})


HARDLY = 0.0005  # a smaller change would be written as 0.000


def change_cell(change: float, digits: int = 3) -> str:
    """A change of a number, as the page writes it: with a true minus; 0 only where there is none.

    >>> change_cell(-0.25), change_cell(0.0001), change_cell(0.0), change_cell(float("nan"))
    ('−0.250', '≈ 0', '0', '–')
    """
    if change != change:
        return "–"
    if abs(change) < HARDLY:
        return "≈ 0" if change else "0"
    return f"{change:+.{digits}f}".replace("-", "−")


def word(tokenizer: BloomTokenizerFast, token_id: int) -> str:
    """How a token of the vocabulary shows."""
    return "".join(part.shown for part in display_tokens(tokenizer.tokens_of_ids([token_id])))


def table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str = "") -> str:
    """A table that scrolls in its own box; its cells are markup, so whoever makes them escapes the texts.

    The first cell of a row is its heading.
    """
    top = "".join(f'<th scope="col" style="text-align:center">{cell}</th>' for cell in head)
    body = ""
    for first, *others in rows:
        cells = "".join(f'<td style="text-align:right">{cell}</td>' for cell in others)
        body += f'<tr><th scope="row" style="text-align:start;white-space:nowrap">{first}</th>{cells}</tr>'
    title = f'<caption style="text-align:start">{escaped(caption)}</caption>' if caption else ""
    return (
        f'<div style="overflow-x:auto"><table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def text_cell(text: str) -> str:
    """A token's name as markup: it keeps its spaces and its direction to itself.

    >>> text_cell("<b>")
    '<bdi style="font-family:monospace;white-space:pre">&lt;b&gt;</bdi>'
    """
    return f'<bdi style="font-family:monospace;white-space:pre">{escaped(text)}</bdi>'
