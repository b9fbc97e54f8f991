// Sending a submission so that a repeated click or a lost answer cannot store it twice.

import { NoAnswer, addressOf, send } from "../api.js";
import { byId, element } from "../shared/dom.js";
import { clearFailure, showFailure } from "../shared/notices.js";

const KEY = "Idempotency-Key";

export class Sending {
  // One for each filling of the form, whatever is changed in it between two attempts.
  #key = newKey();
  #changed;
  isUnderWay = false;

  /** changed: called when a submission begins, fails or is renewed. */
  constructor(changed) {
    this.#changed = changed;
  }

  /** Send IDs (a Blob of JSON) and go to the page of their ingestion, or show why not. */
  async submit({ ids, priority, source }) {
    if (this.isUnderWay) return;
    clearFailure(byId("failure"));
    this.#setUnderWay(true);
    try {
      const { ingestion_id: id } = await this.#send(ids, { priority, source });
      location.assign(addressOf(`/ui/ingestions/${id}`));
    } catch (error) {
      this.#setUnderWay(false);
      this.#explain(error);
    }
  }

  /** The form is filled anew: what is sent from now on is another submission. */
  renew() {
    this.#key = newKey();
    this.#setUnderWay(false);
    clearFailure(byId("failure"));
  }

  #send(ids, rest) {
    // The IDs are JSON already; to read and write them again would freeze the page.
    const tail = JSON.stringify(rest).slice(1);
    const body = new Blob(['{"ids":', ids, ",", tail], { type: "application/json" });
    return send("/ingest", body, { headers: { [KEY]: `"${this.#key}"` } });
  }

  #explain(error) {
    showFailure(byId("failure"), error);
    if (error instanceof NoAnswer) this.#explainNoAnswer();
    if (KEY in (error.errors ?? {})) this.#explainReuse();
  }

  #explainNoAnswer() {
    const text = "No answer came, so it is not known whether it was stored. Submit again: it cannot be stored twice.";
    byId("failure").replaceChildren(element("p", text));
  }

  #explainReuse() {
    const text = "This form was stored already, with other contents, though its answer was lost: the overview lists it. ";
    const again = element("button", "Submit this as another one", { type: "button", class: "small danger" });
    again.addEventListener("click", () => this.renew());
    byId("failure").replaceChildren(element("p", text), again);
  }

  #setUnderWay(isUnderWay) {
    this.isUnderWay = isUnderWay;
    this.#changed();
  }
}

function newKey() {
  // randomUUID is missing where the page came without TLS from another host.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
