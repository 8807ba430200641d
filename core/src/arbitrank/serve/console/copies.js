// A request to copy: as a link, for a shell, and for Python.

import { copyable, h, tabs } from "./elements.js";
import { hasToken } from "./api.js";

/** Tabs with a link, and with curl, CLI and Python for each side. */
export function copies(sides) {
  const each = (name, make) => [name, () => h("div", {}, sides.map((side, i) => [
    sides.length > 1 && h("h3", {}, "AB"[i]), copyable(make(side), `${name}${sides.length > 1 ? ` of ${"AB"[i]}` : ""}`)]))];
  return h("section", { class: "card", "aria-label": "Copy" }, h("h2", {}, "The same elsewhere"),
    tabs("Copy as", [
      ["Link", () => copyable(location.href, "link")],
      each("curl", curl), each("CLI", cli), each("Python", python),
    ]));
}

/** A text as one word of a POSIX shell. */
export function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The call by curl; a token is named, never shown. */
export function curl({ request, versions }) {
  const body = { request, ...(Object.keys(versions).length && { versions }) };
  const token = hasToken() ? ' -H "authorization: Bearer $TOKEN"' : "";
  return `curl -sS ${quoted(`${location.origin}/v1/try`)} -H 'content-type: application/json'${token} -d ${quoted(JSON.stringify(body))}`;
}

/** The command that answers it by the stable versions of the store. */
export function cli({ request, versions }) {
  const context = Object.entries(request.context ?? {});
  const plain = Object.keys(request).every((key) => key === "utterance" || key === "context") && context.every(([key, value]) => !key.includes("=") && expressible(value));
  const note = Object.keys(versions).length ? "# by the stable versions: a command cannot choose others\n" : "";
  if (plain && request.utterance) {
    const pairs = context.map(([key, value]) => (key === "device" && typeof value === "string"
      ? `--device ${quoted(value)}` : `--context ${quoted(`${key}=${value}`)}`));
    return `${note}arbitrank ask ${[...pairs, "--explain", "--", quoted(request.utterance)].join(" ")}`;
  }
  return `${note}printf '%s\\n' ${quoted(JSON.stringify(request))} | arbitrank rank --explain -`;
}

/** True for a value of a context that the command line's KEY=VALUE can express. */
function expressible(value) {
  if (typeof value === "string") return !/^(true|false|[\p{Nd}_.eE+\-\s]*\p{Nd}[\p{Nd}_.eE+\-\s]*)$/u.test(value);
  return typeof value === "boolean" || typeof value === "number";
}

/** Python code that answers it by the stable versions of the store. */
export function python({ request, versions }) {
  const note = Object.keys(versions).length ? "# by the stable versions\n" : "";
  const start = `${note}import arbitrank\n`;
  const end = "explain=True)\nprint(answer.decision.action, answer.best)\n";
  const arbitrator = "\narbitrator = arbitrank.Arbitrator.from_installed()\n";
  if (Object.keys(request).some((key) => key !== "utterance" && key !== "context")) {
    const text = JSON.stringify(JSON.stringify(request));
    return `${start}import msgspec\n${arbitrator}request = msgspec.json.decode(${text}, type=arbitrank.Request)\nanswer = arbitrator.answer(request, ${end}`;
  }
  const context = request.context ? `context=${literal(request.context)}, ` : "";
  return `${start}${arbitrator}answer = arbitrator.answer(${literal(request.utterance ?? "")}, ${context}${end}`;
}

/** A JSON value as a Python literal. */
export function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, one]) => `${literal(key)}: ${literal(one)}`).join(", ")}}`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
