"""Saved traces that lie: each value of the description changed in turn, and what is opened shown everywhere."""

import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import bloomlab
from bloomlab.errors import BloomlabError, InputError
from bloomlab.guards.markup import escaped
from bloomlab.lab import Lab
from bloomlab.text.tokens import Token
from bloomlab.tracing.edits import zero
from bloomlab.tracing.trace import Trace
from bloomlab.tracing.trace_file import read_trace
from bloomlab.views.tokens.result import Tokens
from tests.hostile.mutations import INTERESTING, MARKUP, changed_value
from tests.text.small_tokenizer import hub_folder
from tests.tiny_random import byte_tokenizer, random_model

LAB = Lab(random_model(n_layer=2), byte_tokenizer(), name="small")
VIEWS = ("attention", "alibi", "hidden_states", "predictions", "tokens", "explore")
TRACE = LAB.trace("a<中", read="*", edit={"h.0.attn.mixed": zero(head=1)})
TENSORS = {name: TRACE[name].contiguous().clone() for name in TRACE.names}
TENSORS |= {"ids": TRACE.ids, "attention_mask": TRACE.attention_mask}


def description() -> dict[str, Any]:
    """The description in the file of an honest trace, with a config that has labels."""
    return {
        "axes": {name: TRACE.axes(name) for name in TRACE.names},
        "text": TRACE.text,
        "tokens": [[{"id": t.id, "bytes": t.bytes.hex(), "text": t.text, "span": list(t.span)} for t in TRACE.tokens]],
        "config": {**TRACE.config.to_dict(), "id2label": {"0": "no", "1": "yes"}, "_name_or_path": "small"},
        "provenance": deepcopy(TRACE.provenance),
    }


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all values that hold no others."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inside:
        yield from leaves(below, (*path, key))
    if not inside:
        yield path


def with_value(said: Any, path: tuple[Any, ...], value: Any) -> Any:
    said = deepcopy(said)
    inside = said
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return said


def with_key(said: Any, path: tuple[Any, ...], name: str) -> Any:
    """The same value under another name; None where it stands in a list."""
    said = deepcopy(said)
    inside = said
    for key in path[:-1]:
        inside = inside[key]
    if not isinstance(inside, dict):
        return None
    inside[name] = inside.pop(path[-1])
    return said


def saved(path: Path, said: Any, tensors: dict[str, torch.Tensor] = TENSORS) -> Path:
    save_file(tensors, path, {"bloomlab_trace": json.dumps(said)})
    return path


