// A batch: its row, and below it on demand its IDs and every attempt.

import { fromTemplate, setAttribute, setText, updateList } from "../shared/dom.js";
import { showInstant } from "../shared/instants.js";
import { someIds } from "../shared/item_ids.js";
import { serverClock } from "../shared/server_clock.js";
import { batchState, counted, duration, number } from "../shared/words.js";

const IDS_IN_ROW = 5;
const IDS_IN_DETAILS = 500;

/** The rows of a batch, its details closed. */
export function createBatch(batch) {
  const row = fromTemplate("batch-template");
  row.parts.details.id = `details-${batch.batch_id}`;
  row.parts.toggle.setAttribute("aria-controls", row.parts.details.id);
  row.parts.toggle.addEventListener("click", () => toggle(row));
  setText(row.parts.position, number(batch.position));
  setText(row.parts.ids, someIds(batch.ids, IDS_IN_ROW));
  return row;
}

/** Show a batch as it is now. */
export function showBatch(row, batch) {
  const { parts } = row;
  row.batch = batch;
  setText(parts.state, batchState(batch.status));
  setAttribute(parts.state, "data-state", batch.status);
  setText(parts.error, batch.status === "completed" ? "" : batch.last_error);
  showInstant(parts.started, batch.triggered_at, { seconds: true });
  showInstant(parts.ended, batch.completed_at, { seconds: true });
  setText(parts.toggle, number(batch.dispatches.length));
  const said = counted(batch.dispatches.length, "attempt");
  setAttribute(parts.toggle, "aria-label", `Batch ${batch.position}: ${said}, show all`);
  if (!parts.details.hidden) showDetails(row);
}

function toggle(row) {
  const { details, toggle: button } = row.parts;
  details.hidden = !details.hidden;
  button.setAttribute("aria-expanded", !details.hidden);
  if (!details.hidden) showDetails(row);
}

function showDetails({ batch, parts }) {
  setText(parts.all_ids, `IDs: ${someIds(batch.ids, IDS_IN_DETAILS)}`);
  // The ledger only grows, so the place in it says which is which.
  updateList(parts.attempts, [...batch.dispatches.entries()], {
    key: ([place]) => place,
    create: () => fromTemplate("attempt-template"),
    update: (view, [, dispatch]) => showAttempt(view, dispatch),
  });
  parts.untried.hidden = batch.dispatches.length > 0;
}

function showAttempt({ parts }, dispatch) {
  setText(parts.outcome, dispatch.outcome ?? "in flight");
  setAttribute(parts.outcome, "data-state", dispatch.outcome ?? "in_flight");
  setText(parts.attempt, dispatch.attempt);
  showInstant(parts.started, dispatch.dispatched_at, { seconds: true, absent: "not called" });
  setText(parts.lasted, lasted(dispatch));
  setText(parts.worker, `by ${dispatch.worker}`);
  setText(parts.error, dispatch.error);
}

function lasted({ dispatched_at: from, finished_at: to }) {
  if (!from) return "";
  const seconds = ((to ? Date.parse(to) : serverClock.now()) - Date.parse(from)) / 1000;
  return to ? `, took ${duration(seconds)}` : `, for ${duration(seconds)}`;
}
