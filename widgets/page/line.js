// @ts-check
// The page's end of the line: the model object that a view expects of anywidget (get, set, on, off, save_changes),
// with a host in a worker behind it; or in the page itself, where a policy refuses workers. It cannot go away, so there is
// nothing to knock at.
import { linkOf } from "./link.js";

/**
 * @param {{state: Record<string, any>, source: string, makeWorker: (source: string) => any, here: (hear: (message: any) => void) => (message: any) => void,
 *   open: any, told: (where: string) => void, address: () => string}} options `source`: the host's script; `here` opens it in the page
 */
export function openLine({ state, source, makeWorker, here, open, told, address }) {
  const listeners = /** @type {[string, () => void][]} */ ([]);
  let changed = /** @type {Record<string, any>} */ ({});
  const mine = /** @type {Record<string, {number: number, value: any}>} */ ({}); // what was set here, until the host has heard of it
  let sent = 0;
  let unheard = /** @type {any[] | null} */ ([]); // until a worker has answered, for the page itself to answer
  let post = /** @type {(message: any) => void} */ (() => {});

  /** @param {string} event */
  function tell(event) {
    for (const [name, listener] of [...listeners]) if (name === event) listener();
  }

  /** @param {any} message from the host */
  function hear(message) {
    if (!message.update) return;
    for (const [name, value] of Object.entries(message.update)) {
      if (Object.hasOwn(changed, name)) continue; // something newer is on its way to the host
      state[name] = ArrayBuffer.isView(value) ? new DataView(value.buffer, value.byteOffset, value.byteLength) : value;
    }
    const names = Object.keys(message.update);
    for (const [name, { number, value }] of Object.entries(mine)) {
      if (number > message.number) continue;
      delete mine[name];
      if (Object.hasOwn(message.update, name) || Object.hasOwn(changed, name) || state[name] === value) continue;
      state[name] = value; // an answer to what was sent before has crossed it, and put it back
      names.push(name);
    }
    for (const name of names) tell(`change:${name}`);
  }

  /** @param {any} message to the host */
  function send(message) {
    unheard?.push(message);
    post(message);
  }

  function stayHere() {
    if (!unheard) return;
    const waiting = unheard;
    unheard = null;
    post = here(hear);
    told("page");
    waiting.forEach(post);
  }

  try {
    const worker = makeWorker(source);
    worker.onerror = (/** @type {any} */ event) => {
      event.preventDefault?.();
      stayHere(); // a policy has refused it
    };
    worker.onmessage = (/** @type {any} */ { data }) => {
      if (data.ready) {
        unheard = null;
        told("worker");
      }
      hear(data);
    };
    post = (message) => worker.postMessage(message);
  } catch {
    stayHere();
  }
  send({ open });

  return {
    get: (/** @type {string} */ name) => state[name],
    /** The address of this page as it stands; "" where an edit is one that no link can hold. A page without an address has none. */
    link: !address() ? null : () => {
      const edits = state.linked ?? [];
      return edits.includes(null) ? "" : `${address().replace(/#.*$/s, "")}#${linkOf(state, edits)}`;
    },

    /** @param {string} name @param {any} value */
    set(name, value) {
      if (state[name] === value) return;
      state[name] = changed[name] = value;
      tell(`change:${name}`);
    },
    on: (/** @type {string} */ event, /** @type {() => void} */ listener) => void listeners.push([event, listener]),
    off(/** @type {string} */ event, /** @type {() => void} */ listener) {
      const at = listeners.findIndex(([name, own]) => name === event && own === listener);
      if (at >= 0) listeners.splice(at, 1);
    },
    save_changes() {
      const values = changed;
      changed = {};
      if (!Object.keys(values).length) return;
      sent += 1;
      for (const [name, value] of Object.entries(values)) mine[name] = { number: sent, value };
      send({ set: values, number: sent });
    },
  };
}
