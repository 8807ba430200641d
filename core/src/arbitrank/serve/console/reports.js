// What several pages read of the service and show alike: reports that may be missing, calibrations, alarms.

import { ApiError, get, post, service } from "./api.js";
import { badge, copyable, empty, h, replace } from "./elements.js";
import { ago, count, percent, when } from "./text.js";

/** Artifacts that are no domain's, and their names for people. */
export const STAGES = { ".decisions": "Decision settings", ".shortlist": "Shortlister", ".hyprank": "HypRank" };

/** The status of the service, and the watch's reports, each `{missing}` with the reason where there is none (yet). */
export async function watchReports(signal, paths = ["/v1/health/domains", "/v1/reliability"]) {
  const [status, about] = await Promise.all([get("/v1/status", { signal }), service(signal)]);
  if (status.watched) return [status, ...(await Promise.all(paths.map((path) => get(path, { signal }))))];
  const missing = about.watch ? "The watch has not read the log yet; it begins some seconds after the service."
    : "The domains are not watched: the service keeps no log, or was started with --no-watch.";
  return [status, ...paths.map(() => ({ missing }))];
}

/** True where the service has no tokens: what users said is then shown on its own machine alone. */
export const open = async (signal) => !(await service(signal)).tokens;

/** Why others are shown nothing that users said, and what changes that. */
export function openToOthers() {
  return h("div", { class: "empty" },
    h("p", {}, "Other machines can reach this service, and it has no tokens. What users said is therefore shown to nobody: whoever can open this page could read it."),
    h("p", {}, "Give those who may read it a token of the scope ", h("code", {}, "log"), ":"),
    h("p", {}, h("code", {}, "arbitrank token NAME rank log --tokens tokens")),
    h("p", {}, h("code", {}, "arbitrank serve --tokens tokens --log DIR")));
}

/** When the watch looked at the log last, and a button for a fresh look, after which the page is drawn anew. */
export function watchedLine(status, signal) {
  if (!status.watched) return "";
  const problem = h("span", { class: "bad-text" });
  const button = h("button", { type: "button", class: "plain", on: { click: look } }, "Look now");
  async function look() {
    button.disabled = true;
    replace(problem, "");
    try {
      const { watched } = await post("/v1/health/look", undefined, { signal });
      for (let second = 0; second < 120; second += 1) {
        const { watched: now } = await get("/v1/status", { signal });
        if (now !== watched) return dispatchEvent(new HashChangeEvent("hashchange"));
        button.textContent = "Looking…";
        await new Promise((done) => setTimeout(done, 1000));
      }
      replace(problem, "The watch has not looked yet; it is busy, or was ended.");
    } catch (error) {
      if (error.name !== "AbortError") replace(problem, error.message);
    }
    button.disabled = false;
    button.textContent = "Look now";
  }
  return h("p", { class: "note" }, `As of ${when(status.watched)}, ${ago(status.watched)}, when the watch last read the log. `, button, " ", problem);
}

/** The reply to a call, or `{missing}` with the reason where the service has none. */
export async function optional(path, signal) {
  try {
    return await get(path, { signal });
  } catch (error) {
    if (error instanceof ApiError && [404, 409, 503].includes(error.status)) return { missing: error.message };
    throw error;
  }
}

/** A calibration as a badge: its ECE, and whether that is in its band; `n` where no other column has it. */
export function bandBadge(figures, { n = true } = {}) {
  if (!figures || !figures.n) return h("span", { class: "note" }, "–");
  const good = figures.ece <= figures.ece_band[1];
  return h("span", { class: "nowrap" }, `${percent(figures.ece)} `, badge(good ? "in band" : "above band", good ? "good" : "bad"),
    n && h("span", { class: "note" }, ` n = ${figures.n}`));
}

const ORDER = ["failed", "refused", "unreadable", "loaded", "disabled"];

