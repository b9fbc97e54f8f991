// Filters stand in the address, so that a view can be kept as a bookmark, sent on and reloaded.

/** What the address says of these names; empty text for what it does not name. */
export function fromAddress(names) {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(names.map((name) => [name, query.get(name) ?? ""]));
}

/** Let the address say this; what is empty is left out. */
export function toAddress(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  history.replaceState(history.state, "", text ? `?${text}` : location.pathname);
}

/** Bind selects to the address: they start as it says, and a change is written there. */
export function bindToAddress(selects, changed) {
  const said = fromAddress(Object.keys(selects));
  for (const [name, select] of Object.entries(selects)) {
    select.value = said[name];
    if (select.selectedIndex < 0) select.value = "";
    select.addEventListener("change", () => {
      toAddress({ [name]: select.value });
      changed();
    });
  }
}