class Elements(HTMLParser):
    """What of a page could run: elements that were put in, and attributes that listen."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        listens = [name for name, value in attributes if name.startswith("on") or value == "x"]
        if listens:
            self.found.append(f"{tag} {listens}")


def would_run(html: str) -> list[str]:
    """What of a text would run: in the page itself, and in what a browser without script shows."""
    elements = Elements()
    elements.feed(re.sub(r'<script type="(application/json|module)".*?</script>', "", html, flags=re.DOTALL))
    return elements.found


def show_everywhere(trace: Trace, folder: Path, lab: Lab = LAB) -> list[str]:
    """What would run of a trace, on every page and in every cell."""
    ran = would_run(Tokens(trace.tokens)._repr_html_())
    repr(trace)
    for name in VIEWS:
        try:
            view = getattr(lab, name)(trace)
        except BloomlabError:
            continue  # it is not this lab's, in words
        shown = view.view if isinstance(view, Tokens) else view
        ran += would_run(shown._repr_mimebundle_()[0]["text/html"])
        ran += would_run(shown.save(folder / "page.html").read_text(encoding="utf-8"))
        repr(view), compile(shown.code, name, "exec")
    return ran


def test_what_would_run_is_found() -> None:
    assert would_run(f"<p>{MARKUP}</p>") == ["img ['src', 'onerror']"]
    assert would_run(f"<p>{escaped(MARKUP)}</p><b title='{escaped(MARKUP)}'></b>") == []


@pytest.mark.slow
def test_a_token_that_a_tokenizer_adds_is_text(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    random_model(vocab_size=421, n_layer=2).save_pretrained(folder)
    hub_folder(folder)
    said = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    number = len({*said["model"]["vocab"].values(), *(token["id"] for token in said["added_tokens"])})
    said["added_tokens"].append({**said["added_tokens"][0], "id": number, "content": MARKUP, "special": False})
    (folder / "tokenizer.json").write_text(json.dumps(said), encoding="utf-8")
    lab = bloomlab.load(folder)
    trace = lab.trace(f"hello{MARKUP}", read="*")
    assert trace.tokens[-1].id == number and trace.tokens[-1].text == MARKUP
    assert show_everywhere(trace, tmp_path, lab) == []


@pytest.mark.slow
def test_no_value_of_a_trace_becomes_markup(tmp_path: Path) -> None:
    said = description()
    outcomes = Counter[str]()
    for path in leaves(said):
        for changed in (with_value(said, path, MARKUP), with_value(said, path, [MARKUP]), with_key(said, path, MARKUP)):
            if changed is None:
                continue
            try:
                trace = Trace.load(saved(tmp_path / "trace.safetensors", changed))
            except InputError as error:
                assert len(str(error)) <= 400
                outcomes["refused"] += 1
                continue
            assert show_everywhere(trace, tmp_path) == [], path
            outcomes["shown"] += 1
    assert outcomes["refused"] > 50 and outcomes["shown"] > 5, outcomes


@pytest.mark.parametrize("shown", [Tokens([Token(MARKUP, b"a", "a", (0, 1))])])  # type: ignore[arg-type]  # it lies
def test_markup_is_text_whatever_its_type_claims_to_be(shown: Tokens) -> None:
    assert would_run(shown._repr_html_()) == []


LIES: dict[str, tuple[tuple[Any, ...], Any, str]] = {
    "an id that is a text": (("tokens", 0, 0, "id"), MARKUP, "where its tokens say"),
    "an id of another row": (("tokens", 0, 0, "id"), 5, "where its tokens say"),
    "an id that is true": (("tokens", 0, 0, "id"), True, "where its tokens say"),
    "a span outside": (("tokens", 0, 0, "span"), [0, 99], "is not what its bytes say"),
    "bytes of another text": (("tokens", 0, 0, "bytes"), "62", "is not what its bytes say"),
    "bytes that are a number": (("tokens", 0, 0, "bytes"), 61, "are written as a text"),
    "another text": (("text",), "abc", "its tokens are not those of its text"),
    "two texts": (("text",), ["a", "b"], "1 rows, but its text is of others"),
    "half a character": (("text",), "\ud800", "whole characters in its text"),
    "tokens of more rows": (("tokens",), [[], []], "1 rows of ids, but its tokens are those of others"),
    "too few tokens": (("tokens",), [[]], "a row has 5 ids, but its tokens are those of others"),
    "a token that is a list": (("tokens", 0, 0), [], "where its tokens say"),
    "axes of another order": (("axes", "h.0.attn.probs"), "batch head query neuron", "does not fit its axes"),
    "an axis twice": (("axes", "h.0.attn.probs"), "batch head query query", "are not the axes of"),
    "an axis of markup": (("axes", "h.0.attn.probs"), MARKUP, "are not the axes of"),
    "axes that are a list": (("axes",), [], "its axes are not a table"),
    "a reading that is not there": (
        ("axes", "h.1.mlp.outside"),
        "batch pos hidden",
        "no tensor 'h.1.mlp.outside'",
    ),
    "a layer too many": (
        ("axes", "h.7.attn.probs"),
        "batch head query key",
        "2 layers, and so no 'h.7.attn.probs'",
    ),
    "ids as a reading": (("axes", "ids"), "batch pos", "'ids' is not the name of a spot"),
    "a name of markup": (("axes", MARKUP), "batch pos hidden", "is not the name of a spot"),
    "a smaller vocabulary": (("config", "vocab_size"), 3, "its ids must be from 0 to 2"),
    "more heads": (("config", "n_head"), 8, "does not fit its axes"),
    "edits that are numbers": (("provenance", "edits"), {"embed": 5}, "the edits in its provenance"),
    "a seed of markup": (("provenance", "seed"), MARKUP, "the seed in its provenance"),
    "a model that is a list": (("provenance", "model"), [MARKUP], "'model' in its provenance"),
    "a provenance that is a list": (("provenance",), [], "its provenance is not a table"),
    "something more": (("more",), 1, "its description is not that of a trace"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_trace_that_lies_is_refused(tmp_path: Path, lie: str) -> None:
    tensors = {**TENSORS, "h.7.attn.probs": TENSORS["h.1.attn.probs"].clone(), MARKUP: TENSORS["embed"].clone()}
    saved(tmp_path / "trace.safetensors", description(), tensors)
    Trace.load(tmp_path / "trace.safetensors")
    place, value, words = LIES[lie]
    saved(tmp_path / "trace.safetensors", with_value(description(), place, value), tensors)
    with pytest.raises(InputError, match=rf"is not a trace that trace.save\(\) wrote: .*{words}"):
        read_trace(tmp_path / "trace.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match="there is no such file"):
            read_trace(path)


WRONG: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "ids that are fractions": ({"ids": TENSORS["ids"].double()}, "expected whole numbers"),
    "ids below 0": ({"ids": TENSORS["ids"] - 300}, "its ids must be from 0"),
    "no ids": (
        {"ids": TENSORS["ids"][:, :0], "attention_mask": TENSORS["ids"][:, :0].clone()},
        "expected whole numbers",
    ),
    "ids of one axis": ({"ids": TENSORS["ids"][0]}, "expected whole numbers"),
    "another mask": ({"attention_mask": TENSORS["attention_mask"][:, :2].clone()}, "its attention_mask is"),
    "a mask of fractions": ({"attention_mask": TENSORS["attention_mask"].float()}, "its attention_mask is"),
    "a mask of twos": ({"attention_mask": TENSORS["attention_mask"] * 2}, "must stand together"),
    "a mask of none": ({"attention_mask": TENSORS["attention_mask"] * 0}, "must stand together"),
    "a mask with a gap": ({"attention_mask": torch.tensor([[1, 0, 1, 1, 1]])}, "must stand together"),
    "readings that are whole numbers": ({"h.0.attn.probs": TENSORS["h.0.attn.probs"].long()}, "is of torch.int64"),
    "readings of other sizes": ({"h.0.attn.probs": TENSORS["h.0.attn.probs"][:, :2].clone()}, "does not fit its axes"),
    "readings of fewer axes": ({"h.0.attn.probs": TENSORS["h.0.attn.probs"][0].clone()}, "does not fit its axes"),
}


@pytest.mark.parametrize("lie", WRONG)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, lie: str) -> None:
    assert TENSORS["ids"].shape == (1, 5)
    tensors, words = WRONG[lie]
    saved(tmp_path / "trace.safetensors", description(), {**TENSORS, **tensors})
    with pytest.raises(InputError, match=rf"is not a trace that trace.save\(\) wrote: .*{words}"):
        read_trace(tmp_path / "trace.safetensors")


@pytest.mark.slow
def test_changed_traces_are_refused_or_can_be_used_everywhere(tmp_path: Path) -> None:
    outcomes = Counter[str]()
    for number in range(150):
        chance = random.Random(f"trace {number}")
        said = changed_value(description(), chance)
        if chance.random() < 0.3:
            said = with_value(description(), chance.choice(list(leaves(description()))), chance.choice(INTERESTING))
        try:
            trace = Trace.load(saved(tmp_path / "trace.safetensors", said))
        except BloomlabError as error:
            assert len(str(error)) <= 400
            outcomes["refused"] += 1
            continue
        assert show_everywhere(trace, tmp_path) == [], number
        outcomes["used"] += 1
    assert outcomes["refused"] > 20 and outcomes["used"] > 20, outcomes
