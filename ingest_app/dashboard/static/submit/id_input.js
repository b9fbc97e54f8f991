// Where the IDs come from, and what was understood.

import { byId, element, setText } from "../shared/dom.js";
import { counted, number } from "../shared/words.js";

const PAUSE_MS = 150;
const FORMATS = { list: "a list", csv: "CSV", json: "a JSON array" };

export class IdInput {
  #worker = new Worker(new URL("./id_worker.js", import.meta.url), { type: "module" });
  #run = 0;
  #timer = 0;
  #waiting = [];
  #maxIds;
  #changed;
  found = null;

  /** changed: called when what was found has changed; `found` is null while it is being read. */
  constructor(maxIds, changed) {
    this.#maxIds = maxIds;
    this.#changed = changed;
    this.#worker.addEventListener("message", ({ data }) => this.#understood(data));
    this.#worker.addEventListener("error", (event) => this.#broke(event));
    byId("text").addEventListener("input", () => this.#typed());
    byId("file").addEventListener("change", () => this.#chosen());
    for (const id of ["format", "as-text", "once"]) this.#reactTo(id);
    byId("heading").addEventListener("change", () => this.#read({ heading: byId("heading").checked }));
  }

  /** Why these IDs cannot be submitted; null when they can. */
  get refusal() {
    if (!this.found) return "The IDs are still being read.";
    if (this.found.failure) return this.found.failure;
    if (this.found.count === 0) return "There are no IDs yet: paste some, or choose a file.";
    if (this.found.count > this.#maxIds) return `At most ${number(this.#maxIds)} IDs can be submitted at once.`;
    return this.found.problemCount > 0 ? "Some IDs are not allowed; they are listed above." : null;
  }

  /** Read what stands in the form, as after a change. */
  start() {
    this.#read();
  }

  /** Resolves when what stands in the form now has been read: a click may be quicker than that. */
  async settled() {
    if (this.found) return;
    if (this.#timer) this.#read();
    await new Promise((resolve) => this.#waiting.push(resolve));
  }

  #reactTo(id) {
    byId(id).addEventListener("change", () => this.#read());
  }

  #typed() {
    byId("file").value = "";
    this.found = null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), PAUSE_MS);
  }

  #chosen() {
    if (byId("file").files.length) byId("text").value = "";
    this.#read();
  }

  #read({ heading = null } = {}) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const file = byId("file").files[0];
    this.#run += 1;
    this.found = null;
    byId("reading").hidden = !file;
    const options = {
      format: byId("format").value,
      fileName: file?.name,
      heading,
      asText: byId("as-text").checked,
      once: byId("once").checked,
    };
    this.#worker.postMessage({ run: this.#run, source: file ?? byId("text").value, options });
    this.#changed();
  }

  #understood({ run, ...found }) {
    if (run !== this.#run) return; // something was changed since
    this.found = found;
    byId("reading").hidden = true;
    showTally(found);
    this.#changed();
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #broke(event) {
    this.#understood({ run: this.#run, failure: `The IDs cannot be read: ${event.message}`, count: 0 });
  }
}

function showTally(found) {
  setText(byId("tally"), found.failure ?? tally(found));
  const remarks = found.failure ? [] : remarksOn(found);
  byId("remarks").replaceChildren(...remarks.map((remark) => element("li", remark)));
  byId("heading-label").hidden = found.format !== "csv";
  byId("heading").checked = Boolean(found.heading);
  byId("once-label").hidden = !found.duplicateCount;
}

function tally(found) {
  if (found.count === 0) return "No IDs yet.";
  const kinds = [
    found.integerCount && counted(found.integerCount, "integer"),
    found.stringCount && counted(found.stringCount, "text", "texts"),
  ].filter(Boolean);
  return `${counted(found.count, "ID")}: ${kinds.join(" and ")}, read as ${FORMATS[found.format]}.`;
}

function remarksOn(found) {
  const remarks = [...found.problems];
  const more = found.problemCount - found.problems.length;
  if (more > 0) remarks.push(`${number(more)} more are not allowed.`);
  if (found.heading) remarks.push(`The heading “${found.heading}” is left out.`);
  if (found.duplicateCount) remarks.push(duplicates(found.duplicateCount));
  return remarks;
}

function duplicates(count) {
  const fate = byId("once").checked ? "left out" : "fetched again";
  return `${counted(count, "ID stands", "IDs stand")} there before and ${count === 1 ? "is" : "are"} ${fate}.`;
}
