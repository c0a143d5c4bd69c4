"""A view as a file: no text in it can end the script that carries it, or begin another."""

import json
import re

import pytest

from bloomlab.views.shared.page import page

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]></SCRIPT >",
    "<img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "\u2028\u202e\0",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_reaches_the_page_whole_and_adds_no_element(text: str) -> None:
    def elements(html: str) -> list[str]:
        return re.findall(r"<[!/a-z][^\s>]*", html, re.IGNORECASE)

    made = page("attention", {"picture": {"text": text}, "thumbs": b"\0\xff"}, "<p>still</p>", text)
    assert elements(made) == elements(page("attention", {"picture": {"text": "a"}, "thumbs": b""}, "<p>still</p>", "a"))
    (state,) = re.findall(r'<script type="application/json" id="state">(.*?)</script>', made, re.DOTALL)
    assert json.loads(state)["picture"] == {"text": text}
    assert json.loads(state)["thumbs"] == {"base64": "AP8="}
