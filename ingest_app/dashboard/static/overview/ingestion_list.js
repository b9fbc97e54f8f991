// The newest ingestions that pass the filters, with how far each is and when it will be done.

import { addressOf } from "../api.js";
import { bindToAddress, fromAddress } from "../shared/address_bar.js";
import { byId, fromTemplate, setAttribute, setText, updateList } from "../shared/dom.js";
import { showComing, showInstant } from "../shared/instants.js";
import { readPages, withQuery } from "../shared/paging.js";
import { showStateBar } from "../shared/state_bar.js";
import { duration, ingestionState, number } from "../shared/words.js";

const PAGE = 25;
const LIMIT_LARGEST = 200;
const FILTERS = ["status", "priority", "source"];

export class IngestionList {
  #wanted = PAGE;
  #count = 0;

  /** changed: called when something else is to be shown. */
  constructor(changed) {
    const selects = FILTERS.map((name) => [name, byId(`filter-${name}`)]);
    bindToAddress(Object.fromEntries(selects), () => {
      this.#wanted = PAGE;
      changed();
    });
    byId("ingestions-more").addEventListener("click", () => {
      this.#wanted += PAGE;
      changed();
    });
  }

  /** True when there is nothing at all, and no filter hides anything. */
  get isEmpty() {
    return this.#count === 0 && !isFiltered();
  }

  /** Read the list and show it. */
  async refresh(signal) {
    const limit = Math.min(this.#wanted, LIMIT_LARGEST);
    const path = withQuery("/ingestions", { ...fromAddress(FILTERS), forecast: true, limit });
    const options = { wanted: this.#wanted, signal };
    const { entries, next } = await readPages(path, "ingestions", options);
    this.#count = entries.length;
    showRows(entries);
    showEnd(entries.length, next);
  }
}

function isFiltered() {
  return Object.values(fromAddress(FILTERS)).some(Boolean);
}

function showRows(entries) {
  updateList(byId("ingestions"), entries, {
    key: (entry) => entry.ingestion_id,
    create: createRow,
    update: showRow,
  });
  byId("ingestions").removeAttribute("aria-busy");
}

function showEnd(count, next) {
  const none = byId("ingestions-none");
  none.hidden = count > 0;
  setText(none, emptyWords(next));
  byId("ingestions-more").hidden = next === null;
  setText(byId("ingestions-more"), count > 0 ? "Show more" : "Look further back");
}

function emptyWords(next) {
  if (next) return "None of the newest ingestions passes these filters.";
  return isFiltered() ? "No ingestion passes these filters." : "There are none yet.";
}

function createRow(entry) {
  const row = fromTemplate("ingestion-template");
  const { link, created, priority, source, ids, brief } = row.parts;
  setText(link, entry.ingestion_id);
  link.href = addressOf(`/ui/ingestions/${entry.ingestion_id}`);
  showInstant(created, entry.created_at);
  setText(priority, entry.priority);
  setAttribute(priority, "data-priority", entry.priority);
  setText(source, entry.source);
  setText(ids, number(entry.id_count));
  setText(brief, `${entry.priority} · ${entry.source} · ${number(entry.id_count)} IDs · `);
  return row;
}

function showRow({ parts }, entry) {
  showStateBar(parts.bar, entry.counts);
  setText(parts.progress, progressWords(entry));
  setText(parts.state, ingestionState(entry.status));
  setAttribute(parts.state, "data-state", entry.status);
  showFinish(parts.finish, entry);
}

function progressWords({ counts, batch_count: batchCount }) {
  const ended = counts.completed + counts.failed + counts.cancelled;
  const failed = counts.failed ? `, ${number(counts.failed)} failed` : "";
  return `${number(ended)} of ${number(batchCount)}${failed}`;
}

function showFinish(cell, { forecast, last_completed_at: lastCompletedAt, cancelled_at: cancelledAt }) {
  if (!forecast) return showInstant(cell, lastCompletedAt ?? cancelledAt);
  const before = forecast.approximate ? "about " : "";
  const { remaining_seconds: seconds } = forecast;
  const absent = seconds === null ? "not known" : `${before}${duration(seconds)} once it goes on`;
  showComing(cell, forecast.finishes_at, { before, absent });
}