/** Domains with what is wrong first, and those that are disabled last. */
export function inOrder(rows) {
  return [...rows].sort((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
}

/** The state of a domain in a word. */
export function stateBadge(row) {
  if (row.status === "loaded" && row.breaker) return badge("circuit open", "bad");
  if (row.status === "loaded") return row.problem ? badge("degraded", "warn") : badge("answers", "good");
  return badge(row.status, row.status === "disabled" ? "quiet" : "bad");
}

/** An alarm of the watch: what was seen, and the commands that help. */
export function alarmCard(alarm) {
  return h("article", { class: "card alarm" },
    h("h3", {}, h("a", { href: `#/domains?name=${encodeURIComponent(alarm.domain)}` }, alarm.domain), " ", badge(alarm.kind, "bad")),
    h("p", {}, alarm.text),
    alarm.next.map((command, i) => copyable(command, i ? "another command" : "next command")));
}

/** Recalibrations that reactions propose, with their commands. */
export function proposals({ proposals: found = [] }, name = null) {
  const map = (one) => (one ? `log-odds · ${one.scale.toFixed(2)} ${one.shift < 0 ? "−" : "+"} ${Math.abs(one.shift).toFixed(2)}` : "none");
  return found.filter((one) => name === null || one.domain === name).map((one) => h("article", { class: "card" },
    h("h3", {}, one.domain, " ", badge("proposal", "warn")),
    h("p", {}, `By users' reactions its recalibration would be ${map(one.by.recalibration)}; now it is ${map(one.serves)}.`),
    copyable(one.next, "command of the proposal")));
}

/** The segment whose calibration is worst, in words. */
export function worstSegment({ worst, p_value: p, segments: n }) {
  return `${worst.segment}: off by ${percent(worst.error)}, ${(worst.error / worst.noise).toFixed(1)} times its noise, on ${count(worst.n, "request")}; `
    + (p < 0.05 ? `chance explains it with ${percent(p)}` : `no more than chance brings among ${count(n, "segment")}`);
}

/** Facts as a list of terms. */
export function facts(rows) {
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([term, value]) => [h("dt", {}, term), h("dd", {}, value ?? "–")]));
}

/** A table of texts and nodes: numbers to the right, all else to the left; one of many columns `stacks` on narrow pages. */
export function table(heads, rows, label, { stacks = heads.length > 5 } = {}) {
  const numeric = heads.map((_, i) => rows.length > 0 && rows.every((row) => isNumber(row[i])));
  const kind = (i) => (numeric[i] ? "num" : "text");
  const cell = (one, i) => (i
    ? h("td", { role: "cell", class: `${kind(i)}${one === "" ? " blank" : ""}`, data: { label: heads[i] } }, h("div", {}, one ?? "–"))
    : h("th", { role: "rowheader", scope: "row", class: kind(i) }, one ?? "–"));
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label },
    h("table", { role: "table", class: stacks ? "stacks" : null },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map((one, i) => h("th", { role: "columnheader", scope: "col", class: kind(i) }, one)))),
      h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, row.map(cell))))));
}

const isNumber = (one) => typeof one === "string" && /^[\d−+<>–±]/.test(one) && !/[a-z]{3}|:/.test(one);

/** Milliseconds of a number of seconds; null is beyond the last bucket of the histogram. */
export function milliseconds(seconds) {
  if (seconds === null || seconds === undefined) return "slower than the last bucket";
  return seconds >= 10 ? `${seconds.toFixed(0)} s` : `${Number((1000 * seconds).toPrecision(2))} ms`;
}

/** The span of a report in words. */
export function span(begin, end) {
  return begin > 0 && end > begin ? `${when(begin)} to ${when(end)}` : "no request yet";
}

/** A version, or that there is none. */
export function shortVersion(version) {
  return h("code", {}, version ?? "none");
}

/** A state's recalibration in words. */
export function recalibrated(state) {
  const { scale, shift } = state.recalibration ?? { scale: 1 / state.temperature, shift: 0 };
  if (scale === 1 && !shift) return "no";
  return `log-odds / ${(1 / scale).toFixed(2)}${shift ? ` ${shift < 0 ? "−" : "+"} ${Math.abs(shift).toFixed(2)}` : ""}`;
}

/** What a report could not judge, one a line. */
export function notesOf({ notes }) {
  return notes.length === 0 ? "" : h("ul", { class: "note" }, notes.map((text) => h("li", {}, `${text[0].toUpperCase()}${text.slice(1)}.`)));
}

/** The changes of a name, the last first. */
export function historyTable(history, command, untouched = "the package's weights answer") {
  if (history.missing) return empty(history.missing);
  if (!history.length) return empty(`Nothing was ever changed: ${untouched}.`, command);
  const rows = [...history].reverse().map((each) => [
    String(each.number), when(each.time), each.by ?? "–",
    [each.verb, each.forced ? [" ", badge("forced", "bad")] : null],
    h("span", {}, ["stable", "previous", "candidate"].filter((alias) => each.state[alias])
      .map((alias) => h("span", { class: "alias" }, `${alias} `, shortVersion(each.state[alias]), " "))),
    each.state.canary ? percent(each.state.canary) : "–", recalibrated(each.state), each.reason ?? "",
  ]);
  return table(["change", "when", "by", "what", "state after it", "canary", "recalibrated", "reason"], rows, "History");
}
