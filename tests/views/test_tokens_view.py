import asyncio
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bloomlab.errors import InputError
from bloomlab.lab import Lab, load
from bloomlab.lens import costs
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.text.tokens import Token, display_tokens
from bloomlab.views.tokens.languages import texts_to_compare, translations
from bloomlab.views.tokens.payload import LONGEST, replay_payload, tokens_payload
from bloomlab.views.tokens.still import stages
from bloomlab.views.view import View
from tests.text.small_tokenizer import TEXTS, trained_json
from tests.views.aside import aside, in_a_loop
from tests.views.lone import tokens_view
from tests.views.small_trace import Values, small_trace

SMALL = BloomTokenizerFast(tokenizer_object=Tokenizer.from_str(trained_json()))
TEXT = "hello 世界 🙂"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return load()


def read_small(text: str) -> Any:
    """What lab.tokens reads: the tokens, and no number of a model."""
    trace = small_trace("x")
    return Values({}, text=text, tokens=SMALL.tokens(text), config=trace.config, provenance={"model": "small"})


def never(text: str) -> Any:
    raise AssertionError(f"the model was run over {text!r}")


def payload_of(text: str) -> dict[str, Any]:
    picture: dict[str, Any] = tokens_payload(read_small(text), SMALL)["picture"]
    return picture


# ---- the payload ----


def check_payload(text: str) -> None:
    """Chips, tokens and the end of every replay are all the text's UTF-8, and JSON can carry it."""
    picture = json.loads(json.dumps(payload_of(text)))
    of_tokens = [bytes.fromhex(token["bytes"]) for token in picture["tokens"]]
    assert b"".join(of_tokens) == text.encode()
    assert [token for chip in picture["chips"] for token in chip["tokens"]] == list(range(len(of_tokens)))
    for place, chip in enumerate(picture["chips"]):
        own = [of_tokens[token] for token in chip["tokens"]]
        replay = picture["replays"][picture["replay_of"][place]]
        assert bytes.fromhex(replay["bytes"]) == b"".join(own)
        assert picture["built"][place] or "<" in text
        if picture["built"][place] and not replay["long"]:
            assert [bytes.fromhex(data) for data, _ in stages(replay)[-1]] == own


@pytest.mark.parametrize("text", TEXTS[1:])
def test_chips_and_their_replays_make_the_text(text: str) -> None:
    check_payload(text)


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_chips_and_their_replays_make_any_text(text: str) -> None:
    check_payload(text)


@pytest.mark.slow
@given(st.text("abhelo wrdथाि中世🙂مرحبا", min_size=1, max_size=40))
def test_chips_and_their_replays_make_a_text_where_much_is_joined(text: str) -> None:
    check_payload(text)


def test_of_all_pairs_the_lowest_rank_is_joined_and_the_leftmost_of_equals() -> None:
    for replay in payload_of(" ".join(TEXTS[2:11]))["replays"]:
        for at, _, ranks in replay["steps"]:
            known = [rank for rank in ranks if rank is not None]
            assert ranks[at] == min(known) and ranks.index(ranks[at]) == at


def test_a_part_that_is_no_whole_character_shows_nothing() -> None:
    replay = replay_payload("中".encode(), {(b"\xe4", b"\xb8"): 0, (b"\xe4\xb8", b"\xad"): 5})
    assert replay["start"] == ["", "", ""]
    assert replay["steps"] == [[0, "", [0, None]], [0, "中", [5]]]


def test_a_very_long_token_is_not_replayed() -> None:
    replay = replay_payload(b"a" * (LONGEST + 1), {(b"a", b"a"): 0})
    assert replay["long"] and replay["steps"] == []
    assert payload_of("x" * 300)["built"] == [True] * len(payload_of("x" * 300)["chips"])


def test_a_special_token_is_not_built_by_merges() -> None:
    picture = payload_of("<s>hello</s>")
    assert picture["chips"][0]["shown"] == "<s>"
    assert picture["built"][0] is False and picture["built"][1] is True


