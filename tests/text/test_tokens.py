"""What a token shows as."""

import unicodedata
from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from bloomlab.text.tokens import Token, character_of_each_byte, display_tokens, tokens_in, unseen, visible


def tokens_of(*parts: bytes) -> list[Token]:
    return tokens_in(b"".join(parts), range(len(parts)), parts)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at these places."""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.slow
@given(st.text(max_size=30), st.lists(st.integers(min_value=0), max_size=20))
def test_however_a_text_is_cut_its_display_tokens_join_to_it_again(text: str, cuts: list[int]) -> None:
    tokens = tokens_of(*pieces(text.encode(), cuts))
    parts = display_tokens(tokens)
    assert "".join(part.text for part in parts) == text
    assert b"".join(part.bytes for part in parts) == text.encode()
    assert [pos for part in parts for pos in part.tokens] == list(range(len(tokens)))


@given(st.text(max_size=30), st.lists(st.integers(min_value=0), max_size=20))
def test_a_display_token_is_never_longer_than_it_must_be(text: str, cuts: list[int]) -> None:
    """Inside a display token, no edge between two tokens is also an edge between two characters."""
    parts = pieces(text.encode(), cuts)
    for shown in display_tokens(tokens_of(*parts)):
        data = b""
        for pos in shown.tokens[:-1]:
            data += parts[pos]
            with pytest.raises(UnicodeDecodeError):
                data.decode()


@pytest.mark.slow
@given(st.text(max_size=30), st.lists(st.integers(min_value=0), max_size=20))
def test_a_span_holds_exactly_the_characters_that_the_bytes_touch(text: str, cuts: list[int]) -> None:
    byte = 0
    for token in tokens_of(*pieces(text.encode(), cuts)):
        start, stop = token.span
        before, inside = len(text[:start].encode()), len(text[start:stop].encode())
        assert before <= byte < before + len(text[start].encode())
        assert before + inside >= byte + len(token.bytes) > before + len(text[start : stop - 1].encode())
        assert token.text in ("", text[start:stop])
        byte += len(token.bytes)


@pytest.mark.slow
@given(st.lists(st.binary(max_size=4), max_size=12))
def test_any_bytes_at_all_have_display_tokens_and_spans(parts: list[bytes]) -> None:
    tokens = tokens_of(*parts)
    text = b"".join(parts).decode("utf-8", "replace")
    assert sorted(pos for part in display_tokens(tokens) for pos in part.tokens) == list(range(len(parts)))
    assert all(0 <= token.span[0] <= token.span[1] <= len(text) for token in tokens)
    assert all(part.shown for part in display_tokens(tokens))


@given(st.binary(max_size=30))
def test_each_byte_belongs_to_the_character_that_decoding_makes_of_it(data: bytes) -> None:
    characters = character_of_each_byte(data)
    assert len(set(characters)) == len(data.decode("utf-8", "replace"))
    assert characters == sorted(characters)


def test_tokens_inside_one_character_share_its_span_and_its_display_token() -> None:
    tokens = tokens_of(b"a", b"\xf0\x9f", b"\x99", b"\x82", b"b")
    assert [token.span for token in tokens] == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
    assert [token.text for token in tokens] == ["a", "", "", "", "b"]
    assert [(part.shown, part.tokens) for part in display_tokens(tokens)] == [
        ("a", (0,)),
        ("🙂", (1, 2, 3)),
        ("b", (4,)),
    ]


def test_a_token_that_ends_one_character_and_starts_the_next_joins_both() -> None:
    data = "中中".encode()
    tokens = tokens_of(data[:1], data[1:4], data[4:])
    assert [token.span for token in tokens] == [(0, 1), (0, 2), (1, 2)]
    assert [part.text for part in display_tokens(tokens)] == ["中中"]


def test_broken_bytes_do_not_swallow_their_neighbours() -> None:
    parts = display_tokens(tokens_of(b"\xe4", b"a", b"\x80", b"b", b"\xe4\xb8"))
    assert [part.shown for part in parts] == ["⟨0xE4⟩", "a", "⟨0x80⟩", "b", "⟨0xE4⟩⟨0xB8⟩"]
    assert [part.text for part in parts] == ["\ufffd", "a", "\ufffd", "b", "\ufffd"]


def test_a_row_of_the_embedding_that_stands_for_no_text_still_shows() -> None:
    (part,) = display_tokens([Token(250700, b"", "", (0, 0))])
    assert (part.text, part.shown) == ("", "⟨id 250700⟩")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" world", "·world"),
        ("\n\t\r", "↵⇥␍"),
        ("\x00\x1b\x7f", "␀␛␡"),
        ("\x85\u00a0\u3000", "⟨U+0085⟩⟨U+00A0⟩⟨U+3000⟩"),
        ("\u202eevil\u2066", "⟨U+202E⟩evil⟨U+2066⟩"),
        ("\u200b\u200d\ufeff\u2028", "⟨U+200B⟩⟨U+200D⟩⟨U+FEFF⟩⟨U+2028⟩"),
        ("\U000e0041\ufffe\ue000\u3164", "⟨U+E0041⟩⟨U+FFFE⟩⟨U+E000⟩⟨U+3164⟩"),
        ("\ud800\udce4", "⟨U+D800⟩⟨0xE4⟩"),
        ("\u0947x", "◌\u0947x"),
        ("नमस्ते", "नमस्ते"),
        ("مرحبا", "مرحبا"),
        ("🙂中ñ<b>", "🙂中ñ<b>"),
        ("", ""),
    ],
)
def test_invisible_characters_get_a_mark_and_all_others_stay(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_invisible_is_left(text: str) -> None:
    assert not {unicodedata.category(character) for character in visible(text)} & {"Cc", "Cf", "Zs", "Zl", "Zp", "Cs"}


@pytest.mark.parametrize("mark", ["\ufe0f", "\ufe0e", "\ufe00", "\u180b", "\u180f", "\u17b4"])
def test_a_mark_without_ink_is_named_where_it_stands_alone(mark: str) -> None:
    assert visible(mark) == f"⟨U+{ord(mark):04X}⟩"
    assert visible(f"\u2764{mark}") == f"\u2764{mark}"
    assert unseen(f"\u2764{mark}") == [f"U+{ord(mark):04X} {unicodedata.name(mark).lower()}"]


IGNORED = regex.compile(
    r"\p{Default_Ignorable_Code_Point}|\p{Bidi_Control}|\p{Variation_Selector}|[\p{Cc}\p{Zl}\p{Zp}]"
)


@pytest.mark.slow
def test_all_that_unicode_lets_a_font_leave_out_is_named() -> None:
    faceless = [character for character in map(chr, range(0x110000)) if IGNORED.match(character)]
    assert len(faceless) > 4000
    for character in faceless:
        name = f"U+{ord(character):04X}"
        assert visible(character) in (f"⟨{name}⟩", *"↵⇥␍␡", chr(0x2400 + ord(character) % 0x80))
        assert visible(character) not in (character, f"◌{character}")
        if unicodedata.category(character) != "Cc":
            assert unseen(f"a{character}b") == [f"{name} {unicodedata.name(character, 'without a name').lower()}"]
    shown = [visible(character) for character in faceless]
    assert len(set(shown)) == len(shown)  # no two alike
