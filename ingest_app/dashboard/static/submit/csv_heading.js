// Whether the first row of CSV names the columns. Pure.

const USUAL = /^(?:[a-z]+[ _-]?)?(?:ids?|key|code|number|no|sku|asin|isbn|ean)$/i;
const WORDS = /^[\p{L}_][^0-9]*$/u;
const NUMBER = /^[-+]?[0-9]+(?:[.,][0-9]+)*$/;

/**
 * True when the first of these rows is a heading, as seen from this column.
 *
 * Its cell is a usual name or stands alone above integers; or all its cells are words, and under
 * one of them stand numbers only.
 */
export function looksLikeHeading([head, ...rows], column, integer) {
  const cell = head?.[column];
  if (!cell || rows.length === 0 || integer.test(cell)) return false;
  return USUAL.test(cell) || isAll(integer, rows, column) || standsApart(head, rows);
}

function standsApart(head, rows) {
  // A digit is more usual in an ID than in the name of a column, and an ID lost is worse than a name sent.
  const named = head.filter(Boolean);
  return named.every((cell) => WORDS.test(cell)) && head.some((_, column) => isAll(NUMBER, rows, column));
}

function isAll(pattern, rows, column) {
  const cells = rows.map((row) => row[column]).filter(Boolean);
  return cells.length > 0 && cells.every((cell) => pattern.test(cell));
}
