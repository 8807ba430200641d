// A request as the log has it: what the playground asks again, and how it was answered then.

import { get } from "./api.js";
import { badge, h } from "./elements.js";
import { decisionBadge } from "./answers.js";
import { selectionFacts } from "./selection.js";
import { own, percent, when } from "./text.js";

const REST = ["session", "account", "dialogue", "utterances", "utterance_length"]; // of a request beside words and context

/** The parameters of the playground for a row of the log, with all that it holds of the request. */
export function requestParams(row) {
  const rest = Object.fromEntries(REST.filter((key) => own(row, key) !== undefined && own(row, key) !== null && (key !== "utterance_length" || row.utterance === undefined))
    .map((key) => [key, row[key]]));
  const json = (value) => (value && Object.keys(value).length ? JSON.stringify(value) : null);
  return { q: row.utterance ?? null, c: json(row.context), r: json(rest), h: row.hypotheses ? JSON.stringify(row.hypotheses) : null };
}

/** The request with an id as the log has it, with the parameters that ask it again; `{missing}` with the reason. */
export async function logged(id, signal) {
  try {
    const { rows: [row] } = await get("/v1/log", { signal, query: { id } });
    if (!row) return { missing: "The request is no longer among the last of the log; it is asked as the link has it." };
    const candidates = (row.canary ?? []).filter((name) => own(row.versions, name)).map((name) => [name, row.versions[name]]);
    const v = candidates.length ? JSON.stringify(Object.fromEntries(candidates)) : null;
    return { row, params: { ...requestParams(row), v } };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { missing: `The log's line is not shown (${error.message}); the request is asked as the link has it.` };
  }
}

function readingThen(row) {
  if (!row.domain) return "no reading";
  const text = ` ${row.intent}, ${percent(row.probability)} right`;
  return row.action === "none" ? h("span", { class: "note" }, `nearest: ${row.domain}${text}`) : [h("strong", {}, row.domain), text];
}

/** How a logged request was answered then, beside today's answer, null where that failed. */
export function loggedView(row, answer) {
  const now = answer && (answer.ranked[answer.decision.contenders[0] ?? 0] ?? null);
  const same = answer && answer.decision.action === row.action && (now?.domain ?? null) === (row.domain ?? null)
    && (now?.intent ?? null) === (row.intent ?? null);
  const others = Object.entries(answer ? row.versions ?? {} : {})
    .filter(([name, version]) => own(answer.domains, name) && answer.domains[name].version !== version);
  return h("section", { class: "card", "aria-label": "As logged" }, h("h2", {}, `As it was answered, ${when(row.time)}`),
    h("p", { class: "then" }, decisionBadge(row.action), " ", readingThen(row),
      (row.slots ?? []).map((slot) => [" ", h("span", { class: "slot" }, `${slot.name}: `, h("b", {}, slot.value))]),
      row.reason && h("span", { class: "note" }, ` – ${row.reason}`), " ",
      answer && badge(same ? "the same today" : "another answer today", same ? "good" : "warn")),
    Object.entries(row.failed ?? {}).map(([name, reason]) => h("p", {}, badge(`${name} failed`, "bad"), h("span", { class: "note" }, ` ${reason}`))),
    row.outcome && h("p", {}, "The user ", badge(row.outcome, row.outcome === "accepted" ? "good" : "bad"), row.called ? ` ${row.called}` : " it", "."),
    row.truth && h("p", {}, `Meant: ${row.truth.domain ?? "nobody"} ${row.truth.intent ?? ""}`),
    others.length > 0 && h("p", { class: "note" }, "Other versions answered then: ", others.map(([name, version]) => `${name} ${version}`).join(", ")),
    selectionFacts(row.selection, row.domain ? { [row.selection?.eligible?.[0]]: `${row.domain} ${row.intent}` } : {}));
}
