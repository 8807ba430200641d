// All domains at a glance, and one of them: state, calibration, numbers, versions, history, and the changes of it.

import { get } from "./api.js";
import { badge, empty, h } from "./elements.js";
import { calibrationPlot } from "./plots.js";
import { count, percent, when } from "./text.js";
import { canarySection } from "./canary.js";
import { actions } from "./domain_actions.js";
import {
  alarmCard, bandBadge, facts, historyTable, inOrder, milliseconds, optional, proposals, recalibrated, shortVersion, stateBadge, table,
  STAGES, watchedLine, watchReports, worstSegment,
} from "./reports.js";
import { showStage, stageTable } from "./stages.js";

export const title = "Domains";

/** Draw the list, or the domain that is named. */
export async function show(main, { params, signal }) {
  const name = params.get("name");
  if (Object.hasOwn(STAGES, name)) return showStage(main, name, signal);
  const [rows, [status, watch, reliability]] = await Promise.all([get("/v1/domains", { signal }), watchReports(signal)]);
  if (name === null) main.append(...list(rows, status, watch, reliability, signal), await stageTable(signal));
  else await one(main, name, { rows, status, watch, reliability, signal });
}

function list(rows, status, watch, reliability, signal) {
  if (!rows.length) return [empty("No domain is installed.", "pip install a domain's package, or: arbitrank new NAME")];
  const total = Object.values(status.decisions).reduce((sum, n) => sum + n, 0);
  const heads = ["domain", "state", "version", "calibration of P(right), live", "wins", "failures", "p50 / p99", "watch"];
  const lines = inOrder(rows).map((row) => {
    const counts = summed(status.domains[row.name]), curve = live(reliability, row.name);
    const watched = watch.domains?.[row.name];
    return [
      h("a", { href: `#/domains?name=${encodeURIComponent(row.name)}` }, row.title ?? row.name),
      [stateBadge(row), row.state?.canary ? [" ", badge(`canary ${percent(row.state.canary)}`, "warn")] : null],
      h("span", {}, shortVersion(row.version), h("br"), h("span", { class: "note" }, `${row.package} ${row.package_version}`)),
      bandBadge(curve?.right?.figures ?? curve?.mine?.figures),
      total && row.status === "loaded" ? `${percent(counts.wins / total)} (${counts.wins})` : "–",
      failures(counts), latency(counts.seconds),
      watched ? badge(watched.status, watched.status === "quiet" ? "good" : "bad") : "–",
    ];
  });
  return [
    h("p", { class: "note" }, `${count(total, "answer")} since ${when(status.since)}, of all workers. `,
      reliability.missing ? `No live calibration: ${reliability.missing}` : `Calibration: ${count(reliability.labelled, "request")} of known truth.`),
    watchedLine(status, signal),
    table(heads, lines, "Domains"),
    watch.alarms?.length ? [h("h2", {}, "What the watch says"), ...watch.alarms.map(alarmCard)] : [],
  ].flat();
}

/** The counts of a domain's arms together. */
function summed(arms = {}) {
  const sums = { answers: 0, wins: 0, failures: {}, seconds: arms.stable?.seconds ?? arms.canary?.seconds ?? null };
  for (const one of Object.values(arms)) {
    sums.answers += one.answers;
    sums.wins += Object.values(one.wins).reduce((sum, n) => sum + n, 0);
    for (const [kind, n] of Object.entries(one.failures)) sums.failures[kind] = (sums.failures[kind] ?? 0) + n;
  }
  return sums;
}

function failures({ failures: kinds }) {
  const words = Object.entries(kinds).map(([kind, n]) => `${kind}: ${n}`);
  return words.length ? h("span", { class: "warn-text" }, words.join(", ")) : "none";
}

const latency = (seconds) => (seconds ? `${milliseconds(seconds.p50)} / ${milliseconds(seconds.p99)}` : "–");

/** The live curves of a domain, of all requests. */
const live = (reliability, name) => reliability.slices?.[0]?.domains[name];

