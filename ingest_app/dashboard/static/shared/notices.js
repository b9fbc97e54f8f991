// What came of an action: said aloud, and shown until the next one.

import { NoAnswer, isSignedOut } from "../api.js";
import { byId, element, setText } from "./dom.js";
import { signedOutWords } from "./visitor.js";

/** Say in a polite live region that something happened. */
export function announce(text) {
  setText(byId("announcer"), text);
}

/** Show why an action did not succeed, with the fields that the service names. */
export function showFailure(container, error) {
  container.replaceChildren(element("p", failureText(error)), ...fieldErrors(error));
  container.hidden = false;
}

/** Take an earlier failure away. */
export function clearFailure(container) {
  container.replaceChildren();
  container.hidden = true;
}

/** Run an action; true when it succeeded, else its failure is shown. */
export async function attempt(container, action) {
  clearFailure(container);
  try {
    await action();
    return true;
  } catch (error) {
    showFailure(container, error);
    return false;
  }
}

function failureText(error) {
  if (error instanceof NoAnswer) return "No answer came; try again when the service is back.";
  if (isSignedOut(error)) return `${signedOutWords} Sign in and try again.`;
  return error.message;
}

function fieldErrors(error) {
  const said = sentences(error.errors ?? {});
  if (said.length === 0) return [];
  const list = element("ul");
  list.append(...said.map((sentence) => element("li", sentence)));
  return [list];
}

function sentences(errors) {
  return Object.entries(errors).flatMap(([field, said]) =>
    Array.isArray(said) ? said.map((text) => `${field}: ${text}`) : atPositions(said),
  );
}

function atPositions(said) {
  return Object.entries(said).flatMap(([position, texts]) => {
    // Positions count from 0 on the wire and from 1 for people; other keys are words already.
    const place = /^\d+$/.test(position) ? `ID number ${Number(position) + 1}` : position;
    return [texts].flat().map((text) => `${place}: ${text}`);
  });
}
