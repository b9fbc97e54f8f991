// What a newcomer may do, shown while nothing was ever handed over.

import { addressOf } from "../api.js";
import { byId, setText } from "../shared/dom.js";

/** Show or hide the first steps. */
export function showWelcome(isNew) {
  byId("welcome").hidden = !isNew;
  const service = location.origin + addressOf("");
  setText(
    byId("welcome-commands"),
    `curl ${service}/ingest --json '{"ids": [1, 2, 3], "priority": "HIGH"}'\n` +
      `INGEST_URL=${service} ingest submit 1 2 3 --priority HIGH --watch`,
  );
}
