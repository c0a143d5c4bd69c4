import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import traitlets
from comm import get_comm_manager
from traitlets import HasTraits

from bloomlab.checks import cover
from bloomlab.errors import InputError
from bloomlab.lab import Lab
from bloomlab.views.shared.assets import module_text
from bloomlab.views.view import View
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.aside import aside, in_a_loop
from tests.views.lone import TITLES

TEXT = "Leo 😀."
SHORT = "A cat."
LAST = 8  # a token for each byte


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(random_model(), byte_tokenizer(), name="random")


def computed(view: View) -> set[str]:
    return {name for name in view.panels if getattr(view, name).trace is not None}


def size(view: View) -> int:
    """What crosses to the page, but for the module and the style sheet."""
    state = {name: value for name, value in view.get_state().items() if name not in ("_esm", "_css")}
    return sum(len(value) if isinstance(value, bytes) else len(json.dumps(value)) for value in state.values())


def test_the_lab_gives_every_view_a_tab(lab: Lab) -> None:
    assert list(lab.explore(TEXT).panels) == list(TITLES)


def test_only_the_open_tab_is_computed_and_from_the_one_trace(lab: Lab) -> None:
    runs: list[str] = []

    def read(text: str) -> Any:
        runs.append(text)
        return lab._read_all(text)

    view = View(read, lab._panels(), TEXT)
    assert computed(view) == {"attention"} and view.hidden_picture == {}
    for name in view.panels:
        view.tab = name
    assert computed(view) == set(view.panels) and runs == [TEXT] and view.troubles == {}
    view.show(SHORT)
    assert computed(view) == {view.tab} and runs == [TEXT, SHORT]
    assert view.attention_picture == {}
    view.tab = "attention"
    assert view.attention_picture["text"] == SHORT


def test_there_is_one_widget_and_its_panels_have_no_line_to_the_page(lab: Lab) -> None:
    before = set(get_comm_manager().comms)
    view = lab.explore(TEXT)
    opened = set(get_comm_manager().comms) - before
    assert view.comm is not None and opened <= {view.comm.comm_id, view.layout.comm.comm_id}
    assert not any(isinstance(panel, HasTraits) for panel in view.panels.values())


def test_what_a_panel_shows_is_a_trait_under_its_name(lab: Lab) -> None:
    view = lab.explore(TEXT)
    inside = view.attention
    before = view.attention_scores
    assert before == inside.scores != b""
    assert view.layer == lab.model.config.n_layer - 1  # the only one that the predictions are taught at
    view.set_state({"layer": 1})  # as a message from the page
    assert inside.layer == 1 and view.attention_scores == inside.scores != before
    view.set_state({"attention_mode": "content"})
    assert inside.mode == "content"
    inside.mode = "both"
    assert view.attention_mode == "both"
    with pytest.raises(AttributeError, match="no setting 'head'; it has level, pattern, mode"):
        inside.head = 3  # the selection is the view's
    with pytest.raises(AttributeError, match="the panel 'attention' has no 'moed'; it has"):
        inside.moed  # noqa: B018
    with pytest.raises(AttributeError, match="a View has no 'atention'; did you mean 'attention'"):
        view.atention  # noqa: B018


