// The one place where requests are made. Answers that carry an ETag are asked for again with
// If-None-Match, so that a poll that brings nothing new costs next to nothing.

import { readJson } from "./shared/json.js";
import { serverClock } from "./shared/server_clock.js";
import { proof } from "./shared/visitor.js";

const TIMEOUT_MS = 15_000;
const MOST_KEPT = 100;
const base = document.documentElement.dataset.base ?? "";
const kept = new Map(); // path -> what it answered last, the longest unused first

/** The service refused, and says why (RFC 9457). */
export class Problem extends Error {
  constructor(status, { detail, errors } = {}) {
    super(detail ?? `The service answered with status ${status}.`);
    this.status = status;
    this.errors = errors ?? {};
  }
}

/** No answer came that could be understood. */
export class NoAnswer extends Error {}

/** True when the session of this page is over: by its time, or its key was revoked. */
export function isSignedOut(error) {
  return error instanceof Problem && error.status === 401;
}

/** GET a path: its body, and the path of the next page or null (Problem, NoAnswer). */
export async function read(path, { signal } = {}) {
  const known = kept.get(path);
  const headers = known ? { "If-None-Match": known.tag } : {};
  const response = await request(path, { headers, signal: withTimeout(signal) });
  if (response.status === 304) return keep(path, known).answer;
  const answer = { body: await bodyOf(response), next: nextOf(response) };
  const tag = response.headers.get("ETag");
  if (tag) keep(path, { tag, answer });
  return answer;
}

/**
 * POST a value, or a Blob that is JSON already, and return the body (Problem, NoAnswer).
 *
 * A submission has no time limit: a slow line may take minutes for a million IDs.
 */
export async function send(path, value, { headers = {}, signal } = {}) {
  const body = value instanceof Blob ? value : JSON.stringify(value);
  const response = await request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
    signal,
  });
  return bodyOf(response);
}

/** The address of a path, for links and downloads. */
export function addressOf(path) {
  return base + path;
}

async function request(path, options) {
  const sentAt = performance.now();
  const response = await fetched(base + path, options);
  serverClock.note(response.headers.get("Date"), sentAt, performance.now());
  if (response.ok || response.status === 304) return response;
  throw new Problem(response.status, await problemOf(response));
}

async function fetched(address, options) {
  try {
    // The ETags are ours; the browser's own cache would hide the 304s and their Date.
    const headers = { ...proof, ...options.headers };
    return await fetch(address, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (options.signal?.aborted && error.name === "AbortError") throw error;
    throw new NoAnswer(error.message);
  }
}

async function bodyOf(response) {
  try {
    return readJson(await response.text());
  } catch (error) {
    throw new NoAnswer(error.message);
  }
}

async function problemOf(response) {
  return response.json().catch(() => ({}));
}

function nextOf(response) {
  const found = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "");
  return found ? found[1].slice(base.length) : null;
}

function keep(path, entry) {
  kept.delete(path); // to stand last again
  kept.set(path, entry);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return entry;
}

function withTimeout(signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  return signal ? AbortSignal.any([signal, timeout]) : timeout;
}
