// JSON in which integers keep all their digits: IDs have up to 64 bits, numbers here only 53.

const LONG_NUMBER = /[0-9]{16}/;
const LONG_INTEGER = /^-?[1-9][0-9]{15,}$/;
const PIECES = /\\.|"|-?[0-9][0-9.eE+-]*/gs;

// Not every browser tells a reviver how a number was written, so long integers travel as strings
// that no one else can have written.
const mark = `integer ${[...crypto.getRandomValues(new Uint32Array(4))].join("-")} `;
const marked = new RegExp(`"${mark}(-?[0-9]+)"`, "g");

/** The value of a JSON text; integers that a number cannot hold are BigInts (SyntaxError). */
export function readJson(text) {
  const value = JSON.parse(text); // in any case: what is wrong is said of this text
  return LONG_NUMBER.test(text) ? withoutMarks(JSON.parse(withMarks(text))) : value;
}

/** The JSON text of such a value. */
export function writeJson(value) {
  return JSON.stringify(value, given)?.replace(marked, "$1");
}

function withMarks(text) {
  let isInside = false; // a string
  return text.replace(PIECES, (piece) => {
    if (piece === '"') isInside = !isInside;
    return !isInside && LONG_INTEGER.test(piece) ? `"${mark}${piece}"` : piece;
  });
}

// Not a reviver: with one, a million numbers take twenty seconds.
function withoutMarks(value) {
  if (typeof value === "string") return value.startsWith(mark) ? integer(value) : value;
  if (Array.isArray(value)) return value.map(withoutMarks);
  if (typeof value !== "object" || value === null) return value;
  for (const key of Object.keys(value)) value[key] = withoutMarks(value[key]);
  return value;
}

function integer(text) {
  const digits = text.slice(mark.length);
  return Number.isSafeInteger(Number(digits)) ? Number(digits) : BigInt(digits);
}

function given(_key, value) {
  return typeof value === "bigint" ? mark + value : value;
}
