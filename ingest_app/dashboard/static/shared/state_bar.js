// A bar with one stretch for each state of the batches of an ingestion.

import { element, setAttribute } from "./dom.js";
import { batchState, listed } from "./words.js";

const ORDER = ["completed", "triggered", "failed", "cancelled", "yet_to_start"];

/** Draw the counts into a bar that was empty or drawn before. */
export function showStateBar(bar, counts) {
  if (!bar.firstChild) bar.append(...ORDER.map((state) => stretch(state)));
  for (const part of bar.children) {
    const count = counts[part.dataset.state];
    // Through the CSSOM: the policy of the page allows no style attribute.
    part.style.flexGrow = count;
    part.hidden = count === 0;
  }
  setAttribute(bar, "aria-label", `Batches: ${listed(counts, batchState) || "none"}`);
}

function stretch(state) {
  return element("span", "", { "data-state": state });
}
