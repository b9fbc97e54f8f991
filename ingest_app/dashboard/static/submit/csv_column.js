// The first column of CSV (RFC 4180; also with semicolons or tabs). Pure.

const HEADING = /^"?(?:[a-z]+[ _-]?)?(?:ids?|key|code|number|no|sku|asin|isbn|ean)"?$/i;
const SAMPLE = 100;

/** The first cell of every row; quotes are taken off, and a row may span lines. */
export function csvColumn(text) {
  const separator = separatorOf(text);
  const cells = [];
  let at = 0;
  while (at < text.length) {
    const end = text[at] === '"' ? closingQuote(text, at) : at;
    const stop = cellEnd(text, end, separator);
    cells.push(unquoted(text.slice(at, stop)));
    at = rowEnd(text, stop);
  }
  return cells;
}

/** True when the first cell names the column: it is a usual name, or alone not an integer. */
export function looksLikeHeading(cells, integer) {
  if (cells.length < 2 || integer.test(cells[0])) return false;
  return HEADING.test(cells[0]) || cells.slice(1, SAMPLE).every((cell) => integer.test(cell));
}

function separatorOf(text) {
  const first = text.slice(0, rowEnd(text, 0));
  return [",", ";", "\t"].find((separator) => first.includes(separator)) ?? ",";
}

function closingQuote(text, at) {
  let quote = text.indexOf('"', at + 1);
  while (quote >= 0 && text[quote + 1] === '"') quote = text.indexOf('"', quote + 2);
  return quote < 0 ? text.length : quote + 1;
}

function cellEnd(text, from, separator) {
  let at = from;
  while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") at += 1;
  return at;
}

/** Behind the line break that ends this row; one between quotes does not. */
function rowEnd(text, from) {
  let inside = false;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '"') inside = !inside;
    else if (!inside && text[at] === "\n") return at + 1;
    else if (!inside && text[at] === "\r" && text[at + 1] !== "\n") return at + 1;
  }
  return text.length;
}

function unquoted(cell) {
  return cell.startsWith('"') ? cell.slice(1).replace(/"\s*$/, "").replaceAll('""', '"') : cell;
}
