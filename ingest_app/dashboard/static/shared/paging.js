// Lists that come in pages, each of which may be short because it has looked at a bounded number.

import { read } from "../api.js";

const MOST_REQUESTS = 8;

/**
 * Follow a list until `wanted` entries are there, it ends, or enough has been asked for.
 *
 * Returns the entries and the path that leads on, null at the end.
 */
export async function readPages(path, name, { wanted, signal }) {
  const entries = [];
  let next = path;
  for (let request = 0; next && request < MOST_REQUESTS && entries.length < wanted; request += 1) {
    const answer = await read(next, { signal });
    entries.push(...answer.body[name]);
    next = answer.next;
  }
  return { entries, next };
}

/** A path with a query of what is not empty. */
export function withQuery(path, query) {
  const filled = Object.entries(query).filter(([, value]) => value !== "" && value != null);
  const text = new URLSearchParams(filled).toString();
  return text ? `${path}?${text}` : path;
}
