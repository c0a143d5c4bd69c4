// @ts-check
// The errors that a person can cause, as in bloomlab/errors.py: a sentence that says what to do.

export class BloomlabError extends Error {}

/** The text, or a choice, does not fit. */
export class InputError extends BloomlabError {}

/** An edit or a reading does not fit the model. */
export class HookError extends BloomlabError {}

/**
 * What the page says of an error.
 * @param {unknown} error
 */
export function inWords(error) {
  if (error instanceof BloomlabError) return error.message;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/**
 * A value as an error quotes it.
 * @param {unknown} value @param {number} [most] characters
 */
export function shorten(value, most = 60) {
  const text = typeof value === "string" ? `'${value}'` : (JSON.stringify(value) ?? "nothing");
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
