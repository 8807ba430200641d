// The page Playground: a request, its answer with reasons, and the same with another context or other versions.

import { ApiError, get, post, service } from "./api.js";
import { announce, busy, empty, failed, field, h, replace } from "./elements.js";
import { answerView, changesView } from "./answers.js";
import { copies } from "./copies.js";
import { logged, loggedView } from "./logged.js";
import { STAGES } from "./reports.js";

export const title = "Playground";

const OFFERED = 8; // context keys with a button of their own; all are completed as they are typed

/** Draw the page. */
export async function show(main, { params, signal, setParams }) {
  const known = await service(signal);
  const then = params.has("id") ? await logged(params.get("id"), signal) : null;
  for (const [name, value] of Object.entries(then?.params ?? {})) {
    if (value === null) params.delete(name);
    else params.set(name, value);
  }
  const form = requestForm(params, known, signal);
  const results = h("div", { "aria-live": "off" });
  main.append(h("datalist", { id: "context-keys" }, known.context_keys.map((one) =>
    h("option", { value: one.key }, one.domains.join(", ")))), then?.missing ? h("p", { class: "note" }, then.missing) : "", form.node, results);
  let running = new AbortController();

  async function run() {
    running.abort();
    running = new AbortController();
    const stopped = AbortSignal.any([signal, running.signal]);
    let asked;
    try {
      asked = form.value();
    } catch (error) {
      return replace(results, failed(error));
    }
    const row = then?.row && sameWords(asked.params, then.params) ? then.row : null;
    setParams({ id: row && params.get("id"), ...asked.params });
    if (!asked.sides[0].request.utterance && !asked.sides[0].request.hypotheses) return replace(results, nothing());
    replace(results, busy("Asking the domains"));
    const answers = await Promise.all(asked.sides.map((side) => answered(side, stopped)));
    if (stopped.aborted) return;
    draw(results, asked.sides, answers, row);
  }
  form.node.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  if (then || params.has("q") || params.has("h")) await run();
  else {
    replace(results, nothing());
    form.focus();
  }
}

function nothing() {
  return empty("Type a request, and see which domain answers it and why. Nothing here is logged or counted.");
}

/** The answer to a side, or the error in its place. */
async function answered(side, signal) {
  try {
    return await post("/v1/try", { request: side.request, versions: side.versions, explain: true }, { signal });
  } catch (error) {
    if (error instanceof ApiError) return error;
    if (error.name === "AbortError") return null;
    throw error;
  }
}

/** True where a request is still the one that the log has, whatever context and versions it is asked with. */
const sameWords = (asked, then) => asked.q === (then.q ?? "") && (asked.h ?? null) === (then.h ?? null);

function draw(results, sides, answers, row) {
  const two = sides.length > 1;
  const views = sides.map((side, i) => h("section", { class: "side", "aria-label": two ? `Answer ${"AB"[i]}` : "Answer" },
    two && h("h2", {}, `${"AB"[i]} `, h("span", { class: "note" }, summary(side))),
    answers[i] instanceof ApiError ? failed(answers[i]) : answerView(answers[i], side.request)));
  const both = two && answers.every((one) => !(one instanceof ApiError));
  replace(results, row && loggedView(row, answers[0] instanceof ApiError ? null : answers[0]), both && changesView(answers), h("div", { class: two ? "sides" : "" }, views), copies(sides));
  const first = answers[0];
  announce(first instanceof ApiError ? first.message : `Decision: ${first.decision.action}`);
}

function summary(side) {
  const parts = [...Object.entries(side.request.context ?? {}), ...Object.entries(side.versions)];
  return parts.length ? parts.map(([key, value]) => `${key}=${textOf(value)}`).join(", ") : "no context, stable versions";
}

// ------------------------------------------------------------------------------------------------------------- the form

