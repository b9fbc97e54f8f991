// A list as people write it: IDs apart by line breaks or commas, as the command line takes it. Pure.

import { unusableAt } from "./unusable.js";

const BETWEEN = /[\s,]*/y;
const PLAIN = /[^,\r\n]*/y;
const QUOTED = /"(?:[^"\\\r\n]|\\[^\r\n])*"/y;
const BLANKS = /[^\S\r\n]*(?=[,\r\n]|$)/y;

/**
 * The IDs of a list, each once as `plain` text without the blanks around it, or as `quoted` text.
 *
 * What stands in double quotes is a JSON string, which may hold commas; Unusable where it is none.
 */
export function* listed(text) {
  for (let at = past(BETWEEN, text, 0); at < text.length; at = past(BETWEEN, text, at)) {
    const from = at;
    at = text[from] === '"' ? quotedEnd(text, from) : past(PLAIN, text, from);
    const token = text.slice(from, at).trim();
    yield token.startsWith('"') ? { quoted: stringOf(text, from, token) } : { plain: token };
  }
}

function quotedEnd(text, from) {
  const end = past(QUOTED, text, from);
  if (end === null) throw unusableAt(text, from, "a quote is opened and not closed");
  const behind = past(BLANKS, text, end);
  if (behind === null) throw unusableAt(text, end, "something follows a closing quote");
  return behind;
}

function stringOf(text, from, token) {
  try {
    return JSON.parse(token);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw unusableAt(text, from, "what stands between quotes is no JSON string");
  }
}

/** The place behind what matches here; null where nothing does. */
function past(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : null;
}
