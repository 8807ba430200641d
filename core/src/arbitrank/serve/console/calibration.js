// Calibration as the log shows it: reliability curves of the answers, of R0 and of every domain, by segment, over time.

import { get } from "./api.js";
import { empty, field, h, replace } from "./elements.js";
import { calibrationPlot, linePlot } from "./plots.js";
import { count } from "./text.js";
import { bandBadge, notesOf, span, table, watchedLine, watchReports } from "./reports.js";

export const title = "Calibration";

const NAMES = { answer: "answers today", R0: "R0, the product of confidences" };
const MOST = 24; // domains that are drawn
const CLAIMS = [["right", "P(right): the reading is entirely right"], ["mine", "P(mine): the request is the domain's"]];

/** Draw the plots, by the slice and the claim that are chosen. */
export async function show(main, { params, signal, setParams }) {
  const [[status, report], domains] = await Promise.all([watchReports(signal, ["/v1/reliability"]), get("/v1/domains", { signal })]);
  if (report.missing) {
    main.append(empty(report.missing, "arbitrank serve --log DIR"));
    return;
  }
  const titles = Object.fromEntries(domains.map((row) => [row.name, row.title ?? row.name]));
  main.append(h("p", { class: "note" }, `${span(report.begin, report.end)}: ${count(report.requests, "request")}, ${report.labelled} of known truth.`),
  notesOf(report), watchedLine(status, signal));
  if (!report.labelled) {
    main.append(empty("No request has a truth yet.", 'POST /v1/feedback {"id": …, "truth": {"domain": …, "intent": …}}'));
    return;
  }
  const chosen = { slice: params.get("slice") ?? "all", claim: params.get("claim") ?? "right", highlight: params.get("highlight") ?? "" };
  const pick = (label, key, options) => field(label, h("select", { on: { change: (event) => choose(key, event.target.value) } },
    options.map(([value, text]) => h("option", { value, selected: value === chosen[key] }, text))));
  const names = [...new Set([...Object.keys(report.slices[0].domains), ...Object.keys(report.domains)])].sort();
  const place = h("div", {});
  function choose(key, value) {
    chosen[key] = value;
    setParams(chosen);
    draw();
  }
  function draw() {
    const slice = report.slices.find((one) => one.name === chosen.slice) ?? report.slices[0];
    replace(place, curvesOf(slice, chosen, titles), contexts(report, chosen, titles), overTime(report, chosen, titles));
  }
  main.append(
    h("div", { class: "row" },
      pick("Requests", "slice", report.slices.map((one) => [one.name, `${one.name === "all" ? "all" : one.name} (${one.n})`])),
      pick("Claim", "claim", CLAIMS),
      pick("Highlight", "highlight", [["", "the answers"], ...names.map((name) => [name, titles[name] ?? name])])),
    place);
  draw();
}

/** The curves of a slice: the answers beside R0, and one a domain. */
function curvesOf(slice, { claim, highlight }, titles) {
  const answers = claim === "right" ? Object.entries(slice.answers) : [];
  const domains = Object.entries(slice.domains).filter(([, one]) => one[claim])
    .map(([name, one]) => ({ key: name, name: titles[name] ?? name, curve: one[claim] }))
    .sort((a, b) => (b.key === highlight) - (a.key === highlight) || b.curve.figures.n - a.curve.figures.n);
  const curves = [
    ...answers.map(([name, curve]) => ({ key: "", name: NAMES[name], curve, dotted: name === "R0" })), ...domains.slice(0, MOST)];
  if (!curves.length) return empty("No truth among these requests tells this claim.");
  const first = (curves.find((one) => one.key === highlight && one.name !== NAMES.R0) ?? curves[0]).name;
  return h("section", {}, h("h2", {}, "Reliability"),
    highlight && !domains.some((one) => one.key === highlight) ? h("p", { class: "note" },
      `No request of known truth here was answered by the version of ${titles[highlight] ?? highlight} that serves.`) : null,
    calibrationPlot({ curves, highlight: first, y: claim === "right" ? "share that is entirely right" : "share that is its own" }),
    domains.length > MOST ? h("p", { class: "note" }, `The ${MOST} of ${domains.length} domains of which most requests are known; highlight another one to see it.`) : null,
    table(["", "ECE, and its band"], [...curves, ...domains.slice(MOST)].map((one) => [one.name, bandBadge(one.curve.figures)]), "Calibration errors"));
}

/** The calibration of every slice: of the answers, or of the domain that is highlighted. */
function contexts(report, { claim, highlight }, titles) {
  const of = (slice) => (highlight ? slice.domains[highlight]?.[claim] : claim === "right" ? slice.answers.answer : null);
  const rows = report.slices.filter((slice) => of(slice)).map((slice) => {
    const { figures } = of(slice);
    return [slice.name, String(figures.n), bandBadge(figures, { n: false }), `${(100 * figures.over).toFixed(1).replace("-", "−")}`];
  });
  if (rows.length < 2) return null;
  const whose = highlight ? titles[highlight] ?? highlight : "the answers";
  return h("section", {}, h("h2", {}, "By segment"),
    table(["requests", "n", "ECE, and its band", "claims too much by, points"], rows, `By segment: ${whose}`, { stacks: true }));
}

/** Mean claim and share that came true over time. */
function overTime(report, { highlight }, titles) {
  const times = highlight ? report.domains[highlight] : report.answers.answer;
  if (!times?.length) return null;
  const half = report.seconds / 2;
  const points = (y) => times.map((one) => ({ x: one.begin + half, n: one.n, ...y(one) }));
  const marks = (report.versions[highlight] ?? []).slice(1).map((one) => ({ x: one.begin, text: `from here on ${one.version}` }));
  const whose = highlight ? titles[highlight] ?? highlight : "the answers";
  const series = [
    { name: "came true", note: "with its 95 % interval", points: points(({ seen }) => ({ y: seen.mean, low: seen.low, high: seen.high })) },
    { name: "claimed", note: "mean P(right)", points: points(({ claimed }) => ({ y: claimed })) },
  ];
  const errors = [
    { name: "ECE", points: points(({ ece }) => ({ y: ece })) },
    { name: "upper end of its band", dotted: true, points: points(({ ece_band: [, high] }) => ({ y: high })) },
  ];
  const x = { label: "time", kind: "time", range: [times[0].begin, Math.max(report.end, times.at(-1).begin + report.seconds)] };
  return h("section", {}, h("h2", {}, "Over time"),
    linePlot({ label: `P(right) of ${whose}`, x, y: { label: "probability, share", kind: "share", range: [0, 1] }, series, highlight: "came true", marks, height: 260 }),
    linePlot({ label: `Calibration error of ${whose}`, x, y: { label: "ECE", kind: "share", range: [0, 1.1 * Math.max(0.05, ...errors.flatMap((one) => one.points.map((p) => p.y)))] }, series: errors, marks, height: 220 }),
    marks.length ? h("p", { class: "note" }, "A dashed line marks another version: ", marks.map((one) => `${one.text}. `)) : null);
}
