// Who looks at this page. The service checks each request all the same.

const { may: granted = "", csrfToken = null } = document.documentElement.dataset;

/** True where somebody signed in; false while nobody needs a key. */
export const isSignedIn = csrfToken !== null;

/** What shows the service that a request comes from a page of this session; none without one. */
export const proof = isSignedIn ? { "X-CSRF-Token": csrfToken } : {};

/** Why this page is refused now: its session is over, or there was no key when it was opened. */
export const signedOutWords = isSignedIn
  ? "You are no longer signed in."
  : "An API key has been created, so one is needed now.";

/** True when their role allows it: "submit" (cancel and retry, too) or "operate". */
export function may(what) {
  return granted.split(" ").includes(what);
}
