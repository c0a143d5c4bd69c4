// @ts-check
// Of a large model the window comes a column at a time: how far it is and how long the rest takes, a button to stop it,
// and one to go on. Where everything is there, nothing of this is.
//   [data-part="reading"]                  data-state = idle | running | done | stopped | error
//   [data-part="reading-stop" | "reading-go" | "reading-progress" | "reading-says"]
import { make, pushButton, set } from "../lib/dom.js";

/** @param {import("../lib/frame.js").Stage} stage */
export function readingLine(stage) {
  const stop = pushButton("stop", { "data-part": "reading-stop" }, () => stage.choose({ filling: "stopped" }));
  const go = pushButton("go on", { "data-part": "reading-go" }, () => stage.choose({ filling: "on" }));
  const progress = make("progress", { class: "bl-progress", max: 1, value: 0, "aria-label": "tokens read", "data-part": "reading-progress" });
  const says = make("span", { class: "bl-how", role: "status", "aria-live": "polite", "data-part": "reading-says" });
  const element = make("div", { class: "bl-row", "data-part": "reading" }, progress, says, stop, go);

  return {
    element,

    /** @param {number} unread tokens of the window whose states are not read yet */
    show(unread) {
      const { state, done, total, seconds, message } = stage.get("reading");
      const live = Boolean(stage.get("live"));
      const running = live && state === "running";
      element.hidden = unread === 0 && state !== "error";
      set(element, { "data-state": state });
      progress.hidden = stop.hidden = !running;
      go.hidden = running || !live;
      progress.value = total ? done / total : 0;
      const left = seconds ? `, about ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s more` : "";
      if (state === "error") says.textContent = message;
      else if (running) says.textContent = `reading outwards from the chosen token: ${done} of ${total} tokens${left}`;
      else says.textContent = `${unread} tokens are not read`;
    },
  };
}
