// The page Live: the last requests of the log as they come, filtered, each with a way to its reasons.

import { ApiError, every, get, service } from "./api.js";
import { badge, empty, failed, field, h, replace, scrolling } from "./elements.js";
import { decisionBadge } from "./answers.js";
import { incidentButton } from "./incidents.js";
import { openToOthers } from "./reports.js";
import { requestParams } from "./logged.js";
import { count, percent, when } from "./text.js";

export const title = "Live";

const SECONDS = 2; // between looks at the log
const ROWS = 100;

/** Draw the page. */
export async function show(main, { params, signal, setParams }) {
  const [known, domains] = await Promise.all([service(signal), get("/v1/domains", { signal })]);
  if (!known.log) {
    main.append(empty("Nothing is logged, so there is nothing to watch.", "arbitrank serve --log DIR"));
    return;
  }
  try {
    await get("/v1/log", { signal, query: { limit: 1 } });
  } catch (error) { // the caller may lack the scope, which the frame reports
    if (error.status !== 403 || known.tokens) throw error;
    main.append(openToOthers());
    return;
  }
  const filters = filterForm(params, domains.map((one) => one.name));
  const state = h("p", { class: "note" });
  const body = h("tbody", { role: "rowgroup" });
  const table = scrolling(h("table", { class: "wide live", role: "table" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
    ["time", "request", "decision", "reading"].map((name) => h("th", { scope: "col", role: "columnheader", class: "text" }, name)),
    h("th", { scope: "col", role: "columnheader" }, "P(right)"),
    ["what happened", "look into it"].map((name) => h("th", { scope: "col", role: "columnheader", class: "text" }, name)))), body), "The last requests");
  const nothing = h("div", {});
  const redacted = known.words === "keep" ? null
    : h("p", { class: "note" }, `The log ${known.words === "hash" ? "hashes" : "drops"} users' words, so they are not shown; reasons are computed from the hypotheses.`);
  main.append(filters.node, redacted ?? "", state, table, nothing);

  let rows = new Map();
  let cursor = null;
  let paused = false;
  let asked = 0;

  async function look() {
    if (paused) return;
    const turn = asked;
    let page;
    try {
      page = await get("/v1/log", { signal, query: { ...filters.query(), limit: ROWS, after: cursor } });
    } catch (error) {
      if (error instanceof ApiError) replace(state, failed(error));
      throw error;
    }
    if (turn !== asked) return;
    cursor = page.cursor;
    for (const row of page.rows.toReversed()) rows.set(keyOf(row), row);
    rows = new Map([...rows].sort(([, a], [, b]) => (b.time ?? 0) - (a.time ?? 0)).slice(0, ROWS));
    draw(page.rows.length > 0 || !state.hasChildNodes(), page.looked);
  }

  const asIncident = (row) => incidentButton(row, domains.map((one) => one.name), known.tokens);
  const drawn = new Map();
  function draw(changed, looked) {
    replace(state, summary([...rows.values()], looked));
    table.hidden = rows.size === 0;
    replace(nothing, rows.size > 0 ? null : looked > 0 ? empty("No request of this kind among the last that were logged.")
      : empty("No request was logged yet. This sends one:", asking()));
    if (!changed) return;
    for (const [key, one] of drawn) if (!rows.has(key)) { one.node.remove(); drawn.delete(key); }
    let before = null;
    for (const [key, row] of [...rows].reverse()) {
      const shown = drawn.get(key);
      const node = shown?.changed === row.changed ? shown.node : rowView(row, filters.onSession, asIncident);
      if (shown && shown.node !== node) shown.node.replaceWith(node);
      else if (!shown) body.insertBefore(node, before);
      drawn.set(key, { node, changed: row.changed });
      before = node;
    }
  }

  function again() {
    asked += 1;
    cursor = null;
    rows = new Map();
    setParams(filters.query());
    look().catch(() => undefined);
  }
  filters.onChange(again, (value) => {
    paused = value;
    if (!paused) look().catch(() => undefined);
  });
  await every(SECONDS, look, signal);
}

function asking() {
  return `curl -sS ${location.origin}/v1/rank -H 'content-type: application/json' -d '{"utterance": "…"}'`;
}

function keyOf(row) {
  return `${row.id ?? ""} ${row.time ?? ""}`;
}

function summary(rows, looked) {
  if (!rows.length) return `Looked at the last ${count(looked, "request")}.`;
  const share = (action) => percent(rows.filter((row) => row.action === action).length / rows.length);
  const failures = rows.filter((row) => Object.keys(row.failed ?? {}).length).length;
  const parts = ["accept", "clarify", "none"].map((action) => `${action} ${share(action)}`);
  return `${count(rows.length, "request")} of the last ${looked.toLocaleString("en")}: ${parts.join(", ")}`
    + (failures ? `; a domain failed in ${failures}` : "") + ".";
}

// ---------------------------------------------------------------------------------------------------------------- a row

