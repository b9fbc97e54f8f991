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
  const { count, shown } = attempts(batch);
  setText(parts.toggle, number(count));
  const said = `Batch ${batch.position}: ${counted(count, "attempt")}, show ${shown}`;
  setAttribute(parts.toggle, "aria-label", said);
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
  updateList(parts.attempts, named(batch.dispatches), {
    key: ({ name }) => name,
    create: () => fromTemplate("attempt-template"),
    update: (view, { dispatch }) => showAttempt(view, dispatch),
  });
  parts.untried.hidden = batch.dispatches.length > 0;
  const { count, shown } = attempts(batch);
  parts.which.hidden = shown === "all";
  setText(parts.which, `Of ${counted(count, "attempt")} ${shown}:`);
}

/** How many there were, and which of them the service tells. */
function attempts({ attempt_count: attemptCount, dispatches }) {
  // Deferred dispatches are no attempts for the service; for people they are.
  const count = Math.max(attemptCount, dispatches.length);
  const isAll = count === dispatches.length;
  return { count, shown: isAll ? "all" : `the last ${number(dispatches.length)}` };
}

/** Only the last dispatches are told, so their places shift; their times and attempts stay. */
function named(dispatches) {
  const seen = new Map();
  return dispatches.map((dispatch) => {
    const name = `${dispatch.dispatched_at ?? dispatch.finished_at} ${dispatch.attempt}`;
    seen.set(name, (seen.get(name) ?? 0) + 1);
    return { name: `${name} ${seen.get(name)}`, dispatch };
  });
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
