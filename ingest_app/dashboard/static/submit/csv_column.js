// A column of CSV (RFC 4180; also with semicolons or tabs). Pure.

import { unusableAt } from "./unusable.js";

const SEPARATORS = [",", ";", "\t"];
const LONGEST_HEAD = 10_000;
const MOST_COLUMNS = 500;
const EMPTY_LINES = /^(?: *[\r\n])*/;

/**
 * One cell of every row, empty where the row has none, without quotes around it.
 *
 * It begins with the first line that is not empty; Unusable where a quoted cell does not end.
 */
export function csvColumn(text, column = 0) {
  const separator = separatorOf(text);
  const cells = [];
  let cell = "";
  const take = (index, from, end) => {
    if (index === column) cell = unquoted(text.slice(from, end));
  };
  for (let at = startOf(text); at < text.length; cell = "") {
    at = offerCells(text, at, { separator, take });
    cells.push(cell);
  }
  return cells;
}

/** The first rows as arrays of cells without blanks around them, of at most 500 columns. */
export function firstRows(text, most) {
  const separator = separatorOf(text);
  const rows = [];
  const take = (index, from, end) => {
    if (index < MOST_COLUMNS) rows.at(-1).push(unquoted(text.slice(from, end)).trim());
  };
  for (let at = startOf(text); at < text.length && rows.length < most; ) {
    rows.push([]);
    at = offerCells(text, at, { separator, take });
  }
  return rows;
}

function startOf(text) {
  return EMPTY_LINES.exec(text)[0].length;
}

function separatorOf(text) {
  const head = text.slice(startOf(text)).slice(0, LONGEST_HEAD).replace(/(^|[,;\t])"(?:[^"]|"")*"/g, "$1");
  const [first] = head.split(/[\r\n]/, 1);
  return SEPARATORS.find((separator) => first.includes(separator)) ?? ",";
}

/** Offer the cells of the row that begins here; returns where the next row does. */
function offerCells(text, from, { separator, take }) {
  let end = from - 1;
  let index = 0;
  do {
    const start = end + 1;
    end = cellEnd(text, start, separator);
    take(index, start, end);
    index += 1;
  } while (text[end] === separator);
  return text.startsWith("\r\n", end) ? end + 2 : end + 1;
}

/** Where the cell that begins here ends: at a separator, a line break or the end of the text. */
function cellEnd(text, from, separator) {
  // Only at its start does a quote open a cell; elsewhere it is a character such as that of inches.
  if (text[from] === '"') return quotedEnd(text, from, separator);
  let at = from;
  while (at < text.length && !endsCell(text[at], separator)) at += 1;
  return at;
}

function quotedEnd(text, from, separator) {
  let at = closingQuote(text, from) + 1;
  while (text[at] === " ") at += 1;
  if (at < text.length && !endsCell(text[at], separator)) {
    throw unusableAt(text, from, "something follows the quote that ends a cell");
  }
  return at;
}

function closingQuote(text, from) {
  let quote = text.indexOf('"', from + 1);
  while (quote >= 0 && text[quote + 1] === '"') quote = text.indexOf('"', quote + 2);
  if (quote < 0) throw unusableAt(text, from, "a quote opens a cell and none ends it");
  return quote;
}

function endsCell(character, separator) {
  return character === separator || character === "\n" || character === "\r";
}

function unquoted(cell) {
  return cell.startsWith('"') ? cell.trimEnd().slice(1, -1).replaceAll('""', '"') : cell;
}
