// Decision settings, the Shortlister and the HypRank: their versions, history and changes, as those of domains.

import { get } from "./api.js";
import { empty, h } from "./elements.js";
import { percent } from "./text.js";
import { canarySection } from "./canary.js";
import { actions } from "./domain_actions.js";
import { STAGES, facts, historyTable, optional, shortVersion, table } from "./reports.js";

const UNTOUCHED = { // the command that makes a first version, and what happens without one
  ".decisions": ["arbitrank tune", "the settings of the command line decide"],
  ".shortlist": ["arbitrank shortlist train", "every domain is queried"],
  ".hyprank": ["arbitrank shortlist hyprank", "lists stay in the order of the merge"],
};
const pathOf = (name) => `/v1/domains/${encodeURIComponent(name)}`;

/** The states of the stages that the store has any version of, as `GET /v1/domains/{domain}/versions` replies them. */
export async function changedStages(signal) {
  const found = await Promise.all(Object.keys(STAGES).map((name) => optional(`${pathOf(name)}/versions`, signal)));
  return found.filter((one) => one.change);
}

/** The stages that the store has any version of. */
export async function stageTable(signal) {
  const rows = (await changedStages(signal)).map((one) => [
    h("a", { href: `#/domains?name=${encodeURIComponent(one.domain)}` }, STAGES[one.domain]),
    answersWith(one), shortVersion(one.state.stable), shortVersion(one.state.candidate),
    one.state.canary ? percent(one.state.canary) : "–", one.serving?.problem ?? "",
  ]);
  return rows.length ? h("section", {}, h("h2", {}, "Stages and settings"),
    table(["stage", "answers with", "stable", "candidate", "canary", "problem"], rows, "Stages and settings")) : "";
}

/** The version that answers, or by what else it is done. */
function answersWith({ domain, serving }) {
  if (serving?.origin === "operator") return "the command line's settings";
  if (!serving) return domain === ".shortlist" ? "not used: the service has no --shortlist" : "nothing";
  return shortVersion(serving.version);
}

/** One stage: what answers, its changes and its history. */
export async function showStage(main, name, signal) {
  main.append(h("p", {}, h("a", { href: "#/domains" }, "All domains")), h("h2", {}, STAGES[name]));
  const [versions, history] = await Promise.all([optional(`${pathOf(name)}/versions`, signal), get(`${pathOf(name)}/history`, { signal })]);
  if (versions.missing) {
    main.append(empty(versions.missing));
    return;
  }
  const tried = history.some((each) => each.state.canary);
  main.append(
    facts([
      ["answers with", versions.serving?.version ? answersWith(versions) : `no version: ${UNTOUCHED[name][1]}`],
      ["problem", versions.serving?.problem ?? "none"],
      ["versions in the store", versions.versions.join(", ") || "none"],
    ]),
    h("section", {}, h("h3", {}, "Change what serves"), actions(name, versions, signal, { stage: true })),
    tried ? await canarySection(pathOf(name), signal) : "",
    h("section", {}, h("h3", {}, "History"), historyTable(history, ...UNTOUCHED[name])));
}
