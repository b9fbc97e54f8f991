// What time it is at the service, whatever the clock of this computer says.

const SECOND_MS = 1000;

/**
 * Narrowed with every answer: a Date header is cut to the second, and was written between sending
 * and receiving. So each answer bounds the difference from both sides, and the bounds are kept.
 */
export class ServerClock {
  #least = -Infinity;
  #most = Infinity;

  /** Learn from an answer; the instants are those of `performance.now()`, which nobody can set. */
  note(dateHeader, sentAt, receivedAt) {
    const date = Date.parse(dateHeader ?? "");
    if (Number.isNaN(date)) return;
    const least = Math.max(this.#least, date - receivedAt);
    const most = Math.min(this.#most, date + SECOND_MS - sentAt);
    // Bounds that contradict each other: a clock was set, or this computer slept.
    [this.#least, this.#most] =
      least <= most ? [least, most] : [date - receivedAt, date + SECOND_MS - sentAt];
  }

  /** Milliseconds since 1970; this computer's own until an answer came. */
  now() {
    if (this.#most === Infinity) return Date.now();
    return performance.now() + (this.#least + this.#most) / 2;
  }

  /** Seconds from now to an instant as the interface writes it; negative when it is past. */
  secondsTo(instant) {
    return (Date.parse(instant) - this.now()) / SECOND_MS;
  }
}

export const serverClock = new ServerClock();
