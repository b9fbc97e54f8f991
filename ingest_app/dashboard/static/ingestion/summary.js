// The head of the page: state, progress and facts.

import { byId, element, setAttribute, setText, updateList } from "../shared/dom.js";
import { showInstant } from "../shared/instants.js";
import { showStateBar } from "../shared/state_bar.js";
import { endedCount, hasEnded } from "../shared/states.js";
import { batchState, counted, ingestionState, number } from "../shared/words.js";

/** Show an ingestion; `pick(status)` is called when a count is clicked. */
export function showSummary(entry, pick) {
  setText(byId("state"), ingestionState(entry.status));
  setAttribute(byId("state"), "data-state", entry.status);
  showProgress(entry, pick);
  showFailed(entry.counts.failed);
  setText(byId("priority"), entry.priority);
  setAttribute(byId("priority"), "data-priority", entry.priority);
  setText(byId("source"), entry.source);
  setText(byId("ids"), number(entry.id_count));
  setText(byId("batch-count"), number(entry.batch_count));
  showInstant(byId("created"), entry.created_at, { seconds: true });
  const absent = hasEnded(entry.status) ? "never" : "not yet";
  showInstant(byId("started"), entry.first_triggered_at, { seconds: true, absent });
}

function showFailed(count) {
  byId("failed").hidden = count === 0;
  setText(byId("failed-count"), `${counted(count, "batch", "batches")} failed.`);
}

function showProgress({ counts, batch_count: batchCount }, pick) {
  showStateBar(byId("bar"), counts);
  // Rounded down: 100% is for what has ended altogether.
  setText(byId("percent"), `${Math.floor((100 * endedCount(counts)) / batchCount)}%`);
  updateList(byId("counts"), Object.entries(counts), {
    key: ([state]) => state,
    create: ([state]) => countButton(state, pick),
    update: ({ count, root }, [, value]) => {
      setText(count, number(value));
      root.hidden = value === 0;
    },
  });
}

function countButton(state, pick) {
  const root = element("li", "", { "data-state": state });
  const button = element("button", "", { type: "button", class: "plain" });
  const count = element("b");
  button.append(count, ` ${batchState(state)}`);
  button.addEventListener("click", () => pick(state));
  root.append(button);
  return { root, count };
}
