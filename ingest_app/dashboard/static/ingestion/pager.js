// Previous, next and jump, for lists that are read from a position on.

import { partsOf, setText } from "../shared/dom.js";
import { number } from "../shared/words.js";

/** after: the position that the page begins behind; 0 is the first page. */
export class Pager {
  #parts;
  #size;
  #before = [];
  #next = null;
  after = 0;

  /** size: entries of a page; moved: called when another page is to be shown. */
  constructor(element, size, moved) {
    this.#size = size;
    this.#parts = partsOf(element);
    this.#parts.next.addEventListener("click", () => this.#forward(moved));
    this.#parts.previous.addEventListener("click", () => this.#back(moved));
  }

  /** Begin behind another position. */
  jump(after) {
    this.#before = [];
    this.after = after;
  }

  /** Say what is shown; `next` is the path of the next page, null at the end. */
  show(positions, next) {
    this.#next = next;
    const [first, last] = [positions[0], positions.at(-1)];
    setText(this.#parts.where, first ? `${number(first)} – ${number(last)}` : "");
    // Not `disabled`: that would take the focus away from whoever pages by keyboard.
    this.#parts.previous.setAttribute("aria-disabled", this.after === 0);
    this.#parts.next.setAttribute("aria-disabled", next === null);
  }

  #forward(moved) {
    if (this.#next === null) return;
    this.#before.push(this.after);
    this.after = Number(new URLSearchParams(this.#next.split("?")[1]).get("after"));
    this.#next = null;
    moved();
  }

  #back(moved) {
    if (this.after === 0) return;
    // After a jump no page was seen before this one, so as many positions are gone back.
    this.after = this.#before.pop() ?? Math.max(0, this.after - this.#size);
    moved();
  }
}