def test_a_setting_that_is_made_before_a_tab_is_opened_is_there_when_it_is(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.hidden.mode = "entropy"
    view.set_state({"hidden_part": "mid"})
    view.tab = "hidden"
    assert (view.hidden.mode, view.hidden.part, view.hidden.row) == ("entropy", "mid", 2 * view.layer + 1)


def test_the_selection_survives_the_tabs(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.layer, view.head, view.query, view.key = 1, 2, 5, 3
    for name in view.panels:
        view.tab = name
        inside = getattr(view, name)
        assert (view.layer, view.head, view.query, view.key) == (1, 2, 5, 3)
        assert (inside.layer, inside.head, inside.query, inside.key) == (1, 2, 5, 3)
    view.query = 2
    view.tab = "attention"
    assert (view.attention.query, view.attention.key) == (2, 2)


def test_a_new_text_points_to_the_token_before_that_its_last_looks_at_most(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.layer, view.head, view.tab = 2, 4, "alibi"
    view.show(SHORT)
    row = lab.trace(SHORT)["h.2.attn.probs"][0, 4, -1]
    assert (view.layer, view.head, view.query, view.key) == (2, 4, len(SHORT) - 1, int(row[:-1].argmax()))
    assert view.alibi.key == view.key


def test_the_same_text_again_is_shown_again(lab: Lab) -> None:
    view = lab.explore(TEXT)
    view.tab = "hidden"
    view.show(TEXT)
    view.tab = "attention"
    assert view.attention_picture["text"] == TEXT


def test_a_trace_that_read_too_little_leaves_words_in_its_tabs(lab: Lab) -> None:
    view = lab.explore(lab.trace(TEXT, read=["attn.scores", "attn.probs"]))
    view.tab = "hidden"
    assert "the trace has no embed" in view.troubles["hidden"] and view.hidden_picture == {}
    view.tab = "alibi"
    assert view.alibi_picture["text"] == TEXT
    nothing = lab.explore(lab.trace(TEXT, read=["resid_mid"]))
    assert "attn.scores" in nothing.troubles["attention"]
    assert (nothing.query, nothing.key) == (LAST, LAST - 1)
    assert "attn.scores" in nothing._still()


def test_what_goes_wrong_in_a_tab_is_said_there_and_can_be_tried_again(lab: Lab) -> None:
    view = lab.explore(TEXT)
    inside = view.panels["hidden"]
    numbers, problems = inside.numbers, iter([RuntimeError("no room"), KeyboardInterrupt()])

    def fail(*_: Any) -> None:
        raise next(problems)

    inside.numbers = fail  # type: ignore[method-assign, assignment]  # for a while
    view.tab = "hidden"
    assert view.troubles == {"hidden": "RuntimeError: no room"}
    view.tab = "attention"
    view.tab = "hidden"
    assert "interrupted" in view.troubles["hidden"]
    inside.numbers = numbers  # type: ignore[method-assign]
    view.tab = "alibi"
    view.tab = "hidden"
    assert view.troubles == {} and view.hidden_picture["text"] == TEXT


def test_a_text_that_cannot_be_read_changes_nothing(lab: Lab) -> None:
    view = lab.explore(TEXT)
    before = view.get_state()
    aside(partial(view.set_state, {"typed": {"text": "x" * 3000, "number": 1}}))
    assert view.state == "error" and "2048" in view.message
    after = view.get_state()
    assert {name for name in before if before[name] != after[name]} == {"typed", "state", "message", "answered"}


def test_a_tab_that_is_not_there_is_refused(lab: Lab) -> None:
    view = lab.explore(TEXT)
    with pytest.raises(traitlets.TraitError, match="no tab 'nonsense'; it has "):
        view.tab = "nonsense"
    assert view.tab == "attention"


def test_a_message_has_all_of_a_change(lab: Lab) -> None:
    """The page never sees the scores of one head with the probabilities of another."""
    view = lab.explore(TEXT)
    sent: list[set[str]] = []

    def send(message: dict[str, Any], buffers: Any = None) -> None:
        if message["method"] == "update":
            sent.append(set(message["state"]) | {path[0] for path in message["buffer_paths"]})

    view._send = send  # what would go to the page
    view.set_state({"layer": 1})
    assert sent == [{"attention_exact", "attention_scores", "attention_probs"}]
    sent.clear()
    view.show(SHORT)
    assert len(sent) == 1 and {"picture", "attention_picture", "attention_thumbs", "query"} <= sent[0]


@pytest.mark.slow
def test_a_burst_of_texts_costs_at_most_two_runs_and_the_last_wins(lab: Lab) -> None:
    runs: list[str] = []

    def read(text: str) -> Any:
        runs.append(text)
        return lab._read_all(text)

    view = View(read, lab._panels(), TEXT)

    async def burst() -> None:
        for number in range(1, 101):
            view.set_state({"typed": {"text": f"{number}.", "number": number}})
        while view.answered < 100:
            await asyncio.sleep(0.01)

    in_a_loop(burst)
    assert len(runs) - 1 <= 2 and view.attention_picture["text"] == "100."


def test_a_text_of_64_tokens_crosses_in_under_300_kilobytes(lab: Lab) -> None:
    model = Lab(random_model(n_layer=4, n_head=8, hidden_size=32), byte_tokenizer())
    view = model.explore("-" * 64)
    assert len(view.picture["tokens"]) == 64
    assert size(view) < 300_000


# ---- what one takes away ----


@pytest.mark.slow
def test_the_saved_page_has_all_tabs_and_saving_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    view = lab.explore(TEXT)
    before = view.get_state()
    html = view.save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert view.get_state() == before
    state = json.loads(html.split('<script type="application/json" id="state">')[1].split("</script>")[0])
    for name in view.panels:
        assert state[f"{name}_picture"]["text"] == TEXT
    still = html.split('<main id="view">')[1].split("</main>")[0]
    assert all(f"<h3>{title}</h3>" in still for title in TITLES.values())


@pytest.mark.parametrize("tab", list(TITLES))
@pytest.mark.slow
def test_the_open_tab_is_saved_as_a_picture(lab: Lab, tmp_path: Path, tab: str) -> None:
    view = lab.explore(TEXT)
    view.tab = tab
    assert view.save(tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_output_has_a_widget_a_still_page_and_a_line_of_text(lab: Lab) -> None:
    view = lab.explore(TEXT)
    data, _ = view._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    assert data["text/html"].startswith("<h3>Attention</h3>") and "Hidden states" not in data["text/html"]
    assert "shows attention: layer 2, head 0, query 8" in data["text/plain"]


def test_an_explorer_without_a_text_waits(lab: Lab) -> None:
    view = View(lab._read_all, lab._panels())
    assert (view.state, view.code) == ("empty", "")
    assert "nothing read yet" in repr(view) and "nothing read yet" in view._still()
    view.tab = "hidden"
    assert computed(view) == set() and view.troubles == {}
    with pytest.raises(InputError, match="show a text first"):
        view.save("never.html")


def test_a_knock_is_answered_before_anything_else_is_done(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    view, said = lab.explore(TEXT), []
    monkeypatch.setattr(view, "send", said.append)
    for content in ({"do": "knock", "number": 7}, {"do": "other"}, "knock", None):
        view._handle_custom_msg(content, [])
    assert said == [{"heard": 7}]


def test_a_misspelt_name_is_refused_with_a_near_one(lab: Lab) -> None:
    for view, wrong, near in [
        (lab.explore(TEXT), "lyer", "layer"),
        (lab.attention(TEXT), "mod", "mode"),
        (cover("How many?", 3), "revaled", "revealed"),
    ]:
        with pytest.raises(AttributeError, match=f"no '{wrong}' to set; did you mean.* '{near}'"):
            setattr(view, wrong, 2)
        assert not hasattr(view, wrong)
        for name in view.traits():
            if not name.startswith("_"):
                setattr(view, name, getattr(view, name))  # all of its own can be set


@pytest.mark.parametrize("name", ["explorer", "attention", "cover"])
def test_the_module_stands_in_a_page_as_it_is_so_it_may_not_end_its_script(name: str) -> None:
    text = module_text(name)
    assert "</script" not in text.lower() and "<!--" not in text
    assert len(re.findall(r"^export ", text, flags=re.MULTILINE)) == 1
