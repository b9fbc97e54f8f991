// Reads IDs beside the page, which stays quick with a million of them.

import { parseIds } from "./parse_ids.js";

addEventListener("message", async ({ data: { run, source, options } }) => {
  postMessage({ run, ...(await outcome(source, options)) });
});

async function outcome(source, options) {
  const text = typeof source === "string" ? source : await textOf(source);
  if (text === null) return { failure: "This file is not UTF-8 text.", count: 0 };
  const { tokens, ...said } = parseIds(text, options);
  // A Blob is handed over without being copied; the page never holds the IDs as values.
  return { ...said, ids: new Blob(["[", tokens.join(","), "]"]) };
}

async function textOf(file) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
