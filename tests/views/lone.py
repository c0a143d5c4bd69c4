"""A view of one panel, of any reader: what the lab's verbs make, without a lab."""

from typing import Any

from bloomlab.views.alibi.panel import AlibiPanel
from bloomlab.views.attention.panel import AttentionPanel
from bloomlab.views.hidden.panel import HiddenPanel
from bloomlab.views.map.panel import MapPanel
from bloomlab.views.predictions.panel import PredictionsPanel
from bloomlab.views.tokens.panel import TokensPanel
from bloomlab.views.view import View
from bloomlab.views.writing.panel import WritingPanel


def attention_view(read: Any, text: Any = "", **traits: Any) -> View:
    return View(read, [AttentionPanel()], text, **traits)


def alibi_view(read: Any, text: Any = "", texts: Any = None, twins: Any = None, **traits: Any) -> View:
    return View(read, [AlibiPanel(texts, twins)], text, **traits)


def tokens_view(read: Any, tokenizer: Any, text: Any = "", measure: Any = None, **traits: Any) -> View:
    return View(read, [TokensPanel(tokenizer, measure)], text, **traits)


def hidden_view(read: Any, model: Any, tokenizer: Any, text: Any = "", **traits: Any) -> View:
    return View(read, [HiddenPanel(model, tokenizer)], text, **traits)


def predictions_view(
    read: Any, model: Any, tokenizer: Any, heads: Any, text: Any = "", question: str = "", **traits: Any
) -> View:
    return View(read, [PredictionsPanel(model, tokenizer, heads, question)], text, **traits)


def map_view(read: Any, model: Any, tokenizer: Any, text: Any = "", **traits: Any) -> View:
    return View(read, [MapPanel(model, tokenizer)], text, **traits)


TITLES = {
    panel.name: panel.title
    for panel in (MapPanel, TokensPanel, AttentionPanel, AlibiPanel, HiddenPanel, PredictionsPanel, WritingPanel)
}  # of the explorer's tabs


def shown(view: View) -> dict[str, Any]:
    """The place, the settings and the pieces of the open panel, by name."""
    return view._shown(view._open)
