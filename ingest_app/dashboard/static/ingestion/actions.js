// Cancel and retry, each after a question.

import { send } from "../api.js";
import { confirmed } from "../shared/confirming.js";
import { byId } from "../shared/dom.js";
import { announce, attempt } from "../shared/notices.js";
import { may } from "../shared/visitor.js";
import { counted } from "../shared/words.js";

let counts = {};

/** Bind the buttons; `changed` is called when an action was tried. */
export function bindActions(path, changed) {
  byId("cancel").addEventListener("click", () => cancel(path).then(changed));
  byId("retry").addEventListener("click", () => retry(path).then(changed));
}

/** Offer what can be done to this ingestion now, and by whoever looks at it. */
export function showActions(entry) {
  counts = entry.counts;
  byId("cancel").hidden = !may("submit") || counts.yet_to_start === 0;
  byId("retry").hidden = !may("submit") || counts.failed === 0;
}

async function cancel(path) {
  const choice = await confirmed({
    title: "Cancel what waits?",
    text: `${batches(counts.yet_to_start)} will not be fetched, for good. What is in flight ends by itself, and what was fetched is kept.`,
    choices: [["cancel", "Cancel them"]],
  });
  if (choice) await act(`${path}/cancel`, {}, "Cancelled.");
}

async function retry(path) {
  const choice = await confirmed({
    title: "Retry what failed?",
    text: `${batches(counts.failed)} will wait again at their old place. Of their IDs only those that failed are asked for, or all of them.`,
    choices: [
      ["all", "All IDs"],
      ["failed", "Failed IDs"],
    ],
  });
  if (choice) await act(`${path}/retry`, { ids: choice }, "The failed batches wait again.");
}

async function act(path, value, said) {
  if (await attempt(byId("failure"), () => send(path, value))) announce(said);
}

function batches(count) {
  return counted(count, "batch", "batches");
}
