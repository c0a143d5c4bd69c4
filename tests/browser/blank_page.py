"""A blank page with a widget in it: the real ES module, a fake model, and a real view to answer it.

The page asks nobody: its address is on this machine, and what it loads is handed to it from `widgets/`.
"""

import base64
from functools import partial
from typing import Any

from anywidget import AnyWidget
from playwright.sync_api import Page

from bloomlab.views.shared.assets import folder
from tests.browser.waiting import redrawn, until
from tests.views.aside import aside

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
HOME = "http://127.0.0.1/"
# `coming` are the timers that will end by themselves soon: what the page waits for is then still to be said.
TIMERS = """
globalThis.coming = new Set();
const { setTimeout: start, clearTimeout: end } = globalThis;
globalThis.setTimeout = (step, pause = 0, ...given) => {
  const timer = start(() => { coming.delete(timer); step(...given); }, pause);
  if (pause < 1000) coming.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => { coming.delete(timer); end(timer); };
"""
HTML = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>blank</title><script>{{{TIMERS}}}</script>
</head><body></body></html>"""

# What anywidget gives a module. `sent` is what would go to Python, `arrive` what comes from there, in one message.
FAKE_MODEL = """
globalThis.fakeModel = () => {
  const state = {}, changed = {}, sent = [], listeners = [];
  const tell = (names) => { // one after the other, when all values are there already
    for (const name of names) {
      for (const [event, listener] of [...listeners]) if (event === "change:" + name) listener();
    }
  };
  return {
    sent,
    get: (name) => state[name],
    set(name, value) { if (state[name] !== value) { state[name] = changed[name] = value; tell([name]); } },
    on: (event, listener) => { listeners.push([event, listener]); }, // one event a call: several are Backbone's habit
    off: (event, listener) => {
      const at = listeners.findIndex(([e, l]) => e === event && l === listener);
      if (at >= 0) listeners.splice(at, 1);
    },
    listeners,
    unsent: () => Object.keys(changed).length,
    save_changes() { sent.push({ ...changed }); for (const name of Object.keys(changed)) delete changed[name]; },
    arrive(values) {
      for (const [name, value] of Object.entries(values)) {
        state[name] = value;
        if (value !== null && typeof value === "object" && "base64" in value) {
          const bytes = Uint8Array.from("?" + atob(value.base64), (letter) => letter.charCodeAt(0));
          state[name] = new DataView(bytes.buffer, 1); // an odd start, as can happen in Jupyter
        }
      }
      tell(Object.keys(values));
    },
  };
};
"""


class BlankPage:
    """One page with one view in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.view: Any = None  # AnyWidget; Any, so that its own traits can be used
        self._known: dict[str, Any] = {}
        page.route(HOME + "**", self._serve)
        page.goto(HOME)

    def themed(self, theme: str) -> None:
        """The theme of a notebook, "light" or "dark", as Jupyter says it; the page's paper is the view's."""
        self.page.evaluate("light => { document.body.dataset.jpThemeLight = String(light) }", theme == "light")
        self.page.evaluate(
            "document.body.style.background = getComputedStyle(document.querySelector('.bloomlab')).backgroundColor"
        )

    def _serve(self, route: Any) -> None:
        path = route.request.url.removeprefix(HOME)
        if path.startswith("widgets/"):
            route.fulfill(path=folder() / path.removeprefix("widgets/"), content_type="text/javascript")
        else:
            route.fulfill(body=HTML, content_type="text/html; charset=utf-8")

    def evaluate(self, imports: str, expression: str, value: Any = None) -> Any:
        """Import names of a file of `widgets/`, as it is, and evaluate an expression with them and `value`."""
        names, path = imports.split(" from ")
        code = f"async (value) => {{ const {names} = await import('{HOME}widgets/{path}'); return {expression}; }}"
        return self.page.evaluate(code, value)

    def draw(self, view: AnyWidget) -> None:
        """Show a real view, as Jupyter would: its module as one text, its traits in a model."""
        self.view = view
        self.page.add_style_tag(content=str(view._css))
        self.page.evaluate(FAKE_MODEL)
        self.page.evaluate("globalThis.model = fakeModel()")
        self.push()
        self.draw_again()

    def draw_again(self) -> None:
        """Show the same model once more, below."""
        self.page.evaluate(
            """async (text) => {
                const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
                const { default: widget } = await import(url);
                const el = document.body.appendChild(document.createElement("main"));
                globalThis.cleanUp = widget.render({ model, el });
            }""",
            str(self.view._esm),
        )

    def push(self) -> None:
        """Send what has changed in the view to the page, in one message."""
        assert self.view is not None
        names = [name for name, trait in self.view.traits(sync=True).items() if not name.startswith("_")]
        state = {
            name: getattr(self.view, name) for name in names if name not in ("layout", "comm", "tabbable", "tooltip")
        }
        changes = {name: value for name, value in state.items() if self._known.get(name, self) != value}
        if "picture" in changes:  # the worst order: what points into the picture is told first
            changes["picture"] = changes.pop("picture")
        self._known |= changes
        ready = {
            name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for name, value in changes.items()
        }
        self.page.evaluate("(values) => model.arrive(values)", ready)

    def answer(self) -> list[dict[str, Any]]:
        """Give Python what the page has to say, send back what that changed, and return the messages."""
        assert self.view is not None
        until(self.page, "model.unsent() === 0")  # it waits a little between two messages
        messages: list[dict[str, Any]] = self.page.evaluate("model.sent.splice(0)")
        for message in messages:
            self._known |= message
            aside(partial(self.view.set_state, message))
        self.push()
        return messages

    def answered(self) -> list[dict[str, Any]]:
        """The same, where the page is sure to say something: it may still be thinking."""
        until(self.page, "model.sent.length > 0")
        return self.answer()

    def settled(self) -> None:
        """Until the page has nothing more to say."""
        for _ in range(20):
            redrawn(self.page)
            until(self.page, "coming.size === 0")  # a choice is sent once no other has followed it
            if not self.answer():
                return
        raise AssertionError("the page does not stop talking")

    # ---- looking ----

    def root(self, name: str) -> str:
        """A data- attribute of the widget's root."""
        return self.page.locator(".bloomlab").get_attribute(f"data-{name}") or ""

    def ledger(self, name: str) -> float:
        """A number of the ledger, as a person reads it."""
        text = self.page.locator(f'[data-ledger="{name}"]').inner_text().replace("≈", "").replace("−", "-")
        digits, _, power = text.partition(" × 10")
        return float(digits) * 10.0 ** int(power.translate(RAISED) or 0)

    def hover_cell(self, query: int, key: int) -> None:
        """Put the pointer in the middle of a cell."""
        canvas = self.page.locator('[data-part="canvas"]')
        box = canvas.bounding_box()
        assert box is not None
        cell = box["width"] / int(self.root("tokens"))
        self.page.mouse.move(box["x"] + (key + 0.5) * cell, box["y"] + (query + 0.5) * cell)

    def pixel(self, selector: str, x: int, y: int) -> list[int]:
        """Red, green, blue and alpha of one pixel of a canvas."""
        code = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
        pixel: list[int] = self.page.locator(selector).evaluate(code, [x, y])
        return pixel
