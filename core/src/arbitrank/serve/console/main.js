// The frame: pages by the URL's fragment, the token, the theme.

import { ApiError, hasToken, service, setToken } from "./api.js";
import { announce, dialog, failed, field, h, replace } from "./elements.js";

const PAGES = {
  playground: () => import("./playground.js"),
  live: () => import("./live.js"),
  domains: () => import("./domains.js"),
  calibration: () => import("./calibration.js"),
  impact: () => import("./impact.js"),
  health: () => import("./health.js"),
};
const main = document.getElementById("main");
const tokenButton = document.getElementById("token");
const themeButton = document.getElementById("theme");
let leave = new AbortController();
let drawn = false;

function route() {
  const [, name, query] = /^#?\/?([a-z]*)\??(.*)$/s.exec(location.hash);
  return [Object.hasOwn(PAGES, name) ? name : "playground", new URLSearchParams(query)];
}

function setParams(name) {
  return (values) => {
    const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const query = new URLSearchParams(given.map(([key, value]) => [key, String(value)])).toString();
    history.replaceState(null, "", `#/${name}${query ? `?${query}` : ""}`);
  };
}

async function open() {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const [name, params] = route();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const parts = h("div", {});
  delete main.dataset.drawn;
  try {
    const page = await PAGES[name]();
    if (signal.aborted) return;
    document.title = `${page.title} – arbitrank`;
    replace(main, h("h1", {}, page.title), parts);
    if (drawn) main.focus();
    if (drawn) announce(page.title);
    drawn = true;
    await Promise.all([page.show(parts, { params, signal, setParams: setParams(name) }), about()]);
    if (!signal.aborted) main.dataset.drawn = name;
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    main.dataset.drawn = name;
    if (!(error instanceof ApiError)) console.error(error);
    parts.prepend(failed(error), error.needsToken ? tokenForm() : "");
  }
}

/** The release beside the name, and the button for a token where one may be needed. */
async function about() {
  try {
    const found = await service();
    document.getElementById("release").textContent = found.version;
    tokenButton.hidden = !found.tokens;
  } catch (error) {
    tokenButton.hidden = !(error instanceof ApiError && error.status === 401);
  }
  tokenButton.textContent = hasToken() ? "Token: set" : "Token";
}

function tokenInput() {
  return h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
}

function tokenForm() {
  const input = tokenInput();
  const send = (event) => {
    event.preventDefault();
    setToken(input.value.trim());
    open();
  };
  return h("form", { class: "card", on: { submit: send } },
    h("p", {}, "This page needs a token with the scope for it, as whoever runs the service makes it:"),
    h("pre", {}, "arbitrank token NAME rank log --tokens FILE"),
    h("div", { class: "row" }, field("Token", input), h("button", { class: "primary" }, "Use it")),
    h("p", { class: "note" }, "It stays in the memory of this page: no cookie, no storage, no link holds it."));
}

function askForToken() {
  const input = tokenInput();
  const forget = h("button", { type: "button", on: { click: () => { setToken(null); one.close(); open(); } } }, "Forget it");
  const body = h("div", {}, h("p", {}, "It stays in the memory of this page: no cookie, no storage, no link holds it."),
    h("div", { class: "row" }, field("Token", input), hasToken() && forget));
  const one = dialog("Token", body, ["Use it", () => { setToken(input.value.trim()); open(); }]);
}

const THEMES = ["system", "light", "dark"];
function nextTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  themeButton.textContent = `Theme: ${next}`;
  document.dispatchEvent(new Event("themechange"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
tokenButton.addEventListener("click", askForToken);
themeButton.addEventListener("click", nextTheme);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", open);
if (document.hidden) open();
else requestAnimationFrame(() => setTimeout(open)); // once the frame is shown, which the page need not wait for
