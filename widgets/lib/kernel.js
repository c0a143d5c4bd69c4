// @ts-check
// Is there still a Python that answers? Jupyter says when it ends; of other hosts only their silence tells.
//
//   "here"    it has answered, or has not been silent for long
//   "silent"  a knock has had no answer, from a host that cannot say why
//   "gone"    the host says that it ended; or it is idle and does not answer, so it is another one
//
// Python answers a knock before it does anything else (View._answer), so that work is not taken for silence.

const PATIENCE = 2000; // milliseconds
const ENDED = ["restarting", "autorestarting", "terminating", "dead"];

/** @typedef {"here" | "silent" | "gone"} Kernel */

/**
 * @param {{model: any, waits: () => boolean, changed: () => void}} options
 *   `waits`: whether the page still waits for something, so that it is worth knocking again
 */
export function kernelLine({ model, waits, changed }) {
  const host = model.widget_manager?.kernel; // where there is one; it is Jupyter's own
  let state = /** @type {Kernel} */ ("here");
  let knocked = 0;
  let timer = 0;

  /** @param {Kernel} next */
  function become(next) {
    clearTimeout(timer);
    timer = 0;
    if (state === next) return;
    state = next;
    changed();
  }

  const told = (/** @type {unknown} */ _, /** @type {string} */ status) => {
    if (ENDED.includes(status)) become("gone");
  };
  const left = () => become("gone");

  function knock() {
    if (timer || !model.send) return;
    try {
      model.send({ do: "knock", number: (knocked += 1) });
    } catch {
      become("gone"); // the line to it is closed
      return;
    }
    timer = window.setTimeout(unanswered, PATIENCE);
  }

  function unanswered() {
    timer = 0;
    if (state === "gone") return;
    if (host?.status === "busy") timer = window.setTimeout(unanswered, PATIENCE); // the knock is in its queue
    else become(host ? "gone" : "silent");
  }

  /** @param {any} content */
  function heard(content) {
    if (content?.heard !== knocked) return;
    become("here");
    if (waits()) timer = window.setTimeout(again, PATIENCE);
  }

  function again() {
    timer = 0;
    if (waits()) knock();
  }

  model.on("msg:custom", heard);
  model.on("comm_live_update", knock); // cut off, or found again
  host?.statusChanged?.connect(told);
  host?.disposed?.connect(left);
  knock();

  return {
    /** @returns {Kernel} */
    state: () => state,
    knock,
    close() {
      clearTimeout(timer);
      model.off("msg:custom", heard);
      model.off("comm_live_update", knock);
      host?.statusChanged?.disconnect(told);
      host?.disposed?.disconnect(left);
    },
  };
}
