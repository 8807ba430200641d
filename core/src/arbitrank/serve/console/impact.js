// What a change would do: pick a domain and a change, replay requests, read the report.

import { get, post } from "./api.js";
import { busy, empty, failed, field, h, replace } from "./elements.js";
import { impactView } from "./impact_view.js";
import { STAGES, open, openToOthers, optional } from "./reports.js";
import { changedStages } from "./stages.js";

export const title = "Impact";

const pathOf = (name) => `/v1/domains/${encodeURIComponent(name)}`;

const CHANGES = [["promote", "promote"], ["rollback", "go back to the previous version"], ["shrink", "recalibrate (fitted)"]];
const ON = [["", "the audit set, else the log"], ["audit set", "the audit set"], ["log", "the log"]];

/** Draw the choice, and the report where the address names one. */
export async function show(main, { params, signal, setParams }) {
  const [domains, stages] = await Promise.all([get("/v1/domains", { signal }), changedStages(signal)]);
  const rows = [...domains.filter((row) => row.status === "loaded" || row.status === "failed"),
    ...stages.map((one) => ({ name: one.domain, title: STAGES[one.domain], state: one.state }))];
  if (!rows.length) {
    main.append(empty("No domain is loaded, so there is nothing to replay.", "arbitrank domains"));
    return;
  }
  const pick = (label, options, chosen) => field(label, h("select", {}, options.map(([value, text]) =>
    h("option", { value, selected: value === chosen }, text))));
  const candidates = rows.filter((row) => row.state?.candidate);
  const domain = pick("Domain or stage", rows.map((row) => [row.name, `${row.title ?? row.name}${row.state?.candidate ? " – has a candidate" : ""}`]),
    params.get("name") ?? candidates[0]?.name ?? rows[0].name);
  const change = pick("Change", CHANGES, params.get("change") ?? "promote");
  const version = pick("Version", [[params.get("version") ?? "", params.get("version") ?? "the candidate"]]);
  const on = pick("Requests", ON, params.get("on") ?? "");
  const since = field("Since (as 2d, 12h or a date)", h("input", { type: "text", value: params.get("since") ?? "", size: 12, maxlength: 40 }));
  const button = h("button", { type: "submit", class: "primary" }, "Replay");
  const result = h("div", { "aria-live": "polite" });
  const value = (part) => part.querySelector("select, input").value.trim();

  /** Offer the versions that may be promoted; any other change has its own. */
  async function offer(selected) {
    const name = value(domain), promoting = value(change) === "promote", choice = version.querySelector("select");
    choice.disabled = !promoting;
    const found = promoting ? await optional(`${pathOf(name)}/versions`, signal).catch(() => ({})) : {};
    if (name !== value(domain) || promoting !== (value(change) === "promote")) return;
    const { state, versions = [] } = found;
    const others = versions.filter((one) => one !== state.stable && one !== state.candidate);
    const first = !promoting ? "–" : state?.candidate ? `${state.candidate} (candidate)` : "the candidate";
    replace(choice, h("option", { value: "" }, first), others.map((one) =>
      h("option", { value: one, selected: one === selected }, one === state.previous ? `${one} (previous)` : one)));
  }

  async function replay(event) {
    event.preventDefault();
    const chosen = { name: value(domain), change: value(change), version: value(version), on: value(on), since: value(since) };
    setParams(chosen);
    button.disabled = true;
    replace(result, busy("Replaying the requests with and without the change; this takes a while…"));
    try {
      const body = { change: chosen.change, fitted: chosen.change === "shrink" };
      if (chosen.version) body.version = chosen.version;
      if (chosen.on) body.on = chosen.on;
      if (chosen.since) body.since = chosen.since;
      const found = await post(`${pathOf(chosen.name)}/impact`, body, { signal });
      replace(result, impactView(found),
        h("p", {}, h("a", { href: `#/domains?name=${encodeURIComponent(chosen.name)}` }, `Act on it: ${chosen.name}`)));
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(result, error.status === 403 && await open(signal) ? openToOthers() : failed(error), error.needsToken ? h("p", {}, "Another token is set by the button above.") : "");
    } finally {
      button.disabled = false;
    }
  }

  const form = h("form", { class: "row", on: { submit: replay } }, domain, change, version, on, since, button);
  for (const one of [domain, change]) one.addEventListener("change", () => offer(""));
  offer(params.get("version"));
  main.append(form, candidates.length ? "" : h("p", { class: "note" },
    "No domain has a candidate: train one with ", h("code", {}, "arbitrank train DOMAIN"), ", or look at a rollback or a recalibration."), result);
  if (params.has("name") && params.has("change")) form.requestSubmit();
}