def test_tokens_that_the_tokenizer_would_have_joined_are_not_built() -> None:
    """A model may write two tokens where the tokenizer makes one: the picture says that merges did not make these."""
    trace = read_small("中")
    one = next(text for text in "éс世中" if len(SMALL.tokens(text)) == 1)
    start, end = one.encode()[:1], one.encode()[1:]
    trace.tokens = [Token(7, start, "", (0, 1)), Token(8, end, "", (0, 1))]
    assert tokens_payload(trace, SMALL)["picture"]["built"] == [False]


def test_the_counts_are_those_of_the_lens() -> None:
    picture = payload_of("Where is it? There it is.")
    found = costs.count(SMALL.tokens("Where is it? There it is."))
    assert picture["costs"]["per_word"] == found.tokens_per_word
    assert picture["costs"]["per_byte"] == found.tokens_per_byte
    assert picture["costs"]["bits"] is None
    assert payload_of("你好")["costs"]["words"] is None


# ---- the comparison ----


def test_a_text_that_the_world_knows_is_compared_with_its_translations() -> None:
    texts, note = texts_to_compare("Leo lives in Oslo.", None)
    assert note == "" and len(texts) == 10
    assert texts["English"] == "Leo lives in Oslo." and texts["中文"] == "里奥住在奥斯陆。"


def test_the_typed_text_stays_as_it_is_among_its_translations() -> None:
    for text in translations("Leo has a cat. He lives in Oslo.").values():
        assert text in texts_to_compare(text, None)[0].values()


def test_another_text_stands_first_and_the_view_says_what_the_others_are() -> None:
    texts, note = texts_to_compare("No model is an island.", None)
    assert next(iter(texts.items())) == ("this text", "No model is an island.")
    assert len(texts) == 11 and "translations=" in note
    given = {"de": "Kein Modell ist eine Insel."}
    assert texts_to_compare("No model is an island.", given) == ({"this text": "No model is an island.", **given}, "")
    assert texts_to_compare(given["de"], given) == (given, "")


@pytest.mark.slow
def test_what_is_compared_is_what_the_lens_says(lab: Lab) -> None:
    view = lab.tokens("Leo lives in Oslo.").view
    found = view.compare()
    assert len(found) == 10
    for name, cost in found.items():
        row = next(row for row in view.comparison["rows"] if row["name"] == name)
        assert cost == costs.cost(lab.trace(row["text"], read=costs.READ))
        assert row["bits"] == cost.bits_per_byte and row["per_word"] == cost.tokens_per_word
        assert "".join(said for said, _ in row["chips"]) == row["text"]
        assert sum(parts for _, parts in row["chips"]) == cost.tokens
    assert view.comparison["state"] == "done" and view.comparison["done"] == 10
    assert "weights" in view.comparison["stamp"] and view.comparison["stamp"] in view._still()


def test_no_model_runs_before_the_comparison_is_opened() -> None:
    view = tokens_view(read_small, SMALL, TEXT, measure=never)
    view.show("another text")
    view.query = 1
    repr(view), view._repr_mimebundle_(), view.code
    assert view.comparison["state"] == "idle"


def test_opening_counts_at_once_and_measures_a_text_at_a_time() -> None:
    """In a running event loop: rows without bits first, then one more with each step; closing stops."""
    read: list[str] = []

    def measure(text: str) -> Any:
        read.append(text)
        return small_costs(text)

    async def open_and_close() -> View:
        view = tokens_view(read_small, SMALL, "Leo lives in Oslo.", measure=measure)
        view.comparing = "open"
        assert read == [] and [row["bits"] for row in view.comparison["rows"]] == [None] * 10
        while len(read) < 3:
            await asyncio.sleep(0.005)
        view.comparing = "stopped"
        await asyncio.sleep(0.05)
        return view

    view = in_a_loop(open_and_close)
    assert view.comparison["state"] == "stopped" and len(read) == view.comparison["done"] <= 4
    assert view.costs.keys() == {row["name"] for row in view.comparison["rows"] if row["bits"] is not None}
    going_on = {"comparison": {**view.comparison, "state": "running"}, "mattered": view.mattered}
    assert view.panels["tokens"].saved(view.trace, going_on)["comparison"]["state"] == "stopped"