async function one(main, name, { rows, status, watch, reliability, signal }) {
  const path = `/v1/domains/${encodeURIComponent(name)}`;
  main.append(h("p", {}, h("a", { href: "#/domains" }, "All domains")));
  const row = rows.find((each) => each.name === name);
  if (!row) return main.append(empty(`No domain of the name ${name} is installed.`, "arbitrank domains"));
  main.append(h("h2", {}, row.title ?? row.name, " ", stateBadge(row)), ...problems(row));
  const alarms = (watch.alarms ?? []).filter((each) => each.domain === name);
  main.append(...alarms.map(alarmCard), ...proposals(watch, name));
  const [cards, versions, history] = await Promise.all(
    ["card", "versions", "history"].map((part) => optional(`${path}/${part}`, signal)));
  const tried = !history.missing && history.some((each) => each.state.canary);
  main.append(
    h("section", {}, h("h3", {}, "Now"), now(row, status, watch.domains?.[name], versions)),
    h("section", {}, h("h3", {}, "Live calibration"), watchedLine(status, signal), calibration(name, reliability, cards)),
    h("section", {}, h("h3", {}, "Versions and their cards"), cardTable(cards)),
    h("section", {}, h("h3", {}, "Change what serves"), versions.missing ? empty(versions.missing) : actions(name, versions, signal)),
    tried ? await canarySection(path, signal) : "",
    h("section", {}, h("h3", {}, "History"), historyTable(history, `arbitrank train ${name} --promote`)),
  );
}

function problems(row) {
  const texts = [row.problem, row.breaker].filter(Boolean);
  return [
    ...texts.map((text) => h("p", { class: "failed" }, text)),
    ...(row.notes ?? []).map((text) => h("p", { class: "note" }, text)),
  ];
}

function now(row, status, watched, versions) {
  const counts = summed(status.domains[row.name]);
  const total = Object.values(status.decisions).reduce((sum, n) => sum + n, 0);
  const group = Object.entries(status.groups).find(([, each]) => each.domains.includes(row.name));
  return facts([
    ["answers with", h("span", {}, shortVersion(row.version), ` (${row.origin ?? "nothing"})`)],
    ["code", `${row.package} ${row.package_version}${row.release ? `, release ${row.release}` : ""}`],
    ["recalibrated", versions.state ? recalibrated(versions.state) : null],
    ["requests read", count(counts.answers, "request")],
    ["wins", total ? `${counts.wins} of ${total} (${percent(counts.wins / total)})` : "no answer yet"],
    watched && watched.wins.of_before ? ["wins by the log",
      `${percent(watched.wins.now / Math.max(1, watched.wins.of_now))} now, ${percent(watched.wins.before / watched.wins.of_before)} the week before`] : null,
    ["failures", failures(counts)],
    ["time, p50 / p99", latency(counts.seconds)],
    ["circuit", row.breaker ? [badge("not closed", "bad"), ` ${row.breaker}`] : "closed"],
    ["process", group ? worker(group) : "in the service's own workers"],
    watched?.segments?.worst ? ["worst segment", worstSegment(watched.segments)] : null,
    watched ? ["watch", h("span", {}, badge(watched.status, watched.status === "quiet" ? "good" : "bad"),
      h("span", { class: "note" }, ` ${watched.notes.join("; ")}`))] : null,
  ]);
}

function worker([name, group]) {
  return h("span", {}, `group ${name}, process ${group.pids.join(", ") || "none"}, replaced ${count(group.restarts, "time")} `,
    group.problem ? h("span", { class: "bad-text" }, group.problem) : badge(group.ready ? "stands by" : "starting", group.ready ? "good" : "warn"));
}

function calibration(name, reliability, cards) {
  if (reliability.missing) return empty(reliability.missing, "arbitrank serve --log DIR");
  const found = live(reliability, name);
  if (!found) return empty("No request of known truth was answered by the version that serves.", "POST /v1/feedback");
  const curves = [["P(right)", found.right], ["P(mine)", found.mine]].filter(([, curve]) => curve);
  const card = cards.cards?.stable?.card;
  return h("div", {},
    calibrationPlot({ curves: curves.map(([label, curve]) => ({ name: label, curve })), highlight: curves[0][0] }),
    card?.n ? h("p", { class: "note" }, "Its card, on held-out training data: ", bandBadge(card)) : null,
    h("p", {}, h("a", { href: `#/calibration?highlight=${encodeURIComponent(name)}` }, "beside the other domains, by segment and over time")));
}

function cardTable(cards) {
  if (cards.missing) return empty(cards.missing);
  const rows = Object.entries(cards.cards).map(([alias, each]) => [
    alias, shortVersion(each.version || "none"), each.problem ? h("span", { class: "bad-text" }, each.problem) : bandBadge(each.card),
    each.card?.n ? each.card.brier.toFixed(4) : "–", each.model || "–", each.rows ? String(each.rows) : "–",
    each.time ? when(each.time) : "–", `${each.origin}${each.package ? `, ${each.package} ${each.package_version}` : ""}`,
  ]);
  return table(["alias", "version", "ECE of P(right)", "Brier", "model", "examples", "trained", "from"], rows, "Versions and their cards");
}
