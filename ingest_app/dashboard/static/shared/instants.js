// <time> elements: local time to read, UTC in the title.

import { setAttribute, setText } from "./dom.js";
import { serverClock } from "./server_clock.js";
import { duration, timeOfDay } from "./words.js";

const UTC_TIME = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC/g;

/** Show an instant in a <time>, local; `absent` for null. */
export function showInstant(element, instant, { seconds = false, absent = "–" } = {}) {
  setAttribute(element, "datetime", instant);
  setAttribute(element, "title", instant && utc(instant));
  setText(element, instant ? localTime(instant, seconds) : absent);
}

/** Show when something will be: "16:38, in 3 h 20 min"; `before` may be "about ". */
export function showComing(element, instant, { before = "", absent = "–" } = {}) {
  setAttribute(element, "datetime", instant);
  setAttribute(element, "title", instant && utc(instant));
  setText(element, instant ? `${before}${localTime(instant, false)}, ${distance(instant)}` : absent);
}

/** "in 3 h 20 min", "now" or "12 s ago", by the service's clock. */
export function distance(instant) {
  const seconds = serverClock.secondsTo(instant);
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${duration(seconds)}` : `${duration(-seconds)} ago`;
}

/** An instant as local time of day. */
export function localTime(instant, seconds) {
  return timeOfDay(new Date(instant), { seconds, now: new Date(serverClock.now()) });
}

/** A sentence of the service with the UTC times in it as local ones. */
export function withLocalTimes(sentence) {
  return sentence.replace(UTC_TIME, (_found, day, time) => localTime(`${day}T${time}Z`, true));
}

function utc(instant) {
  return `${instant.slice(0, 10)} ${instant.slice(11, 19)} UTC`;
}
