// A canary beside the stable version: what both arms answered, and what came of it.

import { badge, empty, h } from "./elements.js";
import { bandBadge, optional, shortVersion, table } from "./reports.js";
import { percent, signed, when } from "./text.js";

/** The report on the last canary of a domain or stage. */
export async function canarySection(path, signal) {
  const report = await optional(`${path}/canary`, signal);
  if (report.missing) return h("section", {}, h("h3", {}, "Canary"), empty(report.missing));
  const shadowed = Object.values(report.arms).some((one) => one.compared);
  const rows = Object.entries(report.arms).map(([arm, one]) => [
    arm, shortVersion(one.version), String(one.answers), ...["accept", "clarify", "none", "failed"].map((key) => share(one[key], one.answers)),
    estimate(one.outcomes?.accuracy, one.outcomes?.n), bandBadge(one.outcomes?.calibration),
    estimate(one.acceptance, one.accepted + one.rejected), ...(shadowed ? [`${one.flips} of ${one.compared}`] : []),
  ]);
  const differences = Object.entries(report.differences).filter(([, one]) => one).map(([key, one]) => [key.replaceAll("_", " "),
    `${signed(100 * one.mean, 1)} [${signed(100 * one.low, 1)}, ${signed(100 * one.high, 1)}]`, verdict(one)]);
  return h("section", {}, h("h3", {}, "Canary"),
    h("p", {}, shortVersion(report.candidate), " beside ", shortVersion(report.stable),
      ` since ${when(report.since)}${report.until ? ` until ${when(report.until)}` : ""}: a share of ${percent(report.share)}, by the ${report.source}.`),
    rows.length ? table(["arm", "version", "answers", "accept", "clarify", "none", "failed", "right, %", "ECE of P(right)", "accepted by users, %", ...(shadowed ? ["answered differently"] : [])],
      rows, "Figures of both arms") : empty("Neither arm has answered yet."),
    differences.length ? table(["", "canary minus stable, points [95 % interval]", ""], differences, "Differences of the canary", { stacks: true }) : null);
}

const share = (n, of) => (of ? `${percent(n / of)}` : "–");
const estimate = (one, n) => (one ? `${(100 * one.mean).toFixed(1)} [${(100 * one.low).toFixed(1)}, ${(100 * one.high).toFixed(1)}], n = ${n}` : "–");
const verdict = ({ low, high }) => (low > 0 ? badge("surely better", "good") : high < 0 ? badge("surely worse", "bad") : badge("not decided", "quiet"));
