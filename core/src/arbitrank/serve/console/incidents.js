// Incidents: a logged answer that was wrong becomes a case of a domain's suite, in one click that can be undone.

import { post } from "./api.js";
import { copyable, dialog, failed, field, h, toast } from "./elements.js";
import { quoted } from "./copies.js";

const made = new Map(); // the domains of the incidents that were made in this page, by the request's id
const shown = new Map(); // functions that write a button's label, by the request's id

/** The button that makes an incident of a request, and undoes it; without tokens it shows the command. */
export function incidentButton(row, domains, changes) {
  const button = h("button", { type: "button", class: "plain", on: { click } });
  const label = () => (button.textContent = made.has(row.id) ? "Undo incident" : "Incident");
  function click() {
    if (!changes) command(row);
    else if (made.has(row.id)) undo(row);
    else make(row, domains);
  }
  shown.set(row.id, label);
  label();
  return button;
}

function noted(row, owner) {
  if (owner) made.set(row.id, owner);
  else made.delete(row.id);
  shown.get(row.id)?.();
}

function command(row) {
  dialog("Make it an incident", h("div", {}, about(row),
    h("p", {}, "This service changes nothing, as it has no tokens. The command does it:"),
    copyable(`arbitrank incident ${quoted(row.id)} --log DIR`, "command")));
}

async function make(row, domains) {
  const meant = row.truth?.domain;
  const owner = row.action === "none" ? meant ?? row.domain : row.domain ?? meant; // of none, the nearest reading's
  if (!owner) return edit(row, domains, null); // it is nobody's yet
  try {
    const found = await change(owner, { id: row.id });
    if (found.new) added(row, domains, owner);
    else toast(`“${words(row)}” is an incident of ${owner} already.`, [["Domain and reason…", () => edit(row, domains, owner)]]);
  } catch (error) {
    if (error.name !== "AbortError") toast(failed(error));
  }
}

async function undo(row) {
  try {
    await change(made.get(row.id), { id: row.id, undo: true });
    noted(row, null);
    toast(`“${words(row)}” is no incident any more.`);
  } catch (error) {
    toast(failed(error));
  }
}

function added(row, domains, owner) {
  noted(row, owner);
  toast([`“${words(row)}” is an incident of ${owner} now: `, demand(row)],
    [["Undo", () => undo(row)], ["Domain and reason…", () => edit(row, domains, owner)]]);
}

/** Choose the domain of an incident and say what was wrong; `owner` is the one whose case it is, null for nobody's. */
function edit(row, domains, owner) {
  const chosen = h("select", {}, domains.map((one) => h("option", { value: one, selected: one === owner }, one)));
  const reason = h("input", { maxlength: "300", size: "40", placeholder: "what was wrong" });
  const act = owner ? "Save" : "Make it an incident";
  dialog(owner ? "Edit the incident" : act, h("div", {}, about(row),
    h("div", { class: "row" }, field("Domain", chosen), field("Reason", reason, { class: "grow" }))), [act, async () => {
    await change(chosen.value, { id: row.id, reason: reason.value.trim() || null });
    if (owner && owner !== chosen.value) await change(owner, { id: row.id, undo: true });
    added(row, domains, chosen.value);
  }]);
}

const change = (domain, body) => post(`/v1/domains/${encodeURIComponent(domain)}/incidents`, body);
const words = (row) => row.utterance ?? row.id;
const demand = (row) => (row.truth ? "every later version has to give its truth." : "no later version may answer so again.");
const about = (row) => h("p", {}, `“${words(row)}” becomes a case of a domain's suite: `, demand(row));
