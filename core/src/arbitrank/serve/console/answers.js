// An answer as a picture: the decision, the words with their slots, the merged list, and bars that add up.

import { badge, h, replace, scrolling } from "./elements.js";
import { selectionView } from "./selection.js";
import { addingUp, count, ms, own, percent, signed } from "./text.js";

const SEEN = 0.01; // P(right) of a reading that is shown at first, beside each domain's best
const KINDS = { accept: "good", clarify: "warn", none: "quiet" };
const ORDER = ["base", "domain", "intent", "slots", "context", "features"];
const WORDS = {
  base: "base",
  domain: "domain: it is meant",
  intent: "intent",
  slots: "slots",
  context: "context",
  features: "features: what it knows",
  length: "length of the request",
  reading: "its own other readings",
  calibration: "calibration",
  temperature: "recalibration",
  other_domains: "other domains' claims",
  hyprank: "account and dialogue",
  wording: "wording",
};

/** The badge of a decision. */
export function decisionBadge(action) {
  return badge(action, own(KINDS, action) ?? "quiet");
}

/** An answer to a request, whole. */
export function answerView(answer, request) {
  const words = h("p", { class: "words", dir: "auto" });
  const names = namesOf(answer);
  const select = (reading) => replace(words, highlighted(request.utterance ?? "", reading?.slots ?? []));
  const first = answer.ranked[answer.decision.contenders[0] ?? 0];
  select(first);
  return h("div", {},
    h("div", { class: "card" }, decisionLine(answer, names), request.utterance && words),
    list(answer, names, select), selectionView(answer, names), answer.shortlist && shortlistTable(answer.shortlist), reportsTable(answer, names));
}

function namesOf(answer) {
  return {
    domain: (name) => own(answer.domains, name)?.title ?? name,
    intent: (reading) => own(own(answer.domains, reading.domain)?.intent_titles, reading.intent) ?? reading.intent,
  };
}

function decisionLine(answer, names) {
  const { action, contenders, reason } = answer.decision;
  const chosen = contenders.map((i) => answer.ranked[i]);
  const text = {
    accept: () => [h("strong", {}, names.domain(chosen[0].domain)), ` answers: ${names.intent(chosen[0])}, ${percent(chosen[0].probability)} right`],
    clarify: () => ["ask: ", chosen.map((one, i) => [i > 0 && " or ", h("strong", {}, names.intent(one)), ` (${names.domain(one.domain)})`]), "?"],
    none: () => [noneReason(answer)],
  }[action] ?? (() => [action]);
  return h("p", { class: "decision" }, decisionBadge(action), " ", text(), reason && h("span", { class: "note" }, ` – ${reason}`));
}

function noneReason(answer) {
  const statuses = new Set(Object.values(answer.domains).map((one) => one.status));
  const broken = statuses.has("failed") || statuses.has("late");
  if (!broken) return "out of scope: no domain owns this request";
  return statuses.has("answered") ? "out of scope for the domains that answered" : "no domain could answer";
}

/** The words of a request with slots marked; offsets count characters, and a slot without any is looked for. */
export function highlighted(utterance, slots) {
  const characters = Array.from(utterance);
  const spans = [];
  for (const slot of slots) {
    let [start, end] = [slot.start, slot.end];
    if (start === undefined || end === undefined) {
      const at = utterance.toLowerCase().indexOf(slot.value.toLowerCase());
      if (at < 0 || !slot.value) continue;
      start = Array.from(utterance.slice(0, at)).length;
      end = start + Array.from(slot.value).length;
    }
    if (end <= start || end > characters.length || spans.some((one) => start < one.end && one.start < end)) continue;
    spans.push({ start, end, slot });
  }
  spans.sort((a, b) => a.start - b.start);
  const parts = [];
  let at = 0;
  for (const { start, end, slot } of spans) {
    parts.push(characters.slice(at, start).join(""),
      h("mark", {}, characters.slice(start, end).join(""), "\u00a0", h("span", { class: "slot-name" }, slot.name)));
    at = end;
  }
  return [...parts, characters.slice(at).join("")];
}

function list(answer, names, select) {
  if (!answer.ranked.length) return h("p", { class: "note" }, "No domain has a reading of it.");
  const best = new Set();
  const seen = answer.ranked.filter((one, i) => {
    const shown = !best.has(one.domain) || answer.decision.contenders.includes(i) || (one.probability ?? 0) >= SEEN;
    best.add(one.domain);
    return shown;
  });
  const open = answer.decision.contenders[0] ?? 0;
  const item = (reading) => {
    const i = answer.ranked.indexOf(reading);
    return readingItem(reading, i, names, { open: i === open, chosen: answer.decision.contenders.includes(i), select });
  };
  const items = h("ol", { class: "readings" }, seen.map(item));
  const rest = answer.ranked.length - seen.length;
  const more = h("button", { type: "button", class: "plain", on: { click: () => {
    replace(items, answer.ranked.map(item));
    more.remove();
  } } }, `Show ${rest} more below 1 %`);
  return h("div", {}, items, rest > 0 && more);
}

