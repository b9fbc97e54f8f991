// What a newcomer may do, shown while nothing was ever handed over.

import { addressOf } from "../api.js";
import { byId, setText } from "../shared/dom.js";
import { isSignedIn } from "../shared/visitor.js";

/** Show or hide the first steps. */
export function showWelcome(isNew) {
  byId("welcome").hidden = !isNew;
  const authorization = isSignedIn ? '-H "Authorization: Bearer $INGEST_API_KEY" ' : "";
  const service = location.origin + addressOf("");
  setText(
    byId("welcome-commands"),
    (isSignedIn ? "export INGEST_API_KEY=ing_...\n" : "") +
      `curl ${service}/ingest ${authorization}--json '{"ids": [1, 2, 3], "priority": "HIGH"}'\n` +
      `INGEST_URL=${service} ingest submit 1 2 3 --priority HIGH --watch`,
  );
}
