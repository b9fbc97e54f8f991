// What was understood of the text or file: how many IDs, which come first, and what to say of them.

import { byId, element, setText } from "../shared/dom.js";
import { counted, number } from "../shared/words.js";

const FORMATS = { list: "a list", csv: "CSV", json: "a JSON array" };
const LONGEST_SHOWN = 40;

/** Show what a text was parsed into, and the choices that there are for it. */
export function showFound(found) {
  setText(byId("tally"), found.failure ?? tally(found));
  setText(byId("first"), found.failure ? "" : firstIds(found));
  const remarks = found.failure ? [] : remarksOn(found);
  byId("remarks").replaceChildren(...remarks.map((remark) => element("li", remark)));
  showColumns(found);
  byId("heading-label").hidden = found.format !== "csv";
  byId("heading").checked = (found.heading ?? null) !== null;
  byId("once-label").hidden = !found.duplicateCount;
}

function tally(found) {
  if (found.count === 0) return "No IDs yet.";
  const kinds = [
    found.integerCount && counted(found.integerCount, "integer"),
    found.stringCount && counted(found.stringCount, "text", "texts"),
  ].filter(Boolean);
  return `${counted(found.count, "ID")}: ${kinds.join(" and ")}, read as ${FORMATS[found.format]}.`;
}

function firstIds({ first, count }) {
  return first.length ? `First: ${first.map(shortened).join(", ")}${count > first.length ? ", …" : ""}` : "";
}

function showColumns({ columns = [], column }) {
  byId("column-label").hidden = columns.length < 2;
  const names = columns.map((cell, index) => shortened(cell) || `column ${index + 1}`);
  byId("column").replaceChildren(...names.map((name, index) => element("option", name, { value: index })));
  byId("column").value = column;
}

function shortened(text) {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

function remarksOn(found) {
  const remarks = [...found.problems];
  const more = found.problemCount - found.problems.length;
  if (more > 0) remarks.push(`${number(more)} more are not allowed.`);
  if (found.heading) remarks.push(`The heading “${shortened(found.heading)}” is left out.`);
  if (found.heading === "") remarks.push("Row 1 is left out as a heading.");
  if (found.doubtful) remarks.push(`Row 1 is taken: “${shortened(found.doubtful)}” is an ID like the others.`);
  if (found.duplicateCount) remarks.push(duplicates(found.duplicateCount));
  return remarks;
}

function duplicates(count) {
  const fate = byId("once").checked ? "left out" : "fetched again";
  return `${counted(count, "ID stands", "IDs stand")} there before and ${count === 1 ? "is" : "are"} ${fate}.`;
}
