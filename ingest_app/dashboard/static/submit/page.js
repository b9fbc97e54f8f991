// The form: IDs, source and priority in, forecast beside it, an ingestion out.

import { read } from "../api.js";
import { mayBeLost } from "../shared/connection.js";
import { byId, element, setText } from "../shared/dom.js";
import { poll } from "../shared/polling.js";
import { counted } from "../shared/words.js";
import { hidePreview, showPreview } from "./forecast_choice.js";
import { IdInput } from "./id_input.js";
import { Sending } from "./sending.js";

const input = new IdInput(Number(byId("form").dataset.maxIds), () => changed());
const sending = new Sending(() => showButton());
const refreshNow = poll(refresh);

byId("source").addEventListener("change", () => refreshNow());
byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
// A browser that goes back shows the form as it was left: sent.
addEventListener("pageshow", (event) => event.persisted && sending.renew());
// The browser asks whether to leave: after signing in the form is empty.
addEventListener("beforeunload", (event) => mayBeLost() && input.isFilled && event.preventDefault());
input.start();

function changed() {
  byId("failure").hidden = true;
  showButton();
  refreshNow();
}

function showButton() {
  const { isUnderWay } = sending;
  const ids = input.refusal === null ? ` ${counted(input.found.count, "ID")}` : "";
  byId("sending").hidden = !isUnderWay;
  // Not `disabled`: the focus stays where it is.
  byId("submit").setAttribute("aria-disabled", isUnderWay);
  setText(byId("submit"), isUnderWay ? `Sending${ids} …` : `Submit${ids}`);
}

async function refresh(signal) {
  offerSources((await read("/sources", { signal })).body.sources);
  if (input.refusal !== null) return hidePreview("The forecast appears here as soon as there are IDs.");
  await showPreview({ idCount: input.found.count, source: byId("source").value, signal });
}

async function submit() {
  await input.settled();
  if (input.refusal !== null) return refuse(input.refusal);
  const priority = document.querySelector('input[name="priority"]:checked').value;
  sending.submit({ ids: input.found.ids, priority, source: byId("source").value });
}

function refuse(reason) {
  byId("failure").replaceChildren(element("p", reason));
  byId("failure").hidden = false;
  byId("text").focus();
}

function offerSources(sources) {
  const names = sources.filter((source) => source.configured).map((source) => source.name);
  const select = byId("source");
  if (names.join() === [...select.options].map((option) => option.value).join()) return;
  const wanted = select.value || "default";
  select.replaceChildren(...names.map((name) => element("option", name)));
  if (names.includes(wanted)) select.value = wanted;
  byId("source-label").hidden = names.length < 2;
}
