// What waits, by source and priority, and its sum.

import { byId, fromTemplate, partsOf, setText, updateList } from "../shared/dom.js";
import { number } from "../shared/words.js";

const PRIORITIES = ["HIGH", "MEDIUM", "LOW"];

/** Show the waiting batches of each source. */
export function showWaiting(sources) {
  updateList(byId("waiting"), sources, {
    key: (source) => source.name,
    create: () => fromTemplate("waiting-template"),
    update: ({ parts }, source) => {
      setText(parts.source, source.name);
      showCounts(parts, source.waiting);
    },
  });
  byId("waiting-sum").hidden = sources.length < 2;
  showCounts(partsOf(byId("waiting-sum")), summed(sources));
  byId("waiting-estimated").hidden = !sources.some((source) => source.waiting_is_estimated);
}

function showCounts(parts, counts) {
  for (const priority of PRIORITIES) showCount(parts[priority], counts[priority]);
  showCount(parts.sum, PRIORITIES.reduce((sum, priority) => sum + counts[priority], 0));
}

function showCount(cell, count) {
  setText(cell, number(count));
  cell.classList.toggle("zero", count === 0);
}

function summed(sources) {
  const sumOf = (priority) => sources.reduce((sum, source) => sum + source.waiting[priority], 0);
  return Object.fromEntries(PRIORITIES.map((priority) => [priority, sumOf(priority)]));
}
