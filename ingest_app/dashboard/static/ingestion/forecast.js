// When it goes on and when it will be done, and what speaks against it.

import { byId, element, setText, updateList } from "../shared/dom.js";
import { showComing, showInstant, withLocalTimes } from "../shared/instants.js";
import { counted, duration } from "../shared/words.js";

/** Show what `/forecast` answered. */
export function showForecast(forecast) {
  const before = forecast.approximate ? "about " : "";
  showFinish(forecast, before);
  showComing(byId("next"), forecast.next_starts_at, { before: forecast.batches_ahead ? before : "" });
  setText(byId("ahead"), ahead(forecast, before));
  setText(byId("still"), counted(forecast.waiting_count, "batch", "batches"));
  setText(byId("pace"), pace(forecast.pace_seconds));
  setText(byId("why"), hasEnded(forecast) ? "" : withLocalTimes(forecast.waits_for ?? ""));
  updateList(byId("caveats"), forecast.caveats, {
    key: (caveat) => caveat,
    create: (caveat) => ({ root: element("li", withLocalTimes(caveat)) }),
    update: () => {},
  });
}

function showFinish(forecast, before) {
  const ended = hasEnded(forecast);
  setText(byId("finish-label"), ended ? "Ended" : "Finishes");
  if (ended) return showInstant(byId("finish"), forecast.finishes_at, { seconds: true });
  const { remaining_seconds: seconds } = forecast;
  const absent = seconds === null ? "at a time not known" : `${before}${duration(seconds)} after it goes on`;
  showComing(byId("finish"), forecast.finishes_at, { before, absent });
}

function ahead(forecast, before) {
  if (forecast.waiting_count === 0) return "–";
  if (forecast.batches_ahead === 0) return "none";
  return `${before}${counted(forecast.batches_ahead, "batch", "batches")}`;
}

function pace(seconds) {
  if (seconds === null) return "not known";
  return seconds < 60 ? `a batch every ${Number(seconds.toFixed(2))} s` : `a batch every ${duration(seconds)}`;
}

function hasEnded(forecast) {
  return ["completed", "failed", "cancelled"].includes(forecast.status);
}
