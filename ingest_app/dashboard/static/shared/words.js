// Numbers, times and durations as people read them. Pure.

const numbers = new Intl.NumberFormat("en");
const DAY_SECONDS = 86_400;
const STATES = {
  yet_to_start: "waiting",
  triggered: "in flight",
  completed: "completed",
  failed: "failed",
  cancelled: "cancelled",
};
const INGESTION_STATES = { ...STATES, triggered: "running" };

/** A whole number with its thousands set apart. */
export function number(value) {
  return numbers.format(value);
}

/** "1 batch", "2,000 batches". */
export function counted(value, one, many = `${one}s`) {
  return `${number(value)} ${Number(value) === 1 ? one : many}`;
}

/** Words for the state of a batch. */
export function batchState(status) {
  return STATES[status] ?? status;
}

/** Words for the state of an ingestion. */
export function ingestionState(status) {
  return INGESTION_STATES[status] ?? status;
}

/** "3 h 20 min"; the two largest units, seconds alone below a minute. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 1) return "under 1 s";
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(whole, 60, "min", 1, "s");
  if (whole < DAY_SECONDS) return pair(whole, 3600, "h", 60, "min");
  return pair(whole, DAY_SECONDS, "d", 3600, "h");
}

/** "16:38" today, else with the day in front; local time. */
export function timeOfDay(date, { seconds = false, now = new Date() } = {}) {
  const clock = { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) };
  const time = date.toLocaleTimeString("en-GB", clock);
  return date.toDateString() === now.toDateString() ? time : `${day(date, now)}, ${time}`;
}

/** How fast a source goes: "3 IDs every 5 s". */
export function pace(batchSize, intervalSeconds) {
  if (intervalSeconds === null || batchSize === null) return "unknown";
  const ids = counted(batchSize, "ID");
  return intervalSeconds === 0 ? `${ids} a call, no limit` : `${ids} every ${short(intervalSeconds)}`;
}

/** "120 completed, 3 failed" of counts by name; those that are zero are left out. */
export function listed(counts, wordOf = (name) => name) {
  const said = Object.entries(counts).filter(([, value]) => value > 0);
  return said.map(([name, value]) => `${number(value)} ${wordOf(name).replace("_", " ")}`).join(", ");
}

function pair(seconds, unitSeconds, unit, partSeconds, part) {
  const parts = Math.round((seconds % unitSeconds) / partSeconds);
  const carried = parts * partSeconds === unitSeconds;
  const whole = Math.floor(seconds / unitSeconds) + (carried ? 1 : 0);
  return carried || parts === 0 ? `${number(whole)} ${unit}` : `${number(whole)} ${unit} ${parts} ${part}`;
}

function day(date, now) {
  const year = date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", ...year });
}

function short(seconds) {
  return seconds < 60 ? `${seconds} s` : duration(seconds);
}
