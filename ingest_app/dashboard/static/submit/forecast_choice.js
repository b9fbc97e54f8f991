// When it would be done at each priority, and what it would delay, beside the choice.

import { send } from "../api.js";
import { byId, element, partsOf, setText } from "../shared/dom.js";
import { distance, localTime, withLocalTimes } from "../shared/instants.js";
import { counted, duration } from "../shared/words.js";

/** Ask for the forecast of so many IDs and show it. */
export async function showPreview({ idCount, source, signal }) {
  // The number is enough: the IDs themselves are sent once, when they are submitted.
  const preview = await send("/forecast", { id_count: idCount, source }, { signal });
  for (const option of options()) showOption(option, preview);
  setText(byId("preview-note"), note(preview));
  showCaveats(preview.caveats);
}

/** Take the forecast away, and say why there is none. */
export function hidePreview(text) {
  for (const option of options()) {
    setText(option.when, "");
    setText(option.more, "");
  }
  setText(byId("preview-note"), text);
  showCaveats([]);
}

function options() {
  return [...document.querySelectorAll(".option")].map((root) => ({
    priority: root.dataset.priority,
    ...partsOf(root),
  }));
}

function showOption({ priority, when, more }, preview) {
  const forecast = preview.priorities[priority];
  setText(when, finish(forecast, preview.approximate ? "about " : ""));
  setText(more, [start(forecast), delays(forecast.delays)].filter(Boolean).join("; "));
}

function finish({ finishes_at: at, remaining_seconds: seconds }, about) {
  if (at) return `done ${about}${localTime(at, false)}, ${distance(at)}`;
  return seconds === null ? "no forecast" : `${about}${duration(seconds)} after it goes on`;
}

function start({ batches_ahead: ahead, starts_at: at }) {
  if (ahead > 0) return `${counted(ahead, "batch goes", "batches go")} before`;
  return at ? "goes next" : "goes first";
}

function delays({ ingestion_count: count, seconds }) {
  if (count === 0) return "delays no other";
  const others = count === 1 ? "1 other" : `${counted(count, "other", "others")}`;
  return `delays ${others} by ${duration(seconds)}`;
}

function note(preview) {
  const batches = counted(preview.batch_count, "batch", "batches");
  return preview.waits_for ? `${batches}. ${withLocalTimes(preview.waits_for)}` : `${batches}.`;
}

function showCaveats(caveats) {
  byId("caveats").replaceChildren(...caveats.map((caveat) => element("li", withLocalTimes(caveat))));
}
