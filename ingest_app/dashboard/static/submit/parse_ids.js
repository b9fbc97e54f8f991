// From text to IDs. Pure: it runs in a worker, and a million IDs take it about a second.

import { readJson, writeJson } from "../shared/json.js";
import { csvColumn, looksLikeHeading } from "./csv_column.js";

const INTEGER = /^(0|-?[1-9][0-9]*)$/;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
const SAFE_DIGITS = 15;
const MOST_DIGITS = 19;
const STRING_LONGEST = 255;
const SHOWN_PROBLEMS = 10;

/**
 * The IDs in a text.
 *
 * options: `format` list, csv or json, or "" for what it looks like; `fileName`; `heading` true or
 * false, null for what it looks like; `asText` keeps numbers as strings; `once` drops duplicates.
 * Returns `tokens`, each ID as JSON text, with what there is to say of them.
 */
export function parseIds(text, options) {
  const format = options.format || formatOf(text, options.fileName ?? "");
  const found = readers[format](text, options);
  if (found.failure) return { ...emptyResult(format), ...found };
  const tokens = found.values.map(format === "json" ? tokenOf : tokenOfText).map(asAsked(options));
  const unique = new Set(tokens);
  return {
    format,
    heading: found.heading ?? null,
    tokens: options.once ? [...unique] : tokens,
    duplicateCount: tokens.length - unique.size,
    ...kinds(options.once ? unique : tokens),
    ...problemsOf(tokens),
    failure: null,
  };
}

const readers = { list: readList, csv: readCsv, json: readArray };

function formatOf(text, fileName) {
  if (/\.(csv|tsv)$/i.test(fileName)) return "csv";
  return /^\s*\[/.test(text) ? "json" : "list";
}

function readList(text) {
  return { values: text.split(/[\r\n,;\t]+/).map(trimmed).filter(Boolean) };
}

function readCsv(text, { heading }) {
  const cells = csvColumn(text).map((cell) => cell.trim()).filter(Boolean);
  const skipped = heading ?? looksLikeHeading(cells, INTEGER);
  return { values: skipped ? cells.slice(1) : cells, heading: skipped ? cells[0] : null };
}

function readArray(text) {
  try {
    const value = readJson(text);
    return Array.isArray(value) ? { values: value } : { failure: "This JSON is not an array." };
  } catch (error) {
    return { failure: `This is not a JSON array: ${error.message}` };
  }
}

/** A line of a list may have its ID between quotes. */
function trimmed(line) {
  const bare = line.trim();
  return /^"[^"]*"$/.test(bare) || /^'[^']*'$/.test(bare) ? bare.slice(1, -1) : bare;
}

// JSON says itself which ID is a number and which is text.
function tokenOf(value) {
  return writeJson(value);
}

// Text that is an integer without sign or zeros to spare is one: "007" must keep its zeros.
function tokenOfText(text) {
  return isIntegerText(text) ? text : JSON.stringify(text);
}

function asAsked({ asText }) {
  return asText ? (token) => (INTEGER.test(token) ? JSON.stringify(token) : token) : (token) => token;
}

function isIntegerText(text) {
  if (!INTEGER.test(text)) return false;
  if (text.length <= SAFE_DIGITS) return true;
  if (text.length > MOST_DIGITS + 1) return false;
  const value = BigInt(text);
  return value >= LEAST && value <= MOST;
}

function kinds(tokens) {
  let stringCount = 0;
  for (const token of tokens) if (token.startsWith('"')) stringCount += 1;
  const count = tokens.length ?? tokens.size;
  return { count, stringCount, integerCount: count - stringCount };
}

function problemsOf(tokens) {
  const problems = [];
  let problemCount = 0;
  tokens.forEach((token, index) => {
    const problem = problemOf(token);
    if (!problem) return;
    problemCount += 1;
    if (problems.length < SHOWN_PROBLEMS) problems.push(`ID number ${index + 1} ${problem}.`);
  });
  return { problems, problemCount };
}

function problemOf(token) {
  if (INTEGER.test(token)) return isIntegerText(token) ? null : "has more than 64 bits";
  if (!token.startsWith('"')) return "is neither an integer nor text";
  // A token is never shorter than its text, so most need no closer look.
  if (token.length <= STRING_LONGEST && !token.includes("\\u") && token !== '""') return null;
  const text = JSON.parse(token);
  if (text === "") return "is empty";
  if ([...text].length > STRING_LONGEST) return `is longer than ${STRING_LONGEST} characters`;
  return text.includes("\0") || /\p{Cs}/u.test(text) ? "has a character that cannot be stored" : null;
}

function emptyResult(format) {
  return {
    format,
    heading: null,
    tokens: [],
    count: 0,
    stringCount: 0,
    integerCount: 0,
    duplicateCount: 0,
    problems: [],
    problemCount: 0,
  };
}
