// The selects that name sources get their options from what the service has.

import { byId, element } from "../shared/dom.js";
import { fromAddress } from "../shared/address_bar.js";

/** Offer these sources wherever one may be chosen; what is chosen stays. */
export function offerSources(names) {
  offer(byId("filter-source"), names, fromAddress(["source"]).source);
  offer(byId("activity-source"), names, "");
  byId("activity-source-label").hidden = names.length < 2;
}

function offer(select, names, wanted) {
  const there = new Set([...select.options].map((option) => option.value));
  const missing = names.filter((name) => !there.has(name));
  select.append(...missing.map((name) => element("option", name, { value: name })));
  if (missing.includes(wanted)) select.value = wanted;
}
