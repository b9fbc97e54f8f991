// From text to IDs. Pure: it runs in a worker, and a million IDs take it about a second.

import { readJson, writeJson } from "../shared/json.js";
import { csvColumn, firstRows } from "./csv_column.js";
import { looksLikeHeading } from "./csv_heading.js";
import { listed } from "./plain_list.js";
import { Unusable } from "./unusable.js";

const INTEGER = /^(0|-?[1-9][0-9]*)$/;
const LEAST = -(2n ** 63n);
const MOST = 2n ** 63n - 1n;
const SAFE_DIGITS = 15;
const MOST_DIGITS = 19;
const STRING_LONGEST = 255;
const SHOWN_PROBLEMS = 10;
const SHOWN_FIRST = 5;
const SAMPLE = 100;

/**
 * The IDs in a text.
 *
 * options: `format` list, csv or json, or "" for what it looks like; `fileName`; `heading` true or
 * false, null for what it looks like; `column` of CSV, counted from 0; `asText` keeps numbers as strings; `once` drops duplicates.
 * Returns `tokens`, each ID as JSON text, with what there is to say of them.
 */
export function parseIds(text, options) {
  const format = options.format || formatOf(text, options.fileName ?? "");
  const found = foundIn(text, format, options);
  if (found.failure) return { ...emptyResult(format), ...found };
  const tokens = found.tokens.map(asAsked(options));
  const unique = new Set(tokens);
  return {
    format,
    ...columnsOf(found),
    tokens: options.once ? [...unique] : tokens,
    first: (options.once ? [...unique] : tokens).slice(0, SHOWN_FIRST).map(shown),
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

function foundIn(text, format, options) {
  try {
    return readers[format](text, options);
  } catch (error) {
    if (error instanceof Unusable) return { failure: error.message };
    throw error;
  }
}

function readList(text) {
  const tokens = [];
  for (const { quoted, plain } of listed(text)) {
    tokens.push(plain === undefined ? JSON.stringify(quoted) : tokenOfText(plain));
  }
  return { tokens };
}

function readCsv(text, options) {
  const rows = firstRows(text, SAMPLE);
  const columns = rows[0] ?? [];
  const column = options.column < columns.length ? options.column : 0;
  const skipped = options.heading ?? looksLikeHeading(rows, column, INTEGER);
  const cells = csvColumn(text, column).slice(skipped ? 1 : 0);
  const values = cells.map((cell) => cell.trim()).filter(Boolean);
  return { tokens: values.map(tokenOfText), columns, column, heading: skipped ? (columns[column] ?? "") : null };
}

// `doubtful` is the cell of the first row that is taken for an ID and might be a heading.
function columnsOf({ columns = [], column = 0, heading = null }) {
  const cell = columns[column];
  const doubtful = heading === null && cell && !INTEGER.test(cell) ? cell : null;
  return { columns, column, heading, doubtful };
}

function shown(token) {
  return token.startsWith('"') ? JSON.parse(token) : token;
}

function readArray(text) {
  try {
    const value = readJson(text);
    if (!Array.isArray(value)) return { failure: "This JSON is not an array." };
    return { tokens: value.map(tokenOf) };
  } catch (error) {
    return { failure: `This is not a JSON array: ${error.message}` };
  }
}

// JSON says itself which ID is a number and which is text.
function tokenOf(value) {
  // Written with a fraction or exponent, and beyond what such a number is exact for.
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) return value.toExponential();
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
    ...columnsOf({}),
    tokens: [],
    first: [],
    count: 0,
    stringCount: 0,
    integerCount: 0,
    duplicateCount: 0,
    problems: [],
    problemCount: 0,
  };
}
