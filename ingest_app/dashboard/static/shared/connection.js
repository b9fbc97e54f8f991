// The banner that says when the service is gone, since when, and when it is back.

import { Problem, addressOf } from "../api.js";
import { byId, setText } from "./dom.js";
import { signedOutWords } from "./visitor.js";
import { duration, timeOfDay } from "./words.js";

const BACK_SHOWN_MS = 8_000;
const SIGNED_OUT = "signed-out";

class Connection {
  #lastAnswerAt = Date.now();
  #isGone = false;
  #timer = 0;
  onTryNow = () => {};

  /** The service has answered. */
  answered() {
    if (this.#isGone) this.#sayBack();
    this.#isGone = false;
    this.#lastAnswerAt = Date.now();
    document.body.dataset.connection = "up";
  }

  /** It has not answered, or could not do its work; it is asked again in so many seconds. */
  failed(error, seconds) {
    clearTimeout(this.#timer);
    this.#isGone = true;
    document.body.dataset.connection = "gone";
    const since = timeOfDay(new Date(this.#lastAnswerAt), { seconds: true });
    setText(byId("banner-text"), `${whatFailed(error)} What you see is from ${since}.`);
    setText(byId("banner-again"), `Asking again in ${duration(seconds)}.`);
    show("gone");
  }

  /** Nobody is signed in here any more; there is no use in asking again. */
  signedOut() {
    clearTimeout(this.#timer);
    this.#isGone = true;
    document.body.dataset.connection = SIGNED_OUT;
    const since = timeOfDay(new Date(this.#lastAnswerAt), { seconds: true });
    setText(byId("banner-text"), `${signedOutWords} What you see is from ${since}.`);
    setText(byId("banner-again"), "");
    byId("banner-sign-in").href = signInAddress();
    show(SIGNED_OUT);
  }

  #sayBack() {
    const seconds = (Date.now() - this.#lastAnswerAt) / 1000;
    setText(byId("banner-text"), `The service is back, after ${duration(seconds)}.`);
    setText(byId("banner-again"), "");
    show("back");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => show(null), BACK_SHOWN_MS);
  }
}

export const connection = new Connection();

/** True when something that was typed here cannot be sent, as nobody is signed in any more. */
export function mayBeLost() {
  return document.body.dataset.connection === SIGNED_OUT;
}

byId("banner-try").addEventListener("click", () => connection.onTryNow());

function whatFailed(error) {
  if (error instanceof Problem) return `The service cannot answer: ${error.message}`;
  return "The service is gone: it gives no answer.";
}

function signInAddress() {
  const here = encodeURIComponent(location.pathname + location.search);
  return addressOf(`/ui/sign-in?next=${here}`);
}

function show(kind) {
  const banner = byId("banner");
  banner.hidden = kind === null;
  banner.dataset.kind = kind ?? "";
  byId("banner-try").hidden = kind !== "gone";
  byId("banner-sign-in").hidden = kind !== SIGNED_OUT;
}
