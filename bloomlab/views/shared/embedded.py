"""A saved view inside another page: it keeps its script, and neither page can reach into the other."""

from bloomlab.guards.markup import framed
from bloomlab.guards.memory import saying_that_memory_is_full

PLACE = """\
<style>
@media print {{ .bl-embedded > iframe {{ display: none }} }}
@media not print {{ .bl-embedded > div {{ display: none }} }}
</style>
<div class="bl-embedded">
{frame}
<div>{still}</div>
</div>"""


@saying_that_memory_is_full
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
        return PLACE.format(frame=framed(self.page, self._says, self._height), still=self._still)
