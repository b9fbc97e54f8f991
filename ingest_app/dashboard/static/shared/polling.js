// Reading again and again: only while someone looks, and seldom while nobody answers.

import { NoAnswer, Problem, isSignedOut } from "../api.js";
import { connection } from "./connection.js";

const SECONDS = 2;
const MOST_SECONDS = 30;

/**
 * Run `refresh(signal)` now and then every two seconds until the page is left.
 *
 * Returns a function that runs it at once, after an action for instance. An error it throws is
 * shown as the service being gone.
 */
export function poll(refresh) {
  const poller = new Poller(refresh);
  document.addEventListener("visibilitychange", () => poller.lookedAt(!document.hidden));
  window.addEventListener("online", () => poller.runNow());
  connection.onTryNow = () => poller.runNow();
  poller.runNow();
  return () => poller.runNow();
}

class Poller {
  #refresh;
  #timer = 0;
  #running = null;
  #failures = 0;

  constructor(refresh) {
    this.#refresh = refresh;
  }

  lookedAt(isLookedAt) {
    if (isLookedAt) return this.runNow();
    this.#stop();
  }

  async runNow() {
    this.#stop();
    if (document.hidden) return;
    const running = new AbortController();
    this.#running = running;
    const failure = await this.#outcome(running.signal);
    if (running !== this.#running) return; // a later run has taken over
    this.#note(failure);
  }

  async #outcome(signal) {
    try {
      await this.#refresh(signal);
      return null;
    } catch (error) {
      return error;
    }
  }

  #note(failure) {
    if (isSignedOut(failure)) return connection.signedOut();
    const isTheirs = failure instanceof Problem || failure instanceof NoAnswer;
    this.#failures = isTheirs ? this.#failures + 1 : 0;
    const seconds = Math.min(SECONDS * 2 ** this.#failures, MOST_SECONDS);
    if (isTheirs) connection.failed(failure, seconds);
    else connection.answered();
    if (failure && !isTheirs) reportError(failure); // a fault of this page, for its console
    this.#timer = setTimeout(() => this.runNow(), seconds * 1000);
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = null;
  }
}
