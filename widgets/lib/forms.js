// @ts-check
// A panel in several forms, a small one and a whole one: which is shown is a trait, `level`.
//
// What tests can rely on: data-level of the root, where the panel stands alone
import { set } from "./dom.js";

/**
 * @param {import("./frame.js").Stage} stage
 * @param {() => string} wanted the level
 * @param {Record<string, (stage: import("./frame.js").Stage) => import("./frame.js").Panel>} forms by level; the first one is the usual
 * @returns {import("./frame.js").Panel}
 */
export function inForms(stage, wanted, forms) {
  let level = "";
  let form = /** @type {any} */ (null);
  let picture = /** @type {unknown} */ (null);

  /** The form that is wanted, showing the picture. */
  const now = () => {
    const next = wanted() in forms ? wanted() : Object.keys(forms)[0]; // an older page has none
    if (next === level) return form;
    level = next;
    for (const zone of [stage.which, stage.where, stage.why, stage.more]) zone.replaceChildren();
    form = forms[level](stage);
    if (stage.get("tab") === undefined) set(stage.root, { "data-level": level });
    if (picture) form.show(picture);
    return form;
  };
  now();
  stage.listen("change:level", () => {
    now().fit();
    stage.drawOnce();
  });
  return {
    show(another) {
      picture = another;
      now().show(another);
    },
    draw: () => now().draw(),
    fit: () => now().fit(),
    point: (token) => now().point(token),
    tables: () => now().tables?.() ?? [],
  };
}
