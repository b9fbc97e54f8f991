// The overview: what it reads, and which part shows it.

import { read } from "../api.js";
import { byId } from "../shared/dom.js";
import { poll } from "../shared/polling.js";
import { Activity } from "./activity.js";
import { IngestionList } from "./ingestion_list.js";
import { offerSources } from "./source_choice.js";
import { SourceCards } from "./source_cards.js";
import { showWaiting } from "./waiting.js";
import { showWelcome } from "./welcome.js";

const cards = new SourceCards(byId("sources"), () => refreshNow());
const ingestions = new IngestionList(() => refreshNow());
const activity = new Activity(() => refreshNow());
const refreshNow = poll(refresh);

async function refresh(signal) {
  const [sources] = await Promise.all([
    readSources(signal),
    ingestions.refresh(signal),
    activity.refresh(signal),
  ]);
  showWelcome(ingestions.isEmpty && sources.every((source) => source.in_flight_count === 0));
}

async function readSources(signal) {
  const { sources } = (await read("/sources", { signal })).body;
  cards.show(sources);
  showWaiting(sources);
  offerSources(sources.map((source) => source.name));
  return sources;
}
