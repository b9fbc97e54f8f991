// Reads IDs beside the page, which stays quick with a million of them.

import { parseIds } from "./parse_ids.js";

addEventListener("message", async ({ data: { run, source, options } }) => {
  postMessage({ run, ...(await outcome(source, options)) });
});

async function outcome(source, options) {
  try {
    return idsIn(typeof source === "string" ? source : await textOf(source), options);
  } catch (error) {
    // The page waits for an answer, and hears nothing of what is thrown in a promise here.
    return { failure: reasonOf(error), isFileLost: isLost(error), count: 0 };
  }
}

function idsIn(text, options) {
  if (text === null) return { failure: "This file is not UTF-8 text.", count: 0 };
  const { tokens, ...said } = parseIds(text, options);
  // A Blob is handed over without being copied; the page never holds the IDs as values.
  return { ...said, ids: new Blob(["[", tokens.join(","), "]"]) };
}

async function textOf(file) {
  const bytes = await file.arrayBuffer();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function reasonOf(error) {
  if (isLost(error)) return "The file was changed or removed after it was chosen: choose it again.";
  return `The IDs cannot be read: ${error.message}`;
}

function isLost({ name }) {
  return name === "NotReadableError" || name === "NotFoundError";
}
