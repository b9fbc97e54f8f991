// Small things that move between two polls, such as a countdown.

const stillness = matchMedia("(prefers-reduced-motion: reduce)");
const ticks = new Set();
let timer = 0;

/** Run `tick` ten times a second while the page is looked at (once, where motion is not wanted). */
export function everyTick(tick) {
  ticks.add(tick);
  start();
}

function start() {
  clearInterval(timer);
  if (document.hidden) return;
  timer = setInterval(() => ticks.forEach((tick) => tick()), stillness.matches ? 1000 : 100);
}

document.addEventListener("visibilitychange", start);
stillness.addEventListener("change", start);
