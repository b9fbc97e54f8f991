// Stacked bars, drawn by uPlot (a global of its own script).

import { setText } from "../shared/dom.js";
import { OUTCOMES, bucketWords } from "./activity_words.js";

/* global uPlot */

const HEIGHT = 170;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const timeAxis = (_chart, ticks) =>
  ticks.map((tick) =>
    new Date(tick * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }),
  );

export class ActivityChart {
  #container;
  #readout;
  #chart = null;
  #activity = null;

  constructor(container, readout) {
    this.#container = container;
    this.#readout = readout;
    darkness.addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#fit()).observe(container);
  }

  /** Draw what `/activity` answered. */
  show(activity) {
    const isOther = this.#activity?.span !== activity.span;
    this.#activity = activity;
    if (isOther || !this.#chart) this.#draw();
    else this.#chart.setData(stacked(activity));
  }

  #draw() {
    this.#chart?.destroy();
    this.#chart = null;
    if (!this.#activity || !this.#container.clientWidth) return;
    this.#chart = new uPlot(this.#options(), stacked(this.#activity), this.#container);
  }

  #fit() {
    const width = this.#container.clientWidth;
    if (!this.#chart) return this.#draw();
    if (width && width !== this.#chart.width) this.#chart.setSize({ width, height: HEIGHT });
  }

  #options() {
    const colourOf = coloursOf(this.#container);
    return {
      width: this.#container.clientWidth,
      height: HEIGHT,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { range: () => this.#timeRange() }, y: { range: slotRange } },
      axes: axes(colourOf),
      series: [{}, ...topFirst().map((outcome) => bars(colourOf(outcome)))],
      hooks: { setCursor: [(chart) => this.#readOut(chart)] },
    };
  }

  #timeRange() {
    const starts = this.#activity.starts_at.map(seconds);
    return [starts[0], starts.at(-1) + this.#activity.bucket_seconds];
  }

  #readOut(chart) {
    const at = chart.cursor.left < 0 ? null : chart.posToVal(chart.cursor.left, "x");
    const [first] = this.#timeRange();
    const bucket = Math.floor((at - first) / this.#activity.bucket_seconds);
    const isInside = at !== null && bucket >= 0 && bucket < this.#activity.starts_at.length;
    setText(this.#readout, isInside ? bucketWords(this.#activity, bucket) : "");
  }
}

/** Each series is the sum of its outcome and those below it; the highest is drawn first. */
function stacked(activity) {
  let below = activity.starts_at.map(() => 0);
  const sums = OUTCOMES.map((outcome) => {
    below = below.map((count, bucket) => count + activity.outcomes[outcome][bucket]);
    return below;
  });
  return [activity.starts_at.map(seconds), ...sums.reverse()];
}

function topFirst() {
  return [...OUTCOMES].reverse();
}

function bars(colour) {
  const paths = uPlot.paths.bars({ size: [0.8, 60], align: 1 });
  return { paths, fill: colour, stroke: colour, width: 0, points: { show: false } };
}

function slotRange(_chart, _least, most) {
  return [0, Math.max(4, Math.ceil(most * 1.1))];
}

function axes(colourOf) {
  const shared = { stroke: colourOf("axis"), ticks: { show: false }, font: "11px system-ui" };
  const grid = { stroke: colourOf("grid"), width: 1 };
  const wholes = (_chart, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : ""));
  return [
    { ...shared, grid: { show: false }, values: timeAxis, space: 60, size: 26 },
    { ...shared, grid, values: wholes, space: 34, size: 40 },
  ];
}

function coloursOf(container) {
  const style = getComputedStyle(container);
  return (name) => style.getPropertyValue(`--colour-${name.replace("_", "-")}`).trim();
}

function seconds(instant) {
  return Date.parse(instant) / 1000;
}