function readingItem(reading, i, names, { open, chosen, select }) {
  const slots = reading.slots ?? [];
  const inside = h("div", { class: "inside" });
  const details = h("details", { class: "reading", open, on: { toggle: () => {
    if (!details.open) return;
    if (!inside.hasChildNodes()) inside.append(reasons(reading));
    select(reading);
  } } },
  h("summary", { class: chosen ? "chosen" : "" },
    h("span", { class: "place" }, `${i + 1}`),
    h("span", { class: "what" }, h("strong", {}, names.domain(reading.domain)), " ", names.intent(reading),
      slots.map((slot) => [" ", h("span", { class: "slot" }, `${slot.name}: `, h("b", {}, slot.value))])),
    h("span", { class: "figures" },
      h("span", { class: "note" }, `mine ${percent(reading.domain_probability)}`), " ",
      h("span", { class: "right" }, `${percent(reading.probability)} right`),
      meter(reading.probability))), inside);
  if (open) inside.append(reasons(reading));
  return h("li", {}, details);
}

function meter(p) {
  return h("span", { class: "meter", "aria-hidden": "true" }, h("span", { style: { width: `${100 * (p ?? 0)}%` } }));
}

/** Bars of a reading's reasons, from the base to the log-odds, each beginning where the one before it ends. */
export function reasons(reading) {
  if (!reading.why) return h("p", { class: "note" }, "Its domain gives no reasons.");
  const place = (key) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
  const keys = Object.keys(reading.why).sort((a, b) => place(a) - place(b));
  const exact = keys.map((key) => reading.why[key]);
  const [shown, total] = addingUp(exact);
  const ends = [];
  exact.reduce((sum, x) => (ends.push(sum + x), sum + x), 0);
  const low = Math.min(0, ...ends);
  const high = Math.max(0, ...ends, low + 0.1);
  const bar = (from, to, kind) => h("span", { class: `bar ${kind}`, "aria-hidden": "true" },
    h("span", { class: "zero", style: { left: `${(100 * (0 - low)) / (high - low)}%` } }),
    h("span", { class: "fill", style: {
      left: `${(100 * (Math.min(from, to) - low)) / (high - low)}%`,
      width: `max(2px, ${(100 * Math.abs(to - from)) / (high - low)}%)`,
    } }));
  const rows = keys.map((key, i) => {
    const words = Object.entries(reading.details ?? {}).filter(([name]) => name.startsWith(`${key}.`))
      .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).slice(0, 6);
    return [
      h("tr", { data: { group: key } }, h("th", { scope: "row", class: "text" }, own(WORDS, key) ?? key),
        h("td", { class: "bars" }, bar(i ? ends[i - 1] : 0, ends[i], exact[i] < 0 ? "against" : "for")),
        h("td", {}, signed(shown[i]))),
      words.length > 0 && h("tr", { class: "details" }, h("td", { colspan: "3", class: "text note" }, "of which ",
        words.map(([name, value], j) => [j > 0 && ", ", h("span", { class: "detail" }, `${signed(value)} ${name.slice(key.length + 1)}`)]))),
    ];
  });
  const odds = ends.at(-1) ?? 0;
  return h("table", { class: "why wide" },
    h("caption", { class: "note" }, "Log-odds of being entirely right, in nats"),
    h("thead", { class: "unseen" }, h("tr", {}, ["part", "bar", "nats"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows, h("tr", { class: "total" }, h("th", { scope: "row", class: "text" }, "= log-odds"),
      h("td", { class: "bars" }, bar(0, odds, "sum")), h("td", {}, signed(total)))),
    h("tfoot", {}, h("tr", {}, h("td", { colspan: "3", class: "text note" },
      `P(right) = 1 / (1 + e^${total > 0 ? "−" : ""}${Math.abs(total).toFixed(2)}) = ${percent(reading.probability)}`))));
}

const STATUSES = { answered: "good", failed: "bad", late: "bad", skipped: "quiet", unserved: "warn" };

/** How a domain's figures were changed before they were compared. */
function mapped(one) {
  const parts = [one.shrunk !== undefined && one.shrunk !== null && `log-odds divided by ${one.shrunk.toFixed(2)}`,
    one.shift !== undefined && `${signed(one.shift)} added to the log-odds`,
    ...Object.entries(one.scales ?? {}).map(([name, scale]) => `${name} read as ${scale}`)].filter(Boolean);
  return parts.length > 0 && h("div", { class: "note" }, parts.join(", "));
}

/** The skills that a Shortlister chose. */
function shortlistTable(shortlist) {
  const rows = shortlist.candidates.map((one) => h("tr", {}, h("th", { scope: "row", class: "text" }, one.skill),
    h("td", { class: "text" }, one.domain), h("td", {}, percent(one.score))));
  const words = shortlist.miss ? "no skill qualified" : count(shortlist.candidates.length, "skill");
  return h("details", { class: "card" },
    h("summary", {}, `Shortlist ${shortlist.version ?? ""}: ${words}, ${count(shortlist.skipped, "domain")} not queried`
      + (shortlist.none === undefined ? "" : `, none fits ${percent(shortlist.none)}`)),
    scrolling(h("table", { class: "wide" }, h("thead", {}, h("tr", {}, h("th", { class: "text", scope: "col" }, "skill"),
      h("th", { class: "text", scope: "col" }, "domain"), h("th", { scope: "col" }, "P(acceptable)"))), h("tbody", {}, rows)), "The shortlist"));
}

/** Versions, times and statuses of the domains of an answer. */
function reportsTable(answer, names) {
  const total = ["shortlist", "recognise", "rerank", "merge", "hyprank"].reduce((sum, key) => sum + (answer.ms[key] ?? 0), 0);
  const stages = Object.entries(answer.ms).map(([key, value]) => `${key} ${ms(value)}`).join(", ");
  const rows = Object.entries(answer.domains).map(([name, one]) => h("tr", {},
    h("th", { scope: "row", class: "text" }, names.domain(name)),
    h("td", { class: "text" }, badge(one.status, own(STATUSES, one.status) ?? ""), one.reason && h("div", { class: "note" }, one.reason), mapped(one)),
    h("td", { class: "text mono" }, one.version ?? "–", one.release && h("div", { class: "note" }, `code ${one.release}`)),
    h("td", {}, ms(one.ms))));
  const table = h("table", { class: "wide" },
    h("thead", {}, h("tr", {}, h("th", { class: "text", scope: "col" }, "domain"), h("th", { class: "text", scope: "col" }, "status"),
      h("th", { class: "text", scope: "col" }, "version"), h("th", { scope: "col" }, "time"))),
    h("tbody", {}, rows));
  const settings = answer.settings ? `, decision settings ${answer.settings}` : "";
  return h("details", { class: "card" },
    h("summary", {}, `Versions and times: ${ms(total)}${settings}`),
    h("p", { class: "note" }, stages), scrolling(table, "Versions and times of the domains"));
}

/** The differences of two answers: decisions, and P(right) of readings that either has. */
export function changesView([a, b]) {
  const key = (one) => JSON.stringify([one.domain, one.intent, (one.slots ?? []).map((slot) => [slot.name, slot.value])]);
  const seconds = new Map(b.ranked.map((one) => [key(one), one]));
  const firsts = new Set(a.ranked.map(key));
  const pairs = [...a.ranked.map((one) => [one, seconds.get(key(one))]),
    ...b.ranked.filter((one) => !firsts.has(key(one))).map((one) => [undefined, one])];
  const moved = pairs.map(([x, y]) => [x ?? y, x?.probability ?? null, y?.probability ?? null])
    .sort((x, y) => Math.max(y[1] ?? 0, y[2] ?? 0) - Math.max(x[1] ?? 0, x[2] ?? 0))
    .filter(([, x, y], i) => i < 2 || (x ?? 0) >= 0.001 || (y ?? 0) >= 0.001).slice(0, 8);
  const names = namesOf({ domains: { ...b.domains, ...a.domains } });
  const chosen = (one) => one.ranked[one.decision.contenders[0]];
  const decided = (one) => [decisionBadge(one.decision.action), chosen(one) && ` ${names.domain(chosen(one).domain)} ${names.intent(chosen(one))}`];
  const same = a.decision.action === b.decision.action && (chosen(a) && key(chosen(a))) === (chosen(b) && key(chosen(b)));
  return h("section", { class: "card", "aria-label": "A and B side by side" },
    h("p", {}, same ? ["Both decide the same: ", decided(a)] : ["A: ", decided(a), "; B: ", decided(b)]),
    scrolling(h("table", { class: "wide" },
      h("thead", {}, h("tr", {}, ["reading", "A", "B", "B − A, points"].map((name, i) => h("th", { scope: "col", class: i ? "" : "text" }, name)))),
      h("tbody", {}, moved.map(([one, x, y]) => h("tr", {},
        h("th", { scope: "row", class: "text" }, `${names.domain(one.domain)} ${names.intent(one)}`,
          (one.slots ?? []).map((slot) => h("span", { class: "note" }, ` ${slot.name}: ${slot.value}`))),
        h("td", { class: "nowrap" }, percent(x)), h("td", { class: "nowrap" }, percent(y)),
        h("td", { class: "nowrap" }, x === null || y === null ? "–" : signed(100 * (y - x), 1)))))), "Probabilities of both"));
}
