// A card for each source: its pace, when it goes on, why it waits, and a hand on it.

import { send } from "../api.js";
import { byId, fromTemplate, setAttribute, setText, updateList } from "../shared/dom.js";
import { localTime, withLocalTimes } from "../shared/instants.js";
import { announce, attempt } from "../shared/notices.js";
import { serverClock } from "../shared/server_clock.js";
import { sum } from "../shared/states.js";
import { everyTick } from "../shared/ticking.js";
import { may } from "../shared/visitor.js";
import { counted, duration, number, pace } from "../shared/words.js";

export class SourceCards {
  #container;
  #changed;
  #cards = [];

  /** changed: called when a source was paused or resumed. */
  constructor(container, changed) {
    this.#container = container;
    this.#changed = changed;
    everyTick(() => this.#cards.forEach(countDown));
  }

  show(sources) {
    updateList(this.#container, sources, {
      key: (source) => source.name,
      create: (source) => this.#create(source.name),
      update: (card, source) => {
        card.source = source;
        showCard(card);
      },
    });
    this.#container.removeAttribute("aria-busy");
    this.#cards = this.#cards.filter((card) => card.root.isConnected);
  }

  #create(name) {
    const card = fromTemplate("source-template");
    setText(card.parts.name, name);
    card.parts.toggle.addEventListener("click", () => this.#toggle(card));
    this.#cards.push(card);
    return card;
  }

  async #toggle({ source }) {
    const verb = source.paused_at ? "resume" : "pause";
    const path = `/sources/${encodeURIComponent(source.name)}/${verb}`;
    const done = await attempt(byId("source-failure"), () => send(path, {}));
    if (done) announce(`Source ${source.name} is ${verb}d.`);
    this.#changed();
  }
}

function showCard(card) {
  const { source, parts } = card;
  const state = stateOf(source);
  setText(parts.state, state);
  setAttribute(parts.state, "data-state", state);
  setText(parts.pace, pace(source.batch_size, source.interval_seconds));
  setText(parts.in_flight, number(source.in_flight_count));
  setText(parts.waiting, waiting(source));
  setText(parts.why, why(source));
  setText(parts.error, error(source));
  showToggle(parts.toggle, source);
  countDown(card);
}

function showToggle(button, source) {
  const verb = source.paused_at ? "Resume" : "Pause";
  button.hidden = !may("operate");
  setText(button, verb);
  setAttribute(button, "aria-label", `${verb} ${source.name}`);
}

function countDown({ source, parts }) {
  if (!source) return;
  const seconds = source.next_slot_at ? serverClock.secondsTo(source.next_slot_at) : 0;
  const isOpen = seconds <= 0;
  setText(parts.slot, slotWords(source, seconds));
  // A wait longer than the interval is a deferral or the like: the bar is empty until its end.
  const left = Math.min(1, seconds / (source.interval_seconds || seconds));
  parts.countdown.value = isOpen || source.paused_at ? 0 : 1 - left;
}

function slotWords(source, seconds) {
  if (source.paused_at) return "when resumed";
  if (seconds <= 0) return "open";
  return seconds < 60 ? `in ${seconds.toFixed(1)} s` : `in ${duration(seconds)}`;
}

function stateOf(source) {
  if (!source.configured) return "not configured";
  if (source.paused_at) return "paused";
  if (isComing(source.deferred_until)) return "deferred";
  if (isComing(source.backoff_until)) return "left alone";
  return source.in_flight_count + sum(source.waiting) > 0 ? "working" : "idle";
}

function why(source) {
  if (source.paused_at) return `Paused since ${localTime(source.paused_at, true)}.`;
  // The countdown says this already, and better: the sentence is as old as the last poll.
  return waitsForSlot(source) ? "" : withLocalTimes(source.waits_for ?? "");
}

function waitsForSlot(source) {
  const isHeld = [source.deferred_until, source.backoff_until].some(isComing);
  return !isHeld && source.next_slot_at !== null && sum(source.waiting) > 0;
}

function error({ last_error: text }) {
  return text ? `Last error: ${text}` : "";
}

function isComing(instant) {
  return instant !== null && serverClock.secondsTo(instant) > 0;
}

function waiting(source) {
  const about = source.waiting_is_estimated ? "about " : "";
  return about + counted(sum(source.waiting), "batch", "batches");
}
