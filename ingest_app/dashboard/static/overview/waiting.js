// What waits, by source and priority, and its sum.

import { byId, fromTemplate, partsOf, setText, updateList } from "../shared/dom.js";
import { sum } from "../shared/states.js";
import { number } from "../shared/words.js";

const PRIORITIES = ["HIGH", "MEDIUM", "LOW"];

/** Show the waiting batches of each source. */
export function showWaiting(sources) {
  updateList(byId("waiting"), sources, {
    key: (source) => source.name,
    create: () => fromTemplate("waiting-template"),
    update: ({ parts }, source) => {
      setText(parts.source, source.name);
      showCounts(parts, source.waiting, source.waiting_is_estimated);
    },
  });
  byId("waiting-sum").hidden = sources.length < 2;
  const isEstimated = sources.some((source) => source.waiting_is_estimated);
  showCounts(partsOf(byId("waiting-sum")), summed(sources), isEstimated);
  byId("waiting-estimated").hidden = !isEstimated;
}

function showCounts(parts, counts, isEstimated) {
  for (const [name, count] of Object.entries({ ...counts, sum: sum(counts) })) {
    showCount(parts[name], count, isEstimated);
  }
}

function showCount(cell, count, isEstimated) {
  setText(cell, isEstimated && count > 0 ? `about ${number(count)}` : number(count));
  cell.classList.toggle("zero", count === 0);
}

function summed(sources) {
  const sumOf = (priority) => sum(sources.map((source) => source.waiting[priority]));
  return Object.fromEntries(PRIORITIES.map((priority) => [priority, sumOf(priority)]));
}
