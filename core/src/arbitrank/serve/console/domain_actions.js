// Changes of what serves: promote, canary, rollback, shrink. Each shows the impact report before its button acts.

import { post } from "./api.js";
import { announce, busy, dialog, failed, field, h, replace } from "./elements.js";
import { impactView } from "./impact_view.js";

/** The buttons of a domain's changes, and the place of their previews. */
export function actions(name, versions, signal, { stage = false } = {}) {
  const { state } = versions;
  const place = h("div", { "aria-live": "polite" });
  const candidate = state.candidate && state.candidate !== state.stable;
  const kinds = [
    ["promote", "Promote", candidate, "there is no candidate", { change: "promote", version: state.candidate }],
    ["canary", state.canary ? "Change the canary" : "Canary", candidate, "there is no candidate", { change: "promote", version: state.candidate }],
    ["rollback", "Roll back", state.previous, "there is no previous version", { change: "rollback" }],
    ["shrink", "Shrink", !stage, "a stage has no probabilities of its own", { change: "shrink", fitted: true }],
  ];
  const buttons = kinds.map(([verb, label, possible, reason, body]) => h("button", {
    type: "button", disabled: !possible, title: possible ? null : reason,
    on: { click: () => preview(verb, label, body) },
  }, label));

  async function preview(verb, label, body) {
    for (const one of buttons) one.disabled = true;
    replace(place, busy(`Replaying requests to show what “${label}” would do; this takes a while…`));
    let found = null;
    try {
      found = await post(`/v1/domains/${encodeURIComponent(name)}/impact`, body, { signal });
      replace(place, h("article", { class: "card" }, h("h3", {}, `${label}: what it would do`), impactView(found), acting(verb, label, found)));
    } catch (error) {
      if (error.name === "AbortError") return;
      // Without requests to replay there is no report; whoever may change it is told so, and decides.
      replace(place, failed(error), error.status === 409 ? acting(verb, label, null) : "");
    }
    kinds.forEach(([, , possible], i) => (buttons[i].disabled = !possible));
    announce(found ? "The impact report is below" : "No impact report");
  }

  /** The button that acts, after a look at the report. */
  function acting(verb, label, found) {
    const button = h("button", { type: "button", class: found?.reasons.length === 0 ? "primary" : "danger", on: { click: ask } }, `${label}…`);
    function ask() {
      const reason = field("Reason, for the history", h("input", { type: "text", maxlength: 1000 }));
      const controls = controlsOf(verb, state, found);
      const body = h("div", {},
        h("p", {}, found ? consequence(verb, found) : "Nothing was replayed: there is no report of what this does."), controls.map(([, one]) => one), reason);
      const value = (one) => one.querySelector("input");
      const send = () => {
        const said = value(reason).value.trim();
        const given = Object.fromEntries(controls.map(([key, one]) => {
          const input = value(one);
          return [key, input.type === "checkbox" ? input.checked : Number(input.value) / (key === "share" ? 100 : 1)];
        }));
        const expected = ["rollback", "shrink"].includes(verb) && found ? { expected: found.change } : {};
        const version = verb === "promote" ? { version: state.candidate } : {};
        return post(`/v1/domains/${encodeURIComponent(name)}/${verb}`,
          { ...given, ...expected, ...version, ...(said ? { reason: said } : {}) }).then(done);
      };
      dialog(`${label}: ${name}`, body, [label, send], found?.reasons.length === 0 ? "primary" : "danger");
    }
    return h("p", {}, button);
  }

  function done(changed) {
    announce(`${name} is changed: change ${changed.change}`);
    dispatchEvent(new HashChangeEvent("hashchange")); // the page is drawn anew
  }

  return h("div", {},
    h("p", { class: "note" }, "Each first replays the audit set, or else the log, and shows the report; nothing is changed before you confirm. It needs a token of the scope ",
      h("code", {}, `publish:${name}`), "."),
    h("div", { class: "row" }, buttons), place);
}

function controlsOf(verb, state, found) {
  const number = (label, value, rest) => field(label, h("input", { type: "number", value: String(value), required: true, ...rest }));
  const by = found?.recalibration;
  return {
    promote: () => (found?.reasons.length === 0 ? [] : [["force", field("Override the gate; this needs a reason", h("input", { type: "checkbox" }))]]),
    canary: () => [["share", number("Share of the requests, %; 0 ends it", state.canary ? 100 * state.canary : 5, { min: 0, max: 100, step: "any" })]],
    rollback: () => [],
    shrink: () => [
      ["temperature", number("Divide the log-odds by", by ? +(1 / by.scale).toFixed(4) : 1, { min: 1, max: 1000, step: "any" })],
      ["shift", number("Then add", by ? by.shift : 0, { min: -20, max: 20, step: "any" })],
    ],
  }[verb]();
}

function consequence(verb, { impact, reasons, recalibration }) {
  const flips = `${impact.flips} of ${impact.n} replayed requests are answered differently.`;
  if (verb === "shrink" && !recalibration) return `No recalibration surely helps on these requests; 1 and 0 remove the one that there is. ${flips}`;
  return `${flips} ${reasons.length ? "The gate's rules speak against it." : "The gate's rules do not speak against it."}`;
}
