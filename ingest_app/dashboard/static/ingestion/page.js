// One ingestion: what it reads, and which part shows it.

import { Problem, read } from "../api.js";
import { byId } from "../shared/dom.js";
import { announce } from "../shared/notices.js";
import { poll } from "../shared/polling.js";
import { ingestionState } from "../shared/words.js";
import { bindActions, showActions } from "./actions.js";
import { BatchTable } from "./batch_table.js";
import { showForecast } from "./forecast.js";
import { RecordTable } from "./record_table.js";
import { showSummary } from "./summary.js";

const path = `/ingestions/${encodeURIComponent(byId("ingestion").dataset.ingestionId)}`;
const batches = new BatchTable(path, () => refreshNow());
const records = new RecordTable(path, () => refreshNow());
let status = null;

byId("failed-show").addEventListener("click", () => batches.filter("failed"));
bindActions(path, () => refreshNow());
const refreshNow = poll(refresh);

async function refresh(signal) {
  const entry = await entryOrNone(signal);
  byId("unknown").hidden = entry !== null;
  byId("all").hidden = entry === null;
  if (entry === null) return;
  showSummary(entry, (wanted) => batches.filter(wanted));
  showActions(entry);
  announceChange(entry.status);
  const forecast = read(`${path}/forecast`, { signal }).then(({ body }) => showForecast(body));
  await Promise.all([forecast, batches.refresh(entry, signal), records.refresh(entry, signal)]);
}

async function entryOrNone(signal) {
  try {
    return (await read(path, { signal })).body;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

function announceChange(now) {
  if (status !== null && status !== now) announce(`The ingestion is ${ingestionState(now)}.`);
  status = now;
}
