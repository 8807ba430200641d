// An impact report as a page shows it: the gate's verdict, rates before and after, flips as a flow, the worst in words.

import { badge, h } from "./elements.js";
import { calibrationPlot, flowPicture, intervalPlot } from "./plots.js";
import { count, own as named, percent, signed } from "./text.js";
import { STAGES, bandBadge, notesOf, table } from "./reports.js";

/** The whole report of a preview, as `POST /v1/domains/{domain}/impact` replies it. */
export function impactView({ domain, verb, impact, reasons, curves, own, too_sure: sure }) {
  return h("div", { class: "impact" },
    h("p", {}, `${named(STAGES, domain) ?? domain}: `, h("code", {}, impact.after), " in place of ",
      impact.before === null ? (named(STAGES, domain) ? "no version" : "nothing") : h("code", {}, impact.before),
      `, on ${count(impact.n, "request")} of ${impact.on}, ${impact.labelled} with a truth; ${impact.flips} are answered differently.`),
    verdict(verb, impact, reasons, sure),
    notesOf(impact), shares(impact),
    section("Flips between domains", flips(impact)),
    section("The twenty that matter most", worst(impact.worst)),
    impact.pooled ? [
      section("Who gains, who loses", intervalPlot({
        x: "change of IRER, points: less is better", rows: slices(impact).map(([name, one]) => ({ name, n: one.n, ...one.difference.irer })) })),
      section("Neighbours", slicesTable(slices(impact), "By the domain that owns the request")),
      Object.keys(impact.per_device).length ? section("Devices", slicesTable(Object.entries(impact.per_device), "By device")) : null,
      section("Calibration of the answers", sides(curves)),
      named(STAGES, domain) ? null : section(`Calibration of ${domain}, on every request that it has a reading of`, sides(own)),
    ] : null,
    suites(impact), value(impact), segments(impact));
}

const section = (title, ...parts) => h("section", {}, h("h3", {}, title), parts);
const slices = (impact) => [["all requests", impact.pooled], ...Object.entries(impact.per_domain)];

function verdict(verb, impact, reasons, sure) {
  const gate = verb === "promote" ? "The gate" : "The gate's rules";
  if (reasons.length) {
    return h("div", { class: "failed" }, h("p", {}, `${gate} ${verb === "promote" ? "refuses the candidate" : "would refuse this"}:`),
      h("ul", {}, reasons.map((one) => h("li", {}, one.text))), sure && !said(reasons, sure) ? h("p", {}, sure) : null);
  }
  const judged = Boolean(impact.labelled || impact.value?.estimate);
  const text = judged ? `${gate} ${verb === "promote" ? "passes" : "pass"} it.`
    : `${gate} ${verb === "promote" ? "has" : "have"} nothing to judge by: no request has a truth.`;
  return h("div", { class: "verdict" }, h("p", {}, badge(judged ? "passes" : "not judged", judged ? "good" : "warn"), " ", text),
    sure ? h("p", { class: "warn-text" }, sure) : null);
}

/** True where a reason says the same already. */
const said = (reasons, text) => reasons.some((one) => one.text.startsWith(text) || text.startsWith(one.text));

function flips(impact) {
  return impact.pairs.length ? flowPicture({ flips: impact.pairs.slice(0, 20) }) : h("p", { class: "note" }, "No request is answered differently.");
}

function worst(found) {
  if (!found.length) return h("p", { class: "note" }, "None.");
  const side = (one) => h("span", {}, one.reading, " ", one.domain ? h("span", { class: "note nowrap" }, percent(one.probability)) : null);
  const rows = found.map((flip) => [
    h("span", {}, flip.utterance ?? flip.id ?? `line ${flip.line}`, h("br"), badge(flip.kind, kindOf(flip.kind)),
      flip.device ? h("span", { class: "note" }, ` ${flip.device}`) : null),
    side(flip.before), side(flip.after), flip.truth ?? "not known",
  ]);
  return table(["request", "before", "after", "truth"], rows, "The flips that matter most", { stacks: true });
}

const kindOf = (kind) => ({ "right to wrong": "bad", "wrong to right": "good" })[kind] ?? "quiet";

function slicesTable(rows, label) {
  const both = (one, key, digits = 1, scale = 100) =>
    `${(scale * one.before[key]).toFixed(digits)} → ${(scale * one.after[key]).toFixed(digits)}`;
  const change = ({ mean, low, high }) => h("span", { class: `nowrap ${low > 0 ? "bad-text" : high < 0 ? "good-text" : ""}` },
    `${signed(100 * mean)} [${signed(100 * low)}, ${signed(100 * high)}]`);
  return table(
    ["", "n", "IRER, %", "change, points", "domain accuracy, %", "SemER, %", "NLL", "Brier", "ECE after", "lost", "won"],
    rows.map(([name, one]) => [
      name, String(one.n), both(one, "irer"), change(one.difference.irer), both(one, "domain_accuracy"), both(one, "semer"),
      both(one, "nll", 2, 1), both(one, "brier", 2, 1), bandBadge(one.calibration_after, { n: false }), String(one.right_to_wrong), String(one.wrong_to_right),
    ]), label);
}

