// Changing the page in place: what has focus, is open or selected stays so, and what comes from
// outside is only ever text.

/** The element of this id; it must be there. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found;
}

/** A copy of a <template>: its one element, and the elements in it by their data-part. */
export function fromTemplate(id) {
  const root = byId(id).content.firstElementChild.cloneNode(true);
  return { root, parts: partsOf(root) };
}

/** The elements inside `root` by their data-part. */
export function partsOf(root) {
  const found = [...root.querySelectorAll("[data-part]")];
  return Object.fromEntries(found.map((element) => [element.dataset.part, element]));
}

/** Set an element's text; nothing is touched when it is the same, so a selection stays. */
export function setText(element, text) {
  const wanted = String(text ?? "");
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set an attribute, or remove it for null. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A new element with text and attributes. */
export function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

const shown = new WeakMap(); // container -> Map of key -> what `create` returned

/**
 * Make the children of `container` those of `items`, in order, each created once and then updated.
 *
 * create(item) returns an object with `root`; update(view, item) changes it in place.
 */
export function updateList(container, items, { key, create, update }) {
  const before = shown.get(container) ?? new Map();
  const after = new Map(items.map((item) => [key(item), before.get(key(item)) ?? create(item)]));
  for (const [name, view] of before) if (!after.has(name)) view.root.remove();
  shown.set(container, after);
  placeInOrder(container, [...after.values()]);
  for (const item of items) update(after.get(key(item)), item);
}

function placeInOrder(container, views) {
  const ours = new Set(views.map(({ root }) => root));
  let place = [...container.children].find((child) => ours.has(child)) ?? null;
  for (const { root } of views) {
    // Only what is out of place moves: moving an element takes its focus away.
    if (root === place) place = place.nextElementSibling;
    else container.insertBefore(root, place);
  }
}
