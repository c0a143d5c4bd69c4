// @ts-check
// The views of a site, brought to life: each is drawn when it comes into sight, with a host of its own in a worker, or in
// the page where workers are refused. It loads only what lies beside it.
//
//   <div class="bl-site-view" data-view="explorer" data-given="data/live.js" data-model="assets/model-….js">words until then</div>
//
// Without a model the view is as it was saved. Tests can rely on data-alive = "worker", "page" or "saved".

/** What `bloomlab.site` has put beside this file. @param {string} path */
const beside = (path) => new URL(path, import.meta.url);

/** @param {Record<string, any>} values with bytes as text */
function opened(values) {
  for (const [name, value] of Object.entries(values)) {
    if (value === null || typeof value !== "object" || !("base64" in value)) continue;
    values[name] = new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer);
  }
  return values;
}

/** What stands in a file of data. @param {string} path from this page */
const read = async (path) => (await import(new URL(path, document.baseURI).href)).default;

/** A model that nobody answers, as in a saved page. @param {Record<string, any>} state @param {Record<string, any>} runs */
function saved(state, runs) {
  const listeners = /** @type {[string, () => void][]} */ ([]);
  return {
    get: (/** @type {string} */ name) => state[name],
    set(/** @type {string} */ name, /** @type {any} */ value) {
      if (state[name] === value) return;
      const changed = { [name]: value, ...(name === "run" ? runs[value] : {}) };
      Object.assign(state, changed);
      for (const [event, listener] of [...listeners]) if (event.slice("change:".length) in changed) listener();
    },
    on: (/** @type {string} */ event, /** @type {() => void} */ listener) => void listeners.push([event, listener]),
    off: () => void listeners.splice(0),
    save_changes() {},
  };
}

/** @param {HTMLElement} place */
async function awake(place) {
  const { view, given: path, model: weights } = place.dataset;
  try {
    const [{ default: widget }, given, own, { page_host: host, page_line: line }] = await Promise.all([import(beside(`${view}.js`).href), read(String(path)), weights ? read(weights) : null, import(beside("host.js").href)]);
    if (!own) {
      const runs = Object.fromEntries(Object.entries(given.runs).map(([run, values]) => [run, opened(/** @type {any} */ (values))]));
      place.replaceChildren();
      widget.render({ model: saved(opened(given.state), runs), el: place });
      place.dataset.alive = "saved";
      return;
    }
    for (const values of [given.state, given.empty]) opened(values);
    const linked = place.dataset.linked !== undefined; // the address is this view's
    const model = line.openLine({
      state: { ...given.state, state: "working" },
      source: "",
      makeWorker: () => new Worker(beside("worker.js"), { type: "module" }),
      here(/** @type {(message: any) => void} */ hear) {
        let answer = /** @type {(message: any) => void} */ (() => {});
        host.serve((/** @type {any} */ listener) => { answer = listener; }, hear);
        return (/** @type {any} */ message) => setTimeout(() => answer(message));
      },
      open: { ...given, model: own, link: linked ? location.hash : "" },
      told: (/** @type {string} */ where) => { place.dataset.alive = where; },
      address: () => new URL(linked ? "" : String(place.dataset.page), location.href).href,
    });
    const events = ["change:picture", "change:message"];
    const draw = () => {
      if (!model.get("message") && !model.get("picture").tokens) return;
      for (const event of events) model.off(event, draw);
      place.replaceChildren();
      widget.render({ model, el: place });
    };
    for (const event of events) model.on(event, draw);
    if (linked) addEventListener("hashchange", () => location.reload());
  } catch (error) {
    place.append(Object.assign(document.createElement("p"), { textContent: `this view could not be drawn: ${error}` }));
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    awake(/** @type {HTMLElement} */ (target));
  }
}, { rootMargin: "25%" });
for (const place of document.querySelectorAll(".bl-site-view")) seen.observe(place);