def small_costs(text: str) -> Any:
    """A trace with logits that favour nothing."""
    tokens = SMALL.tokens(text)
    ids = torch.tensor([[token.id for token in tokens]])
    values = {"logits": torch.zeros(1, len(tokens), len(SMALL))}
    of_trace = {"config": small_trace("x").config, "provenance": {"model": "small"}}
    return Values(values, text=text, tokens=tokens, ids=ids, **of_trace)


@pytest.mark.slow
def test_a_hundred_wishes_to_open_measure_once() -> None:
    read: list[str] = []

    def measure(text: str) -> Any:
        read.append(text)
        return small_costs(text)

    async def burst() -> None:
        view = tokens_view(read_small, SMALL, "Leo lives in Oslo.", measure=measure)
        for i in range(100):
            view.comparing = ("open", "closed")[i % 2]
        view.comparing = "open"
        while view.comparison["state"] == "running":
            await asyncio.sleep(0.005)

    in_a_loop(burst)
    assert len(read) == 10


def test_a_new_text_is_compared_while_the_comparison_is_open() -> None:
    view = tokens_view(read_small, SMALL, "Leo lives in Oslo.", measure=small_costs)
    aside(view.compare)
    aside(lambda: view.show("Leo has a cat."))
    assert view.comparison["rows"][0]["text"] == "Leo has a cat." and view.comparison["state"] == "done"
    view.comparing = "closed"
    view.show("Leo lives in Oslo.")
    assert view.comparison["state"] == "idle" and view.comparison["rows"] == [] and view.costs == {}


def test_an_error_and_ctrl_c_keep_what_is_finished() -> None:
    def failing(stop: type[BaseException]) -> Callable[[str], Any]:
        def measure(text: str) -> Any:
            if "vive" in text:
                raise stop("the text is too long here")
            return small_costs(text)

        return measure

    view = tokens_view(read_small, SMALL, "Leo lives in Oslo.", measure=failing(InputError))
    with pytest.raises(InputError, match="too long here"):
        aside(view.compare)
    assert view.comparison["state"] == "error" and view.comparison["message"] == "the text is too long here"
    view.comparing = "closed"
    aside(lambda: setattr(view, "comparing", "open"))  # from the page: shown, not raised
    assert view.comparison["state"] == "error" and view.comparison["done"] == 2
    view = tokens_view(read_small, SMALL, "Leo lives in Oslo.", measure=failing(KeyboardInterrupt))
    assert set(aside(view.compare)) == {"English", "Français"} and view.comparison["state"] == "stopped"


def test_without_a_model_or_a_text_the_comparison_says_so() -> None:
    view = tokens_view(read_small, SMALL, TEXT)
    view.comparing = "open"
    assert view.comparison["state"] == "error" and "without a model" in view.comparison["message"]
    with pytest.raises(InputError, match="without a model"):
        view.compare()
    with pytest.raises(InputError, match="show a text first"):
        tokens_view(read_small, SMALL).compare()


# ---- the view ----


def test_the_chosen_token_moves_inside_a_shorter_text() -> None:
    view = tokens_view(read_small, SMALL, TEXT)
    view.query = 10**6
    assert view.query == len(SMALL.tokens(TEXT)) - 1
    view.show("ab")
    assert view.query < len(SMALL.tokens("ab"))
    view.query = -3
    assert view.query == 0


def test_the_eye_goes_first_to_the_token_of_most_bytes(lab: Lab) -> None:
    view = lab.tokens("Leo lives in Oslo.").view
    assert lab.tokens(view.text)[view.query].text == " lives"
    assert view.picture["chips"][view.chip]["shown"] == "·lives"


