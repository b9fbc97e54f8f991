// What was fetched, a page at a time, and as a download.

import { addressOf, read } from "../api.js";
import { byId, fromTemplate, setAttribute, setText, updateList } from "../shared/dom.js";
import { showInstant } from "../shared/instants.js";
import { writeJson } from "../shared/json.js";
import { withQuery } from "../shared/paging.js";
import { number } from "../shared/words.js";
import { Pager } from "./pager.js";

const PAGE = 25;
const DATA_LONGEST = 2_000;

export class RecordTable {
  #path;
  #pager;
  #shown = "";

  /** path: that of the ingestion; changed: called when other records are to be shown. */
  constructor(path, changed) {
    this.#path = `${path}/records`;
    this.#pager = new Pager(byId("records-pager"), PAGE, changed);
    byId("record-outcome").addEventListener("change", () => {
      this.#pager.jump(0);
      this.#offerDownloads();
      changed();
    });
    this.#offerDownloads();
  }

  /** Read the page that is wanted, if anything may have changed since it was read. */
  async refresh(entry, signal) {
    const path = withQuery(this.#path, { ...wanted(), after: this.#pager.after || "", limit: PAGE });
    const { completed, failed, triggered } = entry.counts;
    // This list has no ETag; it changes only when a batch ends or goes again.
    const version = [path, completed, failed, triggered, entry.last_completed_at].join();
    if (version === this.#shown) return;
    const { body, next } = await read(path, { signal });
    showRows(body.records);
    showNone(body.records);
    this.#pager.show(body.records.map((record) => record.position), next);
    this.#shown = version;
  }

  #offerDownloads() {
    for (const format of ["ndjson", "csv"]) {
      byId(`download-${format}`).href = addressOf(withQuery(this.#path, { ...wanted(), format }));
    }
  }
}

function wanted() {
  return { outcome: byId("record-outcome").value };
}

function showRows(records) {
  updateList(byId("records"), records, {
    key: (record) => record.position,
    create: () => fromTemplate("record-template"),
    update: showRecord,
  });
}

function showRecord({ parts }, record) {
  setText(parts.position, number(record.position));
  setText(parts.id, writeJson(record.id));
  setText(parts.outcome, record.outcome);
  setAttribute(parts.outcome, "data-state", record.outcome);
  setText(parts.data, record.data === null ? "" : shortened(writeJson(record.data)));
  parts.data.hidden = record.data === null;
  setText(parts.error, record.error);
  showInstant(parts.fetched, record.fetched_at, { seconds: true });
}

function showNone(records) {
  byId("records-none").hidden = records.length > 0;
  const { outcome } = wanted();
  setText(
    byId("records-none"),
    outcome ? `No record has the outcome ${outcome}.` : "Nothing has been fetched yet.",
  );
}

function shortened(text) {
  return text.length > DATA_LONGEST ? `${text.slice(0, DATA_LONGEST)}… (the download has all)` : text;
}
