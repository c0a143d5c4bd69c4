from html.parser import HTMLParser

import pytest

from bloomlab.text.tokens import Token
from bloomlab.views.tokens.result import Tokens
from tests.views.small_trace import tokens_of


class Strip(HTMLParser):
    """The tags and the text of a strip, and the titles of its chips."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.titles: list[str] = []
        self.texts: list[str] = []
        self.directions: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]
        self.directions += [value or "" for name, value in attrs if name == "dir"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_tokens_are_a_sequence() -> None:
    tokens = Tokens(tokens_of("Leo lives."))
    assert len(tokens) == 5
    assert tokens[0] == tokens_of("Leo lives.")[0]
    assert isinstance(tokens[1:3], Tokens)
    assert tokens[1:3] == tokens_of("Leo lives.")[1:3]
    assert tokens.ids == [token.id for token in tokens]
    assert tokens[-1].text == "."
    assert tokens != tokens[:2]
    assert hash(tokens) == hash(Tokens(tokens_of("Leo lives.")))


def test_a_character_of_several_tokens_is_one_chip_with_all_its_ids_and_bytes() -> None:
    tokens = Tokens(tokens_of("a😀"))
    strip = Strip(tokens._repr_html_())
    assert strip.texts.count("😀") == 1
    assert strip.titles[1] == f"tokens 1, 2: id {tokens[1].id} {tokens[2].id}, bytes [f0 9f] [98 80]"
    assert f"{tokens[1].id} {tokens[2].id}" in strip.texts


@pytest.mark.parametrize(
    "text", ["<img src=x onerror=alert(1)>", "</span><script>x</script>", "'\"><svg onload=x>", "&lt;b&gt;"]
)
def test_hostile_text_stays_text_and_nothing_is_a_script(text: str) -> None:
    strip = Strip(Tokens([Token(1, text.encode(), text, (0, len(text)))])._repr_html_())
    assert strip.tags == {"div", "span", "bdi", "small"}
    assert text.replace(" ", "·") in strip.texts


def test_directions_follow_the_text_and_overrides_are_made_visible() -> None:
    strip = Strip(Tokens(tokens_of("القطة"))._repr_html_())
    assert strip.directions[0] == "rtl"
    assert set(strip.directions[1:]) == {"auto"}
    html = Tokens(tokens_of("a\u202eb"))._repr_html_()
    assert "⟨U+202E⟩" in html and "\u202e" not in html
    assert Strip(html).directions[0] == "ltr"


def test_the_text_form_has_a_line_for_each_token() -> None:
    lines = repr(Tokens(tokens_of("Hi 😀"))).splitlines()
    assert lines[0] == "4 tokens"
    assert [line.split()[0] for line in lines[1:]] == ["0", "1", "2", "3"]
    assert lines[1].endswith("48 69  Hi")
    assert lines[3].endswith("f0 9f  😀") and lines[4].endswith("98 80  ┘")


def test_both_forms_come_in_one_output_and_no_tokens_are_fine() -> None:
    bundle = Tokens([])._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "0 tokens"
    assert "0 tokens, 0 characters" in bundle["text/html"]
