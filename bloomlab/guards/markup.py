"""The one way in which a value enters HTML, and the one in which a page enters another."""

from html import escape


def escaped(value: object) -> str:
    """Any value as text in HTML, inside an element or a quoted attribute, whatever its type claims to be.

    >>> escaped("<b>"), escaped(5), escaped('" onload="')
    ('&lt;b&gt;', '5', '&quot; onload=&quot;')
    """
    return escape(str(value))


# Of an element whose background is data: browsers print no backgrounds, and a contrast theme (forced colours) paints
# over them, unless the element says so. Words in it that have no colour of their own take the theme's.
STAYS = "print-color-adjust:exact;forced-color-adjust:preserve-parent-color"


# Of another origin than the page around it: its script can draw, hand out a file and fill the screen; it can read
# nothing of ours, open no window and, by the page's own rules (views/shared/page.py), send nothing anywhere.
FRAME = """\
<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" allow="fullscreen; clipboard-write"
 title="{title}" loading="lazy" style="width: 100%; height: {height}px; border: 0"></iframe>"""


def framed(page: str, title: str, height: int) -> str:
    """A whole page inside another one: it keeps its script, and neither can reach into the other."""
    return FRAME.format(page=escaped(page), title=escaped(title), height=int(height))
