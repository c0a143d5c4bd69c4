"""The one way in which a value enters HTML."""

from html import escape


def escaped(value: object) -> str:
    """Any value as text in HTML, inside an element or a quoted attribute, whatever its type claims to be.

    >>> escaped("<b>"), escaped(5), escaped('" onload="')
    ('&lt;b&gt;', '5', '&quot; onload=&quot;')
    """
    return escape(str(value))