function requestForm(params, known, signal) {
  const words = h("textarea", { rows: "2", dir: "auto", value: params.get("q") ?? "", maxlength: "2000", spellcheck: "false",
    placeholder: "will it rain tomorrow", on: { keydown: submitOnEnter } });
  const brought = h("textarea", { rows: "8", class: "mono", value: params.get("h") ?? "", spellcheck: "false",
    placeholder: '[{"domain": "weather", "intent": "AskRain", "domain_confidence": 0.9, "slots": []}]' });
  const bringing = h("details", { open: params.has("h") },
    h("summary", {}, "Bring hypotheses of another recogniser"), field("Hypotheses, as JSON", brought));
  const rest = h("textarea", { rows: "3", class: "mono", value: params.get("r") ?? "", spellcheck: "false",
    placeholder: '{"session": "kitchen", "account": {}, "dialogue": {}}' });
  const more = h("details", { open: params.has("r") },
    h("summary", {}, "Session, account, dialogue"), field("Further keys of the request, as JSON", rest));
  const first = sideEditor(params.get("c"), params.get("v"), known, signal);
  const second = h("div", {});
  let other = null;
  const comparing = h("button", { type: "button", on: { click: () => compare(!other) } }, "Compare with another");
  const sides = h("div", { class: "sides" }, first.node, second);
  const node = h("form", { class: "card" }, field("Request", words), bringing, sides, more,
    h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Ask"), comparing,
      h("span", { class: "note" }, "Enter asks.")));

  function compare(on, context = null, versions = null) {
    const same = first.raw();
    other = on ? sideEditor(context ?? same.context, versions ?? same.versions, known, signal, "B") : null;
    replace(second, other && other.node);
    first.name(on ? "A" : "");
    comparing.textContent = on ? "Compare no more" : "Compare with another";
  }
  if (params.has("c2") || params.has("v2")) compare(true, params.get("c2") ?? "{}", params.get("v2") ?? "{}");

  function value() {
    const hypotheses = brought.value.trim() ? parsed(brought.value, "Hypotheses") : undefined;
    const given = object(rest.value.trim(), "Further keys");
    const base = { ...given, ...(words.value.trim() && { utterance: words.value.trim() }), ...(hypotheses && { hypotheses }) };
    const editors = other ? [first, other] : [first];
    const chosen = editors.map((one) => {
      const { context, versions } = one.value();
      return { request: { ...base, ...(Object.keys(context).length && { context }) }, versions };
    });
    const link = { q: words.value.trim(), h: hypotheses && JSON.stringify(hypotheses), r: Object.keys(given).length ? JSON.stringify(given) : null };
    chosen.forEach((side, i) => {
      const suffix = i ? "2" : "";
      link[`c${suffix}`] = i || side.request.context ? JSON.stringify(side.request.context ?? {}) : null;
      link[`v${suffix}`] = Object.keys(side.versions).length ? JSON.stringify(side.versions) : null;
    });
    return { sides: chosen, params: link };
  }
  return { node, value, focus: () => words.focus({ preventScroll: true }) };
}

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

