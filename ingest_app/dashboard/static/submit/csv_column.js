// The first column of CSV (RFC 4180; also with semicolons or tabs). Pure.

import { unusableAt } from "./unusable.js";

const HEADING = /^"?(?:[a-z]+[ _-]?)?(?:ids?|key|code|number|no|sku|asin|isbn|ean)"?$/i;
const SAMPLE = 100;
const SEPARATORS = [",", ";", "\t"];
const LONGEST_HEAD = 10_000;

/** The first cell of every row, without quotes around it; Unusable where a quoted one does not end. */
export function csvColumn(text) {
  const separator = separatorOf(text);
  const cells = [];
  let at = 0;
  while (at < text.length) {
    let end = cellEnd(text, at, separator);
    cells.push(unquoted(text.slice(at, end)));
    while (text[end] === separator) end = cellEnd(text, end + 1, separator);
    at = text.startsWith("\r\n", end) ? end + 2 : end + 1;
  }
  return cells;
}

/** True when the first cell names the column: it is a usual name, or alone not an integer. */
export function looksLikeHeading(cells, integer) {
  if (cells.length < 2 || integer.test(cells[0])) return false;
  return HEADING.test(cells[0]) || cells.slice(1, SAMPLE).every((cell) => integer.test(cell));
}

function separatorOf(text) {
  const head = text.slice(0, LONGEST_HEAD).replace(/(^|[,;\t])"(?:[^"]|"")*"/g, "$1");
  const [first] = head.split(/[\r\n]/, 1);
  return SEPARATORS.find((separator) => first.includes(separator)) ?? ",";
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
