"""A still beside the live view: a second output, hidden by the view where there is one, and shown where there is none.

A notebook that is opened again, or turned into a page, still has its outputs but no widgets; no host then falls back to
another form in the same output. So the still is an output of its own.
"""

from typing import Any

from IPython.core.getipython import get_ipython
from IPython.display import display, update_display

WORDS = "as it stood in the notebook; run the cell again to use it"

STILLS = ("text/html", "image/png")

# Where no live view stands in the output before the still, what stands there instead is no picture: it is put away.
# On a slide of reveal.js it is as high as the slide at most, and the theme's sizes are not for it.
STILL = """\
<div class="bl-still-{name}">
<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .bl-still-{name}):not(:has(.bloomlab)) {{ display: none }}
.reveal .bl-still-{name} {{ max-height: 680px; overflow: auto; text-align: start }}
.reveal .bl-still-{name} * {{ font: 14px/1.3 sans-serif; text-transform: none; margin-block: 4px }}
</style>
{still}
<p><small>{words}</small></p>
</div>
"""


def show_beside(widget: Any, data: dict[str, Any], metadata: dict[str, Any], about: dict[str, Any]) -> None:
    """Show a widget's forms as two outputs: the live view, and the still; `about` goes into the notebook with it.

    Raises:
        NotImplementedError: there is no notebook to show them in; IPython then shows the object as any other.
    """
    if not hasattr(get_ipython(), "kernel"):
        raise NotImplementedError
    live = {kind: value for kind, value in data.items() if kind not in STILLS}
    display(live, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
    still = {kind: data[kind] for kind in STILLS if kind in data} | _still(widget.model_id, data["text/html"])
    display(still, metadata={"bloomlab": about}, raw=True, display_id=_name(widget))  # type: ignore[no-untyped-call]


def update_beside(widget: Any, still: str, about: dict[str, Any]) -> None:
    """Put another still in place of the one that is in the notebook."""
    if hasattr(get_ipython(), "kernel"):
        html = _still(widget.model_id, still)
        update_display(html, metadata={"bloomlab": about}, raw=True, display_id=_name(widget))  # type: ignore[no-untyped-call]


def _still(name: str, still: str) -> dict[str, str]:
    return {"text/html": STILL.format(name=name, still=still, words=WORDS)}


def _name(widget: Any) -> str:
    return f"bloomlab-{widget.model_id}"