function rowView(row, onSession, asIncident) {
  const failedNames = Object.entries(row.failed ?? {});
  const words = row.utterance ?? `${row.utterance_length ?? "?"} characters, not kept`;
  const happened = [
    failedNames.map(([name, reason]) => h("div", {}, badge(`${name} failed`, "bad"), h("span", { class: "note" }, ` ${reason}`))),
    row.outcome && badge(row.outcome, row.outcome === "accepted" ? "good" : "bad"), row.called && ` of ${row.called}`, " ",
    row.truth && h("span", { class: "note" }, `meant: ${row.truth.domain ?? "nobody"} ${row.truth.intent ?? ""}`), " ",
    row.canary?.length > 0 && badge(`canary: ${row.canary.join(", ")}`, "warn"),
    row.reason && h("div", { class: "note" }, row.reason),
  ];
  const session = sessionText(row.session);
  return h("tr", { role: "row" },
    h("td", { class: "text", role: "cell", title: row.time ? new Date(1000 * row.time).toISOString() : "" }, when(row.time),
      session && h("div", {}, h("button", { type: "button", class: "plain session", title: "Only this session", on: { click: () => onSession(session) } }, session.slice(0, 12)))),
    h("th", { scope: "row", dir: "auto", role: "rowheader", class: `text ${row.utterance === undefined ? "note" : ""}` }, words,
      row.context && Object.keys(row.context).length > 0 && h("div", { class: "note" },
        Object.entries(row.context).slice(0, 4).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(", "))),
    h("td", { class: "text", role: "cell" }, decisionBadge(row.action)),
    h("td", { class: "text", role: "cell" }, readingText(row)),
    h("td", { class: "nowrap", role: "cell" }, percent(row.probability), h("span", { class: "narrow note" }, " right")),
    h("td", { class: "text", role: "cell" }, happened),
    h("td", { class: "text", role: "cell" }, h("a", { href: playgroundLink(row) }, "Why"), " ",
      row.id && asIncident(row)));
}

/** The reading that was acted on or asked about; where none was, the best one in small. */
function readingText(row) {
  if (!row.domain) return "–";
  if (row.action === "none") return h("span", { class: "note" }, `none; nearest: ${row.domain} ${row.intent}`);
  return [h("strong", {}, row.domain), ` ${row.intent}`,
    (row.slots ?? []).map((slot) => [" ", h("span", { class: "slot" }, `${slot.name}: ${slot.value}`)])];
}

function sessionText(session) {
  if (session === undefined || session === null) return null;
  const id = typeof session === "object" ? session.id ?? session : session;
  return typeof id === "string" ? id : JSON.stringify(id);
}

/** The link to a request's playground: by its id, and what the row has of it once the log has it no more. */
function playgroundLink(row) {
  const given = { id: row.id, ...requestParams(row) };
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value));
  return `#/playground?${query}`;
}

// -------------------------------------------------------------------------------------------------------------- filters

function filterForm(params, domains) {
  const value = (name) => params.get(name) ?? "";
  const action = h("select", {}, [["", "all"], ["accept", "accept"], ["clarify", "clarify"], ["none", "none"]]
    .map(([one, text]) => h("option", { value: one, selected: one === value("action") }, text)));
  const domain = h("select", {}, ["", ...domains].map((one) => h("option", { value: one, selected: one === value("domain") }, one || "all")));
  const below = h("input", { type: "number", min: "0", max: "100", step: "any", value: value("below") && 100 * Number(value("below")), size: "6" });
  const session = h("input", { value: value("session"), size: "12", spellcheck: "false", autocomplete: "off" });
  const words = h("input", { type: "search", value: value("words"), size: "18", spellcheck: "false", autocomplete: "off" });
  const failures = h("input", { type: "checkbox", checked: value("failed") === "true" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const clear = h("button", { type: "button" }, "Clear filters");
  const node = h("form", { class: "row", role: "search", "aria-label": "Filters" }, field("Decision", action), field("Domain", domain),
    field("P(right) below, %", below), field("Session", session), field("Words or id", words, { class: "grow" }),
    h("label", { class: "check" }, failures, " a domain failed"), clear, pause);

  function query() {
    return { action: action.value, domain: domain.value, below: below.value === "" ? null : Number(below.value) / 100,
      session: session.value.trim(), words: words.value.trim(), failed: failures.checked ? "true" : null };
  }
  let changed = () => undefined;
  function onChange(again, pausing) {
    changed = again;
    node.addEventListener("submit", (event) => event.preventDefault());
    node.addEventListener("change", again);
    let timer = null;
    node.addEventListener("input", (event) => {
      if (event.target !== words && event.target !== session) return;
      clearTimeout(timer);
      timer = setTimeout(again, 250);
    });
    pause.addEventListener("click", () => {
      const on = pause.getAttribute("aria-pressed") !== "true";
      pause.setAttribute("aria-pressed", String(on));
      pausing(on);
    });
    clear.addEventListener("click", () => {
      for (const one of [action, domain, below, session, words]) one.value = "";
      failures.checked = false;
      again();
    });
  }
  function onSession(text) {
    session.value = text;
    changed();
  }
  return { node, query, onChange, onSession };
}
