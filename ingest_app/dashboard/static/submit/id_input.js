// Where the IDs come from, and what was understood.

import { byId } from "../shared/dom.js";
import { number } from "../shared/words.js";
import { showFound } from "./found.js";

const PAUSE_MS = 150;

export class IdInput {
  #worker = new Worker(new URL("./id_worker.js", import.meta.url), { type: "module" });
  #run = 0;
  #timer = 0;
  #waiting = [];
  // What was chosen for the text or file that stands there; null and 0 where nothing was.
  #heading = null;
  #column = 0;
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
    byId("heading").addEventListener("change", () => this.#choose({ heading: byId("heading").checked }));
    byId("column").addEventListener("change", () => this.#choose({ column: Number(byId("column").value) }));
  }

  /** Why these IDs cannot be submitted; null when they can. */
  get refusal() {
    if (!this.found) return "The IDs are still being read.";
    if (this.found.failure) return this.found.failure;
    if (this.found.count === 0) return "There are no IDs yet: paste some, or choose a file.";
    if (this.found.count > this.#maxIds) return `At most ${number(this.#maxIds)} IDs can be submitted at once.`;
    return this.found.problemCount > 0 ? "Some IDs are not allowed; they are listed above." : null;
  }

  /** True when something would be lost with the form. */
  get isFilled() {
    return byId("text").value !== "" || byId("file").value !== "";
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

  #choose({ heading = this.#heading, column = this.#column }) {
    this.#heading = heading;
    this.#column = column;
    this.#read();
  }

  #typed() {
    // Text that is edited keeps what was chosen for it.
    if (byId("file").value || !byId("text").value) this.#forget();
    byId("file").value = "";
    this.#run += 1; // what is still being read is not what stands there now
    this.found = null;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#read(), PAUSE_MS);
  }

  #chosen() {
    if (byId("file").files.length) byId("text").value = "";
    this.#forget();
    this.#read();
  }

  #forget() {
    this.#heading = null;
    this.#column = 0;
  }

  #read() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const file = byId("file").files[0];
    this.#run += 1;
    this.found = null;
    byId("reading").hidden = !file;
    const options = {
      format: byId("format").value,
      fileName: file?.name,
      heading: this.#heading,
      column: this.#column,
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
    // To choose the file that is chosen already would be no change.
    if (found.isFileLost) byId("file").value = "";
    showFound(found);
    this.#changed();
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #broke(event) {
    this.#understood({ run: this.#run, failure: `The IDs cannot be read: ${event.message}`, count: 0 });
  }
}