@pytest.mark.parametrize("text", ["Leo lives in Oslo.", "猫😀", "'\"\\{chip} TEXT SETUP\n"])
def test_the_code_gives_what_is_shown(lab: Lab, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = lab.tokens(text)
    tokens.view.query = len(tokens) - 1
    exec(tokens.code, {})
    said = capsys.readouterr().out
    shown = display_tokens(tokens)[-1]
    assert repr(tokens) in said and str(shown.ids) in said
    ranks = [step[2][step[0]] for step in tokens.view.picture["replays"][tokens.view.picture["replay_of"][-1]]["steps"]]
    assert re.findall(r"^(\d+) b['\"]", said, re.MULTILINE) == [str(rank) for rank in ranks]


@pytest.mark.slow
def test_the_code_of_a_comparison_gives_its_numbers(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    view = lab.tokens("Leo lives in Oslo.").view
    found = view.compare()
    exec(view.code, {})
    said = capsys.readouterr().out
    assert all(f"{name} {cost} " in said for name, cost in found.items())


def test_a_trace_is_shown_as_well_as_a_text(lab: Lab) -> None:
    trace = lab.trace("Leo lives in Oslo.", read=["attn.probs"])
    tokens = lab.tokens(trace)
    assert tokens == lab.tokens("Leo lives in Oslo.")
    assert "weights" in tokens.view.picture["stamp"] and tokens.view.trace is trace
    assert "read by the tokenizer alone" in lab.tokens("Leo").view.picture["stamp"]


def test_counting_tokens_makes_no_view(lab: Lab) -> None:
    tokens = lab.tokens("Leo lives in Oslo.")
    assert len(tokens) == 5 and tokens[1].text == " lives" and "view" not in vars(tokens)
    assert tokens.view is tokens.view


def test_a_list_without_a_lab_has_no_view() -> None:
    from bloomlab.views.tokens.result import Tokens

    with pytest.raises(InputError, match=r"lab\.tokens\(text\)"):
        _ = Tokens(SMALL.tokens("a")).view


def test_texts_to_compare_are_checked_at_once(lab: Lab) -> None:
    with pytest.raises(InputError, match="text"):
        lab.tokens("a", translations={"de": ""})


class Plain(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.said = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


HOSTILE = "</code><script>alert(1)</script>"


def test_every_form_of_the_output_is_there_and_safe(lab: Lab) -> None:
    tokens = lab.tokens(HOSTILE, translations={HOSTILE: HOSTILE})
    tokens.view.compare()
    data, _ = tokens._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["text/plain"] == repr(tokens)
    still = Plain(data["text/html"])
    assert still.tags <= {"div", "p", "span", "bdi", "small", "code", *"table thead tbody tr th td".split()}
    assert HOSTILE in still.said and "rank" in still.said and "bits per byte" in still.said
    assert repr(tokens.view).startswith(f"Tokens view({HOSTILE!r}: ")


def test_nothing_read_yet_has_forms_too() -> None:
    view = tokens_view(read_small, SMALL)
    assert "nothing read yet" in repr(view) and "nothing read yet" in view._still()
    assert view.code == ""
    with pytest.raises(InputError, match="nothing to save yet"):
        view.save("x.html")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["Leo $x$ lives.", "القطة 😀 बिल्ली\n猫", "a"])
def test_pictures_are_saved(lab: Lab, tmp_path: Path, text: str) -> None:
    tokens = lab.tokens(text)
    if text != "a":
        tokens.view.compare()
    for name, start in (("x.png", b"\x89PNG"), ("x.svg", b"<?xml"), ("x.html", b"<!doctype html>")):
        assert tokens.save(tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(InputError, match=r"\.html, \.png or \.svg"):
        tokens.save("x.pdf")


def test_the_payload_of_64_tokens_is_small(lab: Lab) -> None:
    text = "Leo lives in Oslo. Leo has a cat. " * 7
    picture = lab.tokens(text).view.picture
    assert len(picture["tokens"]) >= 64
    assert len(json.dumps(picture).encode()) < 30_000
