// Asking before something that cannot be taken back.

import { byId, element, setText } from "./dom.js";

/**
 * Ask in a dialog; the value of the choice taken, or null.
 *
 * choices: [value, label] each a button; Escape and "Keep as it is" take none.
 */
export function confirmed({ title, text, choices }) {
  const dialog = byId("confirm");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  byId("confirm-choices").replaceChildren(...choices.map(([value, label]) => choice(value, label)));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || null), { once: true });
  });
}

function choice(value, label) {
  const button = element("button", label, { type: "button" });
  button.addEventListener("click", () => byId("confirm").close(value));
  return button;
}

byId("confirm-none").addEventListener("click", () => byId("confirm").close(""));