function sides(curves) {
  const drawn = Object.entries(curves).map(([name, curve]) => ({ name, curve, dotted: name === "before" }));
  return drawn.length ? calibrationPlot({ curves: drawn, highlight: "after" }) : h("p", { class: "note" }, "No request with a truth.");
}

/** Cases of the suites that the change breaks or mends, and how many pass. */
function suites({ suites: cases = [] }) {
  if (!cases.length) return null;
  const changed = cases.filter((one) => one.before !== null && one.before !== one.passes);
  const rows = changed.map((one) => [
    `${one.domain}: ${one.name}`, badge(one.passes ? "passes now" : "fails now", one.passes ? "good" : "bad"), one.kind.replaceAll("_", " "),
    [one.answered, ...(one.differs ?? [])].join(", "),
    [one.date, one.owner, one.reason].filter(Boolean).join(", "), one.conflicts ?? "",
  ]);
  return section("Suites", h("p", {}, `${cases.filter((one) => one.passes).length} of ${count(cases.length, "case")} pass. `,
    changed.length ? "These change:" : "None changes."),
  rows.length ? table(["case", "", "kind", "answered", "since, owner, reason", "conflicts with"], rows, "Cases that change") : null);
}

const VERDICTS = {
  better: ["users would accept more of its answers", "good"], worse: ["users would accept fewer of its answers", "bad"],
  same: ["users would accept as many of its answers", "good"], undecided: ["reactions do not decide it", "warn"],
  "too little evidence": ["too few reactions to judge by", "warn"],
};

/** The share of the answers that users would have accepted, from their reactions. */
function value({ value: found }) {
  if (!found) return null;
  const notes = found.notes.length ? h("ul", { class: "note" }, found.notes.map((text) => h("li", {}, text))) : null;
  const one = found.estimate;
  if (!one) return section("Value from outcomes", h("p", { class: "note" }, "No reaction of users can be used."), notes);
  const [text, kind] = VERDICTS[one.verdict] ?? [one.verdict, "quiet"];
  const share = ({ mean, low, high }, sign) => (sign ? `${signed(100 * mean)} [${signed(100 * low)}, ${signed(100 * high)}]`
    : `${(100 * mean).toFixed(2)} [${(100 * low).toFixed(2)}, ${(100 * high).toFixed(2)}]`);
  const rows = ["before", "after", "difference"].map((side) => [
    side, ...["ips", "snips", "dr"].map((key) => share(one[side][key], side === "difference")),
    side === "difference" ? signed(100 * one[side].model) : (100 * one[side].model).toFixed(2)]);
  return section("Value from outcomes", h("p", {}, badge(one.verdict, kind), ` ${text}.`),
    table(["accepted, %", "IPS", "SNIPS", "DR", "by the model"], rows, "Share of accepted answers", { stacks: true }),
    h("p", { class: "note" }, `${count(one.n, "reaction")} in ${count(one.sessions, "session")}, effective sample size ${one.effective.toFixed(0)}, overlap ${percent(one.overlap)}; `,
      `${one.flips} are answered differently, ${percent(one.without_evidence)} of these without evidence.`), notes);
}

/** Calibration over segments: the largest error of any, before and after, and those that are surely worse. */
function segments({ segments: found }) {
  if (!found) return null;
  const rows = ["before", "after"].flatMap((side) => [
    [side, found[side].worst, found[side].p_value, count(found[side].segments, "segment")],
    [`${side}, pairs`, found[side].worst_pair, found[side].pair_p_value, count(found[side].pairs, "pair")],
  ]).filter(([, worst]) => worst).map(([name, worst, p, of]) => [
    name, worst.segment, of, String(worst.n), (100 * worst.error).toFixed(1), (worst.error / worst.noise).toFixed(1), signed(100 * worst.over, 1),
    badge(p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`, p < 0.05 ? "bad" : "good"),
  ]);
  const broken = found.broken.map(({ before, after, least }) => h("li", {}, h("strong", {}, after.segment),
    `: its calibration error rises from ${(100 * before.error).toFixed(1)} to ${(100 * after.error).toFixed(1)} points, by at least ${(100 * least).toFixed(1)}`));
  return section("Segments",
    broken.length ? h("div", { class: "failed" }, h("p", {}, "Surely worse calibrated after it:"), h("ul", {}, broken)) : h("p", { class: "note" }, "No segment is surely worse calibrated after it."),
    table(["", "the worst", "of", "n", "error, points", "in units of noise", "claims too much by", "by chance"], rows, "Calibration over segments"));
}

function shares(impact) {
  const { before, after } = impact.decisions;
  if (!before || !after) return null;
  const rows = Object.keys(after).filter((key) => before[key] || after[key]).map((key) => [key, percent(before[key]), percent(after[key])]);
  return section("Decisions", table(["decision", "before", "after"], rows, "Shares of the decisions"));
}
