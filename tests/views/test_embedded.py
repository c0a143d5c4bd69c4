"""A view for hosts that run nothing of ours: framed, or with its picture as a PNG."""

import base64
import re
from html import unescape

import pytest

from bloomlab.errors import InputError
from bloomlab.lab import Lab
from tests.tiny_random import byte_tokenizer, random_model
from tests.views.lone import attention_view

LAB = Lab(random_model(), byte_tokenizer(), name='"><img src=x onerror=alert(1)>')


def test_a_frame_holds_the_page_and_nothing_leaves_its_attributes() -> None:
    view = LAB.attention('Leo "lives" </iframe><script>')
    frame = view.embed(height=300)
    html = frame._repr_html_()
    found = re.findall(r"</?iframe|<script|<img src=x", html)
    assert found == ["<iframe", "</iframe"] and "height: 300px" in html
    assert html.endswith(f"<div>{view._still()}</div>\n</div>")  # on paper, and where frames are taken out
    assert unescape(html.split('srcdoc="')[1].split('"')[0]) == frame.page
    assert repr(frame).startswith("embedded: Attention view(")


def test_a_view_that_shows_nothing_has_nothing_to_embed() -> None:
    with pytest.raises(InputError, match="nothing to embed yet; show a text first"):
        attention_view(LAB.trace).embed()
    with pytest.raises(InputError, match="height must be a whole number from 100 to 4000, but got 20"):
        LAB.attention("Leo").embed(height=20)


@pytest.mark.slow
def test_a_view_gives_its_picture_as_a_png_when_it_is_asked_to() -> None:
    view = LAB.explore("Leo")
    assert "image/png" not in view._repr_mimebundle_()[0]
    view.png = True
    assert base64.b64decode(view._repr_mimebundle_()[0]["image/png"]).startswith(b"\x89PNG")
    empty = attention_view(LAB.trace)
    empty.png = True
    assert "image/png" not in empty._repr_mimebundle_()[0]
