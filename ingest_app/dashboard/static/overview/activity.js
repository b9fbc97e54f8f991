// Slots used over the last hour or day: as a chart, in a sentence, and as a table.

import { read } from "../api.js";
import { byId } from "../shared/dom.js";
import { withQuery } from "../shared/paging.js";
import { showLegend, showSummary, showTable } from "./activity_words.js";
import { ActivityChart } from "./activity_chart.js";

export class Activity {
  #chart = new ActivityChart(byId("activity-chart"), byId("activity-readout"));

  /** changed: called when something else is to be shown. */
  constructor(changed) {
    for (const radio of document.getElementsByName("span")) radio.addEventListener("change", changed);
    byId("activity-source").addEventListener("change", changed);
  }

  /** Read what was dispatched and show it. */
  async refresh(signal) {
    const span = document.querySelector('input[name="span"]:checked').value;
    const path = withQuery("/activity", { span, source: byId("activity-source").value });
    const activity = (await read(path, { signal })).body;
    this.#chart.show(activity);
    showLegend(activity);
    showSummary(activity);
    showTable(activity);
  }
}
