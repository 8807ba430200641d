// Elements of pages. Every text becomes a text node, so that nothing in it is read as HTML.

const SVG = "http://www.w3.org/2000/svg"; // a name, never fetched

/** An element with attributes and children: nodes, texts, lists of these; null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for a shape of a picture. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A node with these children in the place of those that it has. */
export function replace(node, ...children) {
  node.replaceChildren();
  return added(node, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else if (name === "style") for (const [property, one] of Object.entries(value)) node.style.setProperty(property, one);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked" || name === "selected") node[name] = value;
    else if (name === "href" && !/^(#|\/(?!\/))/.test(value)) throw new Error(`a link to elsewhere: ${value}`);
    else node.setAttribute(name, value === true ? "" : value);
  }
  return added(node, children);
}

function added(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** A word on a coloured ground; kinds: good, warn, bad, quiet. */
export function badge(text, kind = "") {
  return h("span", { class: `badge ${kind}` }, text);
}

/** A table that scrolls by itself where it is wider than the page, reachable by keyboard. */
export function scrolling(table, label) {
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, table);
}

/** What is shown where there is nothing yet, and the command that changes that. */
export function empty(text, command) {
  return h("div", { class: "empty" }, h("p", {}, text), command && h("p", {}, h("code", {}, command)));
}

/** A note that something is under way. */
export function busy(text) {
  return h("p", { class: "busy", role: "status" }, text);
}

/** An error: what was seen and what was expected, and the gate's reasons where it refused. */
export function failed(error) {
  const reasons = error.reasons ?? [];
  return h("div", { class: "failed", role: "alert" },
    h("p", {}, error.message),
    reasons.length > 0 && h("ul", {}, reasons.map((one) => h("li", {}, one.text))));
}

/** A control with its label. */
export function field(label, control, attributes = {}) {
  control.id ||= `f${++fields}`;
  const { class: more = "", ...others } = attributes;
  return h("div", { class: `field ${more}`, ...others }, h("label", { for: control.id }, label), control);
}
let fields = 0;

/** A block of text with a button that copies it. */
export function copyable(text, label = "text") {
  const button = h("button", { type: "button", "aria-label": `Copy ${label}`, on: { click: copy } }, "Copy");
  async function copy() {
    await copied(text);
    button.textContent = "Copied";
    announce(`${label} copied`);
    setTimeout(() => (button.textContent = "Copy"), 2000);
  }
  return h("div", { class: "copyable" }, h("pre", { tabindex: "0", role: "group", "aria-label": label }, text), button);
}

/** Put a text on the clipboard, also where the page is not served over TLS. */
export async function copied(text) {
  if (navigator.clipboard) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch { /* not permitted: the other way */ }
  }
  const area = h("textarea", { value: text, class: "unseen", "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Tabs over panels, each `[label, function that makes the panel]`; arrow keys move between them. */
export function tabs(label, panels) {
  const panel = h("div", { role: "tabpanel", tabindex: "0" });
  const buttons = panels.map(([name], i) =>
    h("button", { type: "button", role: "tab", on: { click: () => choose(i), keydown: (event) => move(event, i) } }, name));
  function choose(i) {
    buttons.forEach((one, j) => {
      one.setAttribute("aria-selected", String(i === j));
      one.tabIndex = i === j ? 0 : -1;
    });
    panel.setAttribute("aria-label", panels[i][0]);
    replace(panel, panels[i][1]());
  }
  function move(event, i) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (i + step + buttons.length) % buttons.length;
    choose(next);
    buttons[next].focus();
  }
  choose(0);
  return h("div", {}, h("div", { class: "tabs", role: "tablist", "aria-label": label }, buttons), panel);
}

/** Open a dialog and return it; `act` is the label and the function of its action, which keeps it open by throwing. */
export function dialog(title, body, act, kind = "primary") {
  const problem = h("div", {});
  const close = h("button", { type: "button", on: { click: () => one.close() } }, act ? "Cancel" : "Close");
  const button = act && h("button", { type: "submit", class: kind }, act[0]);
  const form = h("form", { on: { submit: send } }, h("h2", { id: "dialog-title" }, title), body, problem,
    h("div", { class: "row" }, button, close));
  const one = h("dialog", { "aria-labelledby": "dialog-title", on: { close: () => one.remove() } }, form);
  async function send(event) {
    event.preventDefault();
    if (!act) return one.close();
    button.disabled = true;
    try {
      await act[1]();
      one.close();
    } catch (error) {
      replace(problem, failed(error));
    }
    button.disabled = false;
  }
  document.body.append(one);
  one.showModal();
  return one;
}

/** Show something at the bottom until it is dismissed or another takes its place; returns the function that does. */
export function toast(text, buttons = [], kind = "") {
  const place = document.getElementById("toasts");
  const close = () => one.remove();
  const one = h("div", { class: `toast ${kind}` }, h("p", {}, text),
    h("div", { class: "row" }, buttons.map(([label, act]) => h("button", { type: "button", on: { click: () => act(close) } }, label)),
      h("button", { type: "button", "aria-label": "Dismiss", on: { click: close } }, "×")));
  replace(place, one);
  return close;
}

/** Have a screen reader say something. */
export function announce(text) {
  document.getElementById("announcer").textContent = text;
}
