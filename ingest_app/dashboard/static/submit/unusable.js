// Text that cannot be read as what it is said to be.

/** The message is a sentence for people. */
export class Unusable extends Error {}

/** What is wrong with the text at this place, by its line. */
export function unusableAt(text, place, what) {
  const line = text.slice(0, place).split(/\r\n|\r|\n/).length;
  return new Unusable(`Line ${line}: ${what}.`);
}
