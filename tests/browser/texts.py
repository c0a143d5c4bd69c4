"""Texts that a page must show as they are, in the languages that are looked at."""

from playwright.sync_api import Page

HOSTILE = [
    "<img src=x onerror=window.canary=1>",
    "</script><script>window.canary=1</script>",
    "<!--<script>window.canary=1",
    "\" onmouseover=window.canary=1 x=\"' onfocus='window.canary=1",
    "<svg onload=window.canary=1>",
    "javascript:window.canary=1",
    "</textarea><style>*{display:none}</style>",
    '<button data-commandlinker-command="notebook:run-all-cells">x</button>',
    "a\u202ecba\u2066x\u2028y\u200b\ufeff",
    "{layer} {text} ${1+1} %s \\u003c TEXT SETUP",
]
TEXTS = {
    "english": "Leo lives in Oslo. Leo likes the sea and the old town. Where does Leo live?",
    "arabic": "القطة تنام هنا في البيت الكبير.",
    "hindi": "बिल्ली घर में सो रही है।",
    "chinese": "猫坐在垫子上，狗在门口。",
    "emoji": "Hi 😀👩‍🚀!\n\tok  é",
}


def shown_on_strip(page: Page) -> str:
    """All chips' texts, one after the other."""
    return "".join(page.locator('[data-part="strip"] .bl-chip > .bl-token').all_text_contents())
