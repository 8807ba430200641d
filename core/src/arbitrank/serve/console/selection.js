// How an answer was chosen: the readings that may be acted on, the arms of canaries, the policy, exploration.

import { h } from "./elements.js";
import { facts, shortVersion } from "./reports.js";
import { count, percent } from "./text.js";

/** The selection of an answer; `names` has readings in words by their place. */
export function selectionFacts(selection, names = {}) {
  if (!selection) return null;
  const { eligible, probability, canary = {}, decisions, policy, overridden, exploration } = selection;
  const reading = (place) => (names[place] ? `${place + 1} ${names[place]}` : `reading ${place + 1}`);
  return facts([
    ["may be acted on", eligible.length ? eligible.map(reading).join(", or ") : "no reading: it asks, or acts on none"],
    ["probability", probability === 1 ? "certain: nothing is drawn" : `${percent(probability)} of such requests are answered so`],
    ...Object.entries(canary).map(([name, one]) => [`canary of ${name}`, h("span", {}, `the ${one.arm === "canary" ? "candidate" : "stable version"} answers: `,
      shortVersion(one.arm === "canary" ? one.candidate : one.stable), `; the candidate has ${percent(one.share)}`)]),
    exploration && ["exploration", `${percent(exploration.rate)} of the sessions that ${exploration.domain} heads act on another of ${count(exploration.others.length + 1, "close reading")}`],
    policy && ["policy", overridden ? ["it made this decision: ", shortVersion(policy)] : ["no rule of it applies: ", shortVersion(policy)]],
    decisions && ["decision settings", shortVersion(decisions)],
  ]);
}

/** The same for an answer, folded. */
export function selectionView(answer, names) {
  const { selection } = answer;
  if (!selection) return null;
  const words = selection.probability === 1 ? "certain" : `with ${percent(selection.probability)}`;
  const drawn = Object.keys(selection.canary ?? {}).length ? ", in a canary" : selection.eligible.length > 1 ? ", may explore" : "";
  const readings = Object.fromEntries(answer.ranked.map((one, i) => [i, `${names.domain(one.domain)} ${names.intent(one)}`]));
  return h("details", { class: "card" }, h("summary", {}, `How it is chosen: ${words}${drawn}`), selectionFacts(selection, readings));
}
