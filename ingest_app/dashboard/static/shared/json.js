// JSON in which integers keep all their digits: IDs have up to 64 bits, numbers here only 53.

const LONG_NUMBER = /[0-9]{16}/;

/** The value of a JSON text; integers that a number cannot hold are BigInts (SyntaxError). */
export function readJson(text) {
  return LONG_NUMBER.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

/** The JSON text of such a value. */
export function writeJson(value, indent) {
  return JSON.stringify(value, asWritten, indent);
}

function exact(_key, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  return /^-?[0-9]+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}

function asWritten(_key, value) {
  return typeof value === "bigint" ? JSON.rawJSON(String(value)) : value;
}
