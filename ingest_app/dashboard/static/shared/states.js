// States of batches and ingestions, and counts by them. Pure.

const ENDED = ["completed", "failed", "cancelled"];

/** True when nothing more happens by itself to what is in this state. */
export function hasEnded(status) {
  return ENDED.includes(status);
}

/** How many of these batches have ended, however they did. */
export function endedCount(counts) {
  return ENDED.reduce((total, status) => total + counts[status], 0);
}

/** How many there are in all; the counts may be by something else, such as priorities. */
export function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