function parsed(text, name) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name}: no JSON: ${error.message}`);
  }
}

function object(text, name) {
  const found = text ? parsed(text, name) : {};
  if (found === null || typeof found !== "object" || Array.isArray(found)) throw new Error(`${name}: expected an object`);
  return found;
}

/** Context and versions of one side: `value` reads them, `raw` as JSON. */
function sideEditor(contextText, versionsText, known, signal, label = "") {
  const keys = h("div", {});
  const chosen = h("div", {});
  const heading = h("legend", {}, "");
  const read = known.context_keys.filter((one) => one.domains.length && one.key !== "device").map((one) => one.key);
  const adding = (name, add) => h("button", { type: "button", class: "plain", on: { click: () => add().focus() } }, `+ ${name}`);
  const node = h("fieldset", {}, heading, keys,
    read.slice(0, OFFERED).map((key) => [adding(key, () => addKey(key)), " "]),
    adding("other context", () => addKey("")), " ", adding("version", () => addVersion()), chosen);
  const rows = new Map();
  const picked = new Map();

  function addKey(key, value) {
    const name = h("input", { value: key, list: "context-keys", size: "14", spellcheck: "false", autocomplete: "off" });
    const content = h("input", { value: value === undefined ? "" : textOf(value), size: "14", spellcheck: "false", autocomplete: "off" });
    const row = h("div", { class: "row" }, field("Context", name), field("Value", content),
      h("button", { type: "button", "aria-label": "Remove this context", on: { click: remove } }, "×"));
    function remove() {
      rows.delete(row);
      row.remove();
    }
    rows.set(row, () => [name.value.trim(), content.value.trim() === "" ? undefined : valueOf(content.value)]);
    keys.append(row);
    return key ? content : name;
  }

  function addVersion(domain = "", version = "") {
    const versions = h("select", {}, h("option", { value: version }, version || "its stable version"));
    const names = h("select", { on: { change: () => offer(names.value, "") } }, h("option", { value: domain }, domain || "choose"));
    const problem = h("span", { class: "bad-text" });
    const row = h("div", { class: "row" }, field("Domain or stage", names), field("Version", versions),
      h("button", { type: "button", "aria-label": "Remove this version", on: { click: remove } }, "×"), problem);
    function remove() {
      picked.delete(row);
      row.remove();
    }
    async function offer(name, selected) {
      if (!name) return;
      try {
        const found = await get(`/v1/domains/${encodeURIComponent(name)}/versions`, { signal });
        const roles = Object.fromEntries(["previous", "candidate", "stable"].map((role) => [found.state[role], role]));
        replace(versions, found.versions.map((one) =>
          h("option", { value: one, selected: one === (selected || found.state.candidate) }, roles[one] ? `${one} (${roles[one]})` : one)));
        if (!found.versions.length) replace(versions, h("option", { value: "" }, "none in the store"));
        replace(problem);
      } catch (error) {
        if (error.name !== "AbortError") replace(problem, error.message);
      }
    }
    get("/v1/domains", { signal }).then((found) => {
      const all = [...found.filter((one) => one.status === "loaded").map((one) => one.name), ...Object.keys(STAGES)];
      replace(names, h("option", { value: "" }, "choose"), all.map((one) => h("option", { value: one, selected: one === domain }, one)));
      return offer(domain, version);
    }).catch((error) => error.name !== "AbortError" && replace(problem, error.message));
    picked.set(row, () => [names.value, versions.value]);
    chosen.append(row);
    return names;
  }

  function value() {
    const context = Object.fromEntries([...rows.values()].map((read) => read()).filter(([key, one]) => key && one !== undefined));
    const versions = Object.fromEntries([...picked.values()].map((read) => read()).filter(([name, one]) => name && one));
    return { context, versions };
  }
  function name(text) {
    heading.textContent = text;
    heading.hidden = !text;
    node.setAttribute("aria-label", text ? `Context and versions of ${text}` : "Context and versions");
  }

  const context = stated(contextText, "context");
  if (!("device" in context)) addKey("device");
  for (const [key, one] of Object.entries(context)) addKey(key, one);
  for (const [domain, version] of Object.entries(stated(versionsText, "versions"))) addVersion(domain, String(version));
  function stated(text, what) {
    try {
      return object(text, `The link's ${what}`);
    } catch (error) {
      node.prepend(failed(error));
      return {};
    }
  }
  name(label);
  const raw = () => {
    const found = value();
    return { context: JSON.stringify(found.context), versions: JSON.stringify(found.versions) };
  };
  return { node, value, raw, name };
}

/** A value of the context in what is typed: JSON where it is that, a number as the command line reads it, else a text. */
function valueOf(text) {
  const trimmed = text.trim();
  if (/^-?\.\d+$/.test(trimmed)) return Number(trimmed);
  try {
    return JSON.parse(trimmed);
  } catch {
    return trimmed;
  }
}

/** The text that is read as this value. */
function textOf(value) {
  return typeof value === "string" && value !== "" && valueOf(value) === value ? value : JSON.stringify(value);
}
