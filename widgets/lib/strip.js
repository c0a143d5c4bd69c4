// @ts-check
// The token strip: the text as BLOOM reads it. Every view has the same one on top.
// A chip is one piece of text; a character made of several tokens is one chip with a part for each token.
import { direction, make, set } from "./dom.js";

/**
 * @param {{pick: (token: number, asKey: boolean) => void, point: (token: number | null) => void}} listeners
 */
export function tokenStrip({ pick, point }) {
  const element = make("div", {
    class: "bl-strip",
    role: "listbox",
    tabindex: 0,
    "aria-label": "tokens; arrow keys choose who is looking",
    "aria-orientation": "horizontal",
    "data-lm-suppress-shortcuts": "true",
    "data-part": "strip",
  });
  /** @type {any[]} one option for every token */
  let options = [];
  let looks = /** @type {string[]} */ ([]); // how each was marked last
  let query = 0;
  let shownFor = "";
  let read = ""; // the text and its ids

  /** @param {Event} event */
  const tokenUnder = (event) => {
    const option = /** @type {Element} */ (event.target).closest("[data-token]");
    return option ? Number(option.getAttribute("data-token")) : null;
  };
  element.addEventListener("pointerover", (/** @type {PointerEvent} */ event) => point(tokenUnder(event)));
  element.addEventListener("pointerleave", () => point(null));
  element.addEventListener("click", (/** @type {MouseEvent} */ event) => {
    const token = tokenUnder(event);
    if (token !== null) pick(token, event.shiftKey);
  });
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const forwards = element.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
    const backwards = element.dir === "rtl" ? "ArrowRight" : "ArrowLeft";
    const to = { [forwards]: query + 1, [backwards]: query - 1, Home: 0, End: options.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to < options.length) pick(to, false);
  });

  return {
    element,

    /** @param {import("./causal.js").Picture} picture @param {string} id a name that is unique on the page */
    show(picture, id) {
      const now = JSON.stringify([picture.text, picture.tokens.map((/** @type {any} */ token) => token.id)]);
      if (now === read) return; // another run of the same tokens
      read = now;
      element.dir = direction(picture.text);
      options = new Array(picture.tokens.length);
      looks = [];
      shownFor = "";
      const chips = picture.chips.map(({ shown, tokens }) => {
        const parts = tokens.map((token, part) => {
          const { id: number, bytes } = picture.tokens[token];
          options[token] = make(
            "span",
            {
              class: "bl-part",
              role: "option",
              id: `${id}-token-${token}`,
              "data-token": token,
              "aria-label": `token ${token}: ${shown}${tokens.length > 1 ? `, part ${part + 1} of ${tokens.length}` : ""}, id ${number}`,
              title: `token ${token} · id ${number} · bytes ${bytes}`,
            },
            make("span", { class: "bl-id" }, String(number)),
            make("span", { class: "bl-bytes" }, bytes),
            make("span", { class: "bl-share" }),
          );
          return options[token];
        });
        return make(
          "span",
          { class: "bl-chip", role: "group", "aria-label": shown },
          make("span", { class: "bl-token", dir: "auto", "aria-hidden": "true", "data-token": tokens[0] }, shown),
          make("span", { class: "bl-parts" }, ...parts),
        );
      });
      element.replaceChildren(...chips);
    },

    /**
     * Only what has changed is touched: this runs with every move of the pointer.
     * @param {import("./causal.js").Cell} cell the selected one
     * @param {number | null} pointed
     * @param {((token: number) => number) | null} share how long the bar under a token is, 0 to 1; null: no bars
     */
    mark(cell, pointed, share) {
      query = cell.query;
      set(element, { "data-bars": share !== null });
      options.forEach((option, token) => {
        const role = token === cell.query ? "query" : token === cell.key ? "key" : token > cell.query ? "later" : "seen";
        const part = token > cell.query || !share ? "0" : share(token).toFixed(2);
        const look = `${role} ${part} ${token === pointed}`;
        if (looks[token] === look) return;
        looks[token] = look;
        set(option, { "aria-selected": String(role === "query"), "data-role": role, "data-pointed": token === pointed });
        option.lastChild.style.setProperty("--bl-part", part);
      });
      if (options[query]) set(element, { "aria-activedescendant": options[query].id });
    },

    /** A long strip scrolls to who is looking; the page itself stays where it is. */
    keepInSight() {
      const chosen = options[query];
      if (!chosen) return;
      const room = [query, element.scrollWidth, element.clientWidth].join();
      if (element.scrollWidth <= element.clientWidth || room === shownFor) return;
      shownFor = room;
      const [box, chip] = [element.getBoundingClientRect(), chosen.parentElement.parentElement.getBoundingClientRect()];
      const margin = Math.min(chip.width, box.width / 4);
      if (chip.left < box.left + margin) element.scrollLeft -= box.left + margin - chip.left;
      if (chip.right > box.right - margin) element.scrollLeft += chip.right - box.right + margin;
    },
  };
}
