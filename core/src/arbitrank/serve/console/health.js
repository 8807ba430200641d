// What is wrong right now, for a person on call: readiness, the watch's alarms with the next commands, workers, domains.

import { every, get } from "./api.js";
import { badge, h, replace } from "./elements.js";
import { ago, count, percent, when } from "./text.js";
import { alarmCard, inOrder, milliseconds, notesOf, proposals, span, stateBadge, table, watchReports } from "./reports.js";

export const title = "Health";

const SECONDS = 5;

/** Draw the page, and again every few seconds. */
export async function show(main, { signal }) {
  const place = h("div", {});
  const updated = h("p", { class: "note" }, "");
  main.append(place, updated);
  const draw = async () => {
    const [ready, domains, [status, watch]] = await Promise.all([
      get("/readyz", { signal }), get("/v1/domains", { signal }), watchReports(signal, ["/v1/health/domains"]),
    ]);
    const opened = new Set([...place.querySelectorAll("details[open]")].map((one) => one.id));
    replace(place, ...parts(ready, status, domains, watch));
    for (const one of place.querySelectorAll("details[id]")) one.open = opened.has(one.id);
    updated.textContent = `As of ${when(Date.now() / 1000)}; looked at again every ${SECONDS} seconds while this page is seen.`;
  };
  await draw();
  every(SECONDS, async () => {
    try {
      await draw();
    } catch (error) {
      if (error.name !== "AbortError") updated.textContent = `${error.message} What is shown is old; it is tried again.`;
      throw error;
    }
  }, signal);
}

function parts(ready, status, domains, watch) {
  const alarms = watch.alarms ?? [];
  return [
    summary(ready, alarms),
    h("section", {}, h("h2", {}, "Problems"), problems(ready)),
    h("section", {}, h("h2", {}, "Alarms of the watch"), watched(watch)),
    h("section", {}, h("h2", {}, "Domains"), domainTable(domains, status)),
    h("section", {}, h("h2", {}, "Processes"), processes(status)),
    ready.notes?.length ? h("details", { id: "notes" }, h("summary", {}, count(ready.notes.length, "note")),
      h("ul", {}, ready.notes.map((text) => h("li", {}, text)))) : null,
  ];
}

/** The answer to "is it all right?" in one line. */
function summary(ready, alarms) {
  const n = ready.problems.length;
  const [word, kind, text] = !ready.ready ? ["not ready", "bad", "Load balancers send no requests to the replying worker."]
    : n || alarms.length ? ["answers, with problems", "warn", "Requests are answered; what is below needs somebody."]
      : ["all is well", "good", "Requests are answered, and nothing is known to be wrong."];
  return h("p", { class: "summary", role: "status" }, badge(word, kind), " ", text);
}

function problems({ problems: texts, kinds = [] }) {
  if (!texts.length) return h("p", { class: "note" }, "None.");
  return h("div", {},
    h("ul", { class: "problems" }, texts.map((text, i) => h("li", {}, badge(kinds[i] ?? "problem", "bad"), " ", text))),
    h("p", { class: "note" }, "What to do stands in the runbook, docs/how-to/runbook.md, under these words."));
}

function watched(watch) {
  if (watch.missing) return h("p", { class: "note" }, watch.missing);
  const head = h("p", { class: "note" }, `${span(watch.begin, watch.end)}: ${count(watch.requests, "request")}, ${watch.labelled} of known truth.`);
  return h("div", {}, head, notesOf(watch), watch.alarms.length ? h("div", { class: "cards" }, watch.alarms.map(alarmCard)) : h("p", {}, badge("quiet", "good"), " No domain alarms."),
    proposals(watch));
}

function domainTable(domains, status) {
  const total = Object.values(status.decisions).reduce((sum, n) => sum + n, 0);
  const rows = inOrder(domains).map((row) => {
    const arms = Object.values(status.domains[row.name] ?? {});
    const wins = arms.flatMap((one) => Object.values(one.wins)).reduce((sum, n) => sum + n, 0);
    const failed = arms.flatMap((one) => Object.entries(one.failures)).map(([kind, n]) => `${kind}: ${n}`);
    const seconds = (status.domains[row.name]?.stable ?? arms[0])?.seconds;
    return [
      h("a", { href: `#/domains?name=${encodeURIComponent(row.name)}` }, row.title ?? row.name), stateBadge(row),
      row.breaker ?? row.problem ?? "", total && row.status === "loaded" ? percent(wins / total) : "–", failed.join(", ") || "none",
      seconds ? milliseconds(seconds.p99) : "–",
    ];
  });
  return rows.length ? table(["domain", "state", "why", "wins", "failures", "p99"], rows, "State of the domains") : h("p", { class: "note" }, "No domain is installed.");
}

function processes(status) {
  const rows = status.workers.map((one) => [
    one.worker === String(one.process) ? `worker ${one.process}` : `${one.worker} ${one.process}`,
    one.ready === null ? "–" : badge(one.ready ? "ready" : "not ready", one.ready ? "good" : "bad"),
    one.problems.join(", ") || "none", String(one.pending), String(one.shed),
    one.memory ? `${(one.memory / 1e6).toFixed(0)} MB` : "–", one.started ? ago(one.started) : "–", ago(one.reported),
  ]);
  const groups = Object.entries(status.groups).map(([name, one]) => [
    name, badge(one.ready ? "stands by" : "starting", one.ready ? "good" : "warn"), one.problem ?? "none",
    String(one.restarts), one.pids.join(", ") || "none", one.domains.join(", "),
  ]);
  return h("div", {},
    table(["process", "ready", "problems", "pending", "refused", "memory", "started", "reported"], rows, "Processes of the service"),
    groups.length ? table(["isolated group", "next process", "problem", "replaced", "processes", "domains"], groups, "Processes of isolated domains") : null,
    h("p", { class: "note" }, `${status.calls ? `${count(status.calls.n, "call")} of /v1/rank, p50 ${milliseconds(status.calls.p50)}, p99 ${milliseconds(status.calls.p99)}` : "No call of /v1/rank yet"}; `,
      `${count(status.ends, "worker")} ended unasked since ${when(status.since)}.`));
}
