// The chart in words: for those who do not see it, and for all who want the numbers.

import { byId, element, setText, updateList } from "../shared/dom.js";
import { localTime } from "../shared/instants.js";
import { counted, listed, number } from "../shared/words.js";

/** The outcomes from the bottom of the chart to its top. */
export const OUTCOMES = [
  "completed",
  "in_flight",
  "retried",
  "deferred",
  "released",
  "lost",
  "failed",
];

/** "3 slots: 2 completed, 1 failed" of one bucket of time. */
export function bucketWords(activity, bucket) {
  const counts = countsOf(activity, bucket);
  const outcomes = listed(counts);
  const slots = `${timeOf(activity, bucket)}: ${counted(sum(counts), "slot")}`;
  return outcomes ? `${slots}: ${outcomes}` : slots;
}

/** Say what the whole chart shows. */
export function showSummary(activity) {
  const totals = totalsOf(activity);
  const used = sum(totals);
  const about = activity.approximate ? "About " : "";
  const said = used ? `${about}${counted(used, "slot")} used in the last ${activity.span}: ` : "";
  const nothing = `No slot was used in the last ${activity.span}.`;
  setText(byId("activity-summary"), said ? `${said}${listed(totals)}.` : nothing);
}

/** Name the colours, with the total of each; outcomes that do not occur are left out. */
export function showLegend(activity) {
  const totals = Object.entries(totalsOf(activity)).filter(([, total]) => total > 0);
  updateList(byId("activity-legend"), totals, {
    key: ([outcome]) => outcome,
    create: ([outcome]) => legendEntry(outcome),
    update: (entry, [, total]) => setText(entry.total, number(total)),
  });
}

/** Fill the table: the newest bucket first, none that is empty. */
export function showTable(activity) {
  if (!byId("activity-details").open) return;
  const outcomes = OUTCOMES.filter((outcome) => totalsOf(activity)[outcome] > 0);
  const buckets = [...activity.starts_at.keys()].filter((bucket) => sum(countsOf(activity, bucket)));
  const columns = ["Time", "Slots", ...outcomes.map((outcome) => outcome.replace("_", " "))];
  byId("activity-columns").replaceChildren(
    ...columns.map((text) => element("th", text, { scope: "col" })),
  );
  byId("activity-rows").replaceChildren(
    ...buckets.reverse().map((bucket) => tableRow(activity, bucket, outcomes)),
  );
}

function tableRow(activity, bucket, outcomes) {
  const counts = countsOf(activity, bucket);
  const cells = [sum(counts), ...outcomes.map((outcome) => counts[outcome])];
  const row = element("tr");
  row.append(element("th", timeOf(activity, bucket), { scope: "row" }));
  row.append(...cells.map((count) => element("td", number(count))));
  return row;
}

function legendEntry(outcome) {
  const root = element("li", "", { "data-outcome": outcome });
  const total = element("b");
  root.append(element("span", outcome.replace("_", " ")), total);
  return { root, total };
}

function timeOf(activity, bucket) {
  return localTime(activity.starts_at[bucket], false);
}

function countsOf(activity, bucket) {
  return Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, activity.outcomes[outcome][bucket]]),
  );
}

function totalsOf(activity) {
  return Object.fromEntries(
    OUTCOMES.map((outcome) => [outcome, activity.outcomes[outcome].reduce((a, b) => a + b, 0)]),
  );
}

function sum(counts) {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
