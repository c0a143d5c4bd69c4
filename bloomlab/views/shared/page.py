"""A view as one file: the same ES module as in Jupyter, its data inside, no kernel and no network."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from bloomlab.guards.markup import escaped
from bloomlab.text.tokens import visible
from bloomlab.views.shared.assets import module_text, script_text, style_text

# The page may run its own script and draw; it may not fetch, post, frame or load anything.
RULES = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
# One that computes may run its own text in a worker and its products in WebAssembly; else it works without them.
LIVE_RULES = (
    RULES.replace("script-src 'unsafe-inline'", "script-src 'unsafe-inline' 'wasm-unsafe-eval'") + "; worker-src blob:"
)

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{rules}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="bloomlab">
<title>{title}</title>
<style>{style}</style>
</head>
<body class="bloomlab-page">
<main id="view">{still}</main>
{parts}
<script type="module">
{module}
{{{start}}}
</script>
</body>
</html>
"""

# What a widget expects of Jupyter: get, set, on, off, save_changes. Here nobody answers.
START = """
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const opened = (values) => {
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && typeof value === "object" && "base64" in value) {
      const bytes = Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0));
      values[name] = new DataView(bytes.buffer);
    }
  }
  return values;
};
const state = opened(read("state"));
const runs = Object.fromEntries(Object.entries(read("runs")).map(([run, values]) => [run, opened(values)]));
const listeners = [];
const model = {
  get: (name) => state[name],
  set(name, value) {
    if (state[name] === value) return;
    const changed = { [name]: value, ...(name === "run" ? runs[value] : {}) }; // each run has been saved
    Object.assign(state, changed);
    for (const [event, listener] of [...listeners]) if (event.slice("change:".length) in changed) listener();
  },
  on: (event, listener) => listeners.push([event, listener]),
  off: () => listeners.splice(0),
  save_changes() {},
};
const el = document.getElementById("view");
el.replaceChildren(); // the still, for a browser that may not run this
widget.render({ model, el });
"""


# The model is in the page: a host answers what a view asks of Python (widgets/page/host.js).
LIVE_START = """
const place = document.getElementById("given");
const given = JSON.parse(place.textContent);
place.remove(); // a phone has little memory
for (const values of [given.state, given.empty]) {
  for (const [name, value] of Object.entries(values)) if (value?.base64 === "") values[name] = new Uint8Array(0);
}
const listen = "(hear) => { onmessage = ({ data }) => hear(data); }";
const ending = `\\npage_host.serve(${listen}, (message) => postMessage(message));`;
const el = document.getElementById("view");
const model = page_line.openLine({
  state: { ...given.state, state: "working" },
  source: document.getElementById("host").textContent + ending,
  makeWorker: (source) => new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" }))),
  here(hear) {
    let answer;
    page_host.serve((listener) => { answer = listener; }, hear);
    return (message) => setTimeout(() => answer(message));
  },
  open: { ...given, link: location.hash },
  address: () => (location.protocol === "about:" ? "" : location.href), // none in a frame
  told: (where) => { document.body.dataset.host = where; },
});
addEventListener("hashchange", () => location.reload()); // another link was put into the address
const SAID = ["change:picture", "change:message"];
const opened = () => {
  if (!model.get("answered") && !model.get("message") && !model.get("picture").tokens) return;
  for (const event of SAID) model.off(event, opened);
  el.replaceChildren(); // the still, for a browser that may not run this, and until the model has read the text
  widget.render({ model, el });
};
for (const event of SAID) model.on(event, opened);
"""


def live_page(name: str, given: dict[str, Any], still: str, text: str) -> str:
    """The same as a page that computes by itself: `given` has the model, and all that its host begins with."""
    plain = {part: {key: bytes_as_text(value) for key, value in given[part].items()} for part in ("state", "empty")}
    host = script_text("page/host.js", "page/line.js")
    parts = [_data("given", {**given, **plain}), f'<script id="host">\n{host}\n</script>']
    return _filled(name, text, still, LIVE_RULES, parts, LIVE_START)


def page(
    name: str, state: dict[str, Any], still: str, text: str, runs: Mapping[str, dict[str, Any]] | None = None
) -> str:
    """The HTML page of the view `name`: its traits in `state`, its still form until script has replaced it.

    `runs` are the traits that differ in each of several runs, by its name; `state` has those of the one chosen.
    """
    state = {"live": False, "state": "ready", "message": "", "answered": 0, **state}
    values = {key: bytes_as_text(value) for key, value in state.items()}
    each = {run: {key: bytes_as_text(value) for key, value in own.items()} for run, own in (runs or {}).items()}
    return _filled(name, text, still, RULES, [_data("state", values), _data("runs", each)], START)


def _filled(name: str, text: str, still: str, rules: str, parts: list[str], start: str) -> str:
    title = "".join(letter if letter.isprintable() else visible(letter) for letter in text[:60])
    return PAGE.format(
        rules=rules,
        title=escaped(f"{title} · bloomlab"),
        style=style_text(),
        still=still,
        parts="\n".join(parts),
        module=_inline(module_text(name)),
        start=start,
    )


def _data(name: str, value: Any) -> str:
    """Plain data in a page, where its script finds it by this name."""
    return f'<script type="application/json" id="{name}">{_json(value)}</script>'


def bytes_as_text(value: Any) -> Any:
    """A trait as JSON can hold it."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _inline(module: str) -> str:
    """The module as the first part of a script in the page, not to be imported: policies of schools forbid that."""
    return re.sub(r"^export default \{", "const widget = {", module, flags=re.MULTILINE)


def _json(value: Any) -> str:
    """JSON in which no text can end the script element or start a comment: it contains no <."""
    return json.dumps(value).replace("<", "\\u003c")
