// IDs as JSON writes them, so that the integer 5 and the text "5" can be told apart.

import { writeJson } from "./json.js";
import { number } from "./words.js";

/** The first IDs of a list, and how many more there are. */
export function someIds(ids, most) {
  const shown = ids.slice(0, most).map((id) => writeJson(id)).join(", ");
  return ids.length > most ? `${shown} and ${number(ids.length - most)} more` : shown;
}
