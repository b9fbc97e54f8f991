// The batches, a page at a time however many there are.

import { bindToAddress, fromAddress, toAddress } from "../shared/address_bar.js";
import { byId, setAttribute, setText, updateList } from "../shared/dom.js";
import { readPages, withQuery } from "../shared/paging.js";
import { batchState } from "../shared/words.js";
import { createBatch, showBatch } from "./batch_row.js";
import { Pager } from "./pager.js";

const PAGE = 25;

export class BatchTable {
  #path;
  #changed;
  #pager;

  /** path: that of the ingestion; changed: called when other batches are to be shown. */
  constructor(path, changed) {
    this.#path = path;
    this.#changed = changed;
    this.#pager = new Pager(byId("batches-pager"), PAGE, () => this.#moved());
    this.#pager.jump(positionIn(fromAddress(["after"]).after));
    bindToAddress({ status: byId("batch-status") }, () => this.#jump(0));
    byId("batch-jump").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#jump(byId("batch-from").valueAsNumber - 1);
    });
  }

  /** Show only batches in this state, from the first on. */
  filter(status) {
    byId("batch-status").value = status;
    toAddress({ status });
    this.#jump(0);
    byId("batch-status").focus();
  }

  /** Read the page that is wanted and show it. */
  async refresh(entry, signal) {
    setAttribute(byId("batch-from"), "max", entry.batch_count);
    const { status } = fromAddress(["status"]);
    const query = { status, after: this.#pager.after || "", limit: PAGE };
    const { entries, next } = await readPages(withQuery(`${this.#path}/batches`, query), "batches", {
      wanted: 1,
      signal,
    });
    showRows(entries);
    showNone(entries, status, next);
    this.#pager.show(entries.map((batch) => batch.position), next);
  }

  #jump(after) {
    this.#pager.jump(after);
    this.#moved();
  }

  #moved() {
    toAddress({ after: this.#pager.after ? String(this.#pager.after) : "" });
    this.#changed();
  }
}

function showRows(batches) {
  updateList(byId("batches"), batches, {
    key: (batch) => batch.batch_id,
    create: createBatch,
    update: showBatch,
  });
}

function showNone(batches, status, next) {
  const none = byId("batches-none");
  none.hidden = batches.length > 0;
  const what = status ? `No batch from here on is ${batchState(status)}` : "There are no batches";
  setText(none, next ? `${what} as far as was looked; Next looks further.` : `${what}.`);
}

function positionIn(text) {
  return /^\d{1,9}$/.test(text) ? Number(text) : 0;
}
