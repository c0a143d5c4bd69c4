"""A saved view inside another page: it keeps its script, and neither page can reach into the other."""

from bloomlab.guards.markup import escaped

# A frame of another origin than the page around it: its script can draw, hand out a file and fill the screen; it can
# read nothing of ours, open no window and send nothing anywhere (the page's own rules, shared/page.py).
FRAME = """\
<style>
@media print {{ .bl-embedded > iframe {{ display: none }} }}
@media not print {{ .bl-embedded > div {{ display: none }} }}
</style>
<div class="bl-embedded">
<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" allow="fullscreen; clipboard-write"
 title="{title}" loading="lazy" style="width: 100%; height: {height}px; border: 0"></iframe>
<div>{still}</div>
</div>"""


class Embedded:
    """What `view.embed()` gives: a frame that a notebook shows, and that stays clickable in an export of it.

    On paper, and where a host takes frames out, the still stands in its place: a frame would be cut off.

    Attributes:
        page: the page inside, as `view.save` writes it.
    """

    def __init__(self, page: str, still: str, height: int, says: str) -> None:
        self.page, self._still, self._height, self._says = page, still, height, says

    def __repr__(self) -> str:
        return f"embedded: {self._says}"

    def _repr_html_(self) -> str:
        page, title = escaped(self.page), escaped(self._says)
        return FRAME.format(page=page, title=title, height=self._height, still=self._still)
