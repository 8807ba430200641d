// Plots as SVG: reliability curves, lines over time, intervals and flows, each with axis labels, a legend that
// highlights and hides by keyboard too, and its figures as a table. No imports: reports hold this file inline.
// Colours come from the style sheet alone, so that a change of theme needs no drawing anew.

// The name space of SVG as the parser knows it: this file names no address.
const NAMESPACE = new DOMParser().parseFromString("<svg></svg>", "text/html").querySelector("svg").namespaceURI;
const COLOURS = 8;
const DOTS = 60; // points from which on a line has none
const LETTER = 7.2; // width of a letter, in pixels: more than most have

/** An element of HTML; children are nodes and texts. */
function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(NAMESPACE, tag), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((one) => one !== null && one !== undefined));
  return made;
}

// ------------------------------------------------------------------------------------------------- numbers as text

const rounded = (x, digits) => x.toFixed(digits).replace("-", "−");
export const percent = (x, digits = 1) => `${rounded(100 * x, digits)} %`;
const day = new Intl.DateTimeFormat("en-GB", { month: "short", day: "numeric" });
const hour = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });

const FORMATS = {
  share: { tick: (x) => percent(x, 0), full: (x) => percent(x) },
  number: { tick: (x) => String(+x.toPrecision(6)), full: (x) => String(+x.toPrecision(4)) },
  time: {
    tick: (x, span) => (span > 2 * 86400 ? day : hour).format(new Date(1000 * x)),
    full: (x) => new Date(1000 * x).toLocaleString("en-GB"),
  },
};

/** Round values between two ends, about so many. */
function ticks(low, high, about, kind) {
  const rough = (high - low) / Math.max(1, about);
  let step;
  if (kind === "time") {
    const least = high - low > 2 * 86400 ? Math.max(rough, 86400) : rough; // of days no hours are shown
    step = [900, 3600, 10800, 21600, 43200, 86400, 172800, 259200, 432000, 604800].find((one) => one >= least) ?? 2592000;
  } else {
    const power = 10 ** Math.floor(Math.log10(rough));
    step = power * ([1, 2, 5].find((one) => one * power >= rough) ?? 10);
  }
  const found = [], zone = kind === "time" ? 60 * new Date(1000 * low).getTimezoneOffset() : 0; // days begin where one is
  for (let x = Math.ceil((low - zone) / step - 1e-9) * step + zone; x <= high + 1e-9 * step; x += step) found.push(x);
  return found;
}

// ------------------------------------------------------------------------------------------------------- a picture

/** A figure whose picture is drawn to the width that there is, and again where that changes. */
function figure(label, draw, ...more) {
  const place = h("div", { class: "plot-place" });
  const made = h("figure", { class: "plot" }, label ? h("figcaption", {}, label) : null, place, ...more);
  let width = 0;
  made.redraw = () => place.replaceChildren(draw(width || 640));
  made.redraw();
  new ResizeObserver(([entry]) => {
    const seen = Math.round(entry.contentRect.width);
    if (seen && seen !== width) {
      width = seen;
      made.redraw();
    }
  }).observe(place);
  return made;
}

/** The figures of a plot as a table that opens below it. */
function figures(heads, rows) {
  const body = h("tbody");
  const details = h(
    "details", { class: "figures" }, h("summary", {}, "Figures"),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures" },
      h("table", {}, h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col" }, one)))), body)),
  );
  details.addEventListener("toggle", () => {
    if (details.open && !body.firstChild) {
      body.append(...rows().map((row) => h("tr", {}, row.map((one) => h("td", {}, String(one))))));
    }
  });
  return details;
}

/**
 * Lines with their intervals, of which one is highlighted and the others are faint.
 *
 * `series`: {name, note, dotted, points: [{x, y, low, high, n}]}; `low`, `high` and `n` may be missing. `highlight` is a
 * name, null for none. `x` and `y`: {label, kind: "share" | "number" | "time", range}. `diagonal` is the label of the
 * line y = x, dotted. `marks`: [{x, text}], vertical lines. Counts are bars below the highlighted line.
 */
export function linePlot({ label, x, y, series, highlight = null, diagonal = null, marks = [], height = 340 }) {
  const lines = series.map((one, i) => ({ ...one, colour: `c${(i % COLOURS) + 1}`, shown: true }));
  let chosen = lines.some((one) => one.name === highlight) ? highlight : null;
  const ends = (axis, kind) => axis.range ?? extent(lines.flatMap((one) => one.points.flatMap(kind)));
  x = { kind: "number", ...x, range: ends(x, (p) => [p.x]) };
  y = { kind: "number", ...y, range: ends(y, (p) => [p.y, p.low, p.high]) };
  const legend = h("ul", { class: "legend", "aria-label": "Lines" });
  const rows = () => lines.flatMap((one) => one.points.map((p) => [
    one.name, FORMATS[x.kind].full(p.x), FORMATS[y.kind].full(p.y), interval(p, y.kind), p.n ?? "",
  ]));
  const made = figure(
    label, (width) => drawn({ label, x, y, lines, chosen, diagonal, marks, height, width }), legend,
    figures(["line", x.label, y.label, "95 % interval", "n"], rows),
  );
  for (const one of lines) {
    const box = h("input", { type: "checkbox", checked: true, "aria-label": `show ${one.name}` });
    const button = h(
      "button", { type: "button", "aria-pressed": String(one.name === chosen), title: "highlight" },
      h("span", { class: `key ${one.colour}${one.dotted ? " dotted" : ""}`, "aria-hidden": "true" }),
      h("bdi", { class: "name" }, one.name), one.note ? h("span", { class: "note" }, ` ${one.note}`) : null,
    );
    box.addEventListener("change", () => {
      one.shown = box.checked;
      made.redraw();
    });
    button.addEventListener("click", () => {
      chosen = chosen === one.name ? null : one.name;
      for (const other of legend.querySelectorAll("button")) {
        other.setAttribute("aria-pressed", String(other === button && chosen !== null));
      }
      made.redraw();
    });
    legend.append(h("li", {}, box, button));
  }
  return made;
}

function extent(values) {
  const known = values.filter((one) => Number.isFinite(one));
  if (!known.length) return [0, 1];
  const low = Math.min(...known), high = Math.max(...known);
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

const interval = (p, kind) =>
  p.low === undefined ? "" : `${FORMATS[kind].full(p.low)} to ${FORMATS[kind].full(p.high)}`;

/** The picture of lines. */
function drawn({ label, x, y, lines, chosen, diagonal, marks, height, width }) {
  const picture = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label ?? y.label });
  const yTicks = ticks(...y.range, height / 60, y.kind);
  const widest = Math.max(...yTicks.map((one) => FORMATS[y.kind].tick(one, y.range[1] - y.range[0]).length));
  const box = { left: 30 + LETTER * widest, right: width - (x.kind === "time" ? 40 : 26), top: 10, bottom: height - 46 };
  const atX = scale(x.range, box.left, box.right), atY = scale(y.range, box.bottom, box.top);
  picture.append(axes(x, y, yTicks, box, atX, atY));
  for (const one of marks) {
    picture.append(s("line", { class: "mark", x1: atX(one.x), x2: atX(one.x), y1: box.top, y2: box.bottom },
      s("title", {}, one.text)));
  }
  if (diagonal) {
    const from = Math.max(x.range[0], y.range[0]), to = Math.min(x.range[1], y.range[1]);
    picture.append(s("line", { class: "perfect", x1: atX(from), y1: atY(from), x2: atX(to), y2: atY(to) },
      s("title", {}, diagonal)));
  }
  const shown = lines.filter((one) => one.shown && one.points.length);
  const first = shown.find((one) => one.name === chosen);
  if (first) picture.append(...counts(first, box, atX), band(first, atX, atY));
  for (const one of shown.filter((each) => each !== first)) picture.append(line(one, first ? "faint" : "", x, y, atX, atY));
  if (first) picture.append(line(first, "highlighted", x, y, atX, atY));
  if (!shown.length) {
    picture.append(s("text", { class: "nothing", x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2,
      "text-anchor": "middle" }, lines.some((one) => one.points.length) ? "all lines are hidden" : "no figures yet"));
  }
  return picture;
}

const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function axes(x, y, yTicks, box, atX, atY) {
  const group = s("g", { class: "axes" }), span = x.range[1] - x.range[0];
  const room = x.kind === "time" ? (span > 2 * 86400 ? 70 : 100) : 56;
  for (const one of ticks(...x.range, (box.right - box.left) / room, x.kind)) {
    group.append(
      s("line", { class: "grid", x1: atX(one), x2: atX(one), y1: box.top, y2: box.bottom }),
      s("text", { x: atX(one), y: box.bottom + 16, "text-anchor": "middle" }, FORMATS[x.kind].tick(one, span)),
    );
  }
  for (const one of yTicks) {
    group.append(
      s("line", { class: "grid", x1: box.left, x2: box.right, y1: atY(one), y2: atY(one) }),
      s("text", { x: box.left - 6, y: atY(one) + 4, "text-anchor": "end" }, FORMATS[y.kind].tick(one, y.range[1] - y.range[0])),
    );
  }
  const middle = (box.top + box.bottom) / 2;
  group.append(
    s("path", { class: "frame", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }),
    s("text", { class: "label", x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle" }, x.label),
    s("text", { class: "label", x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, y.label),
  );
  return group;
}

function line(one, how, x, y, atX, atY) {
  const group = s("g", { class: `line ${one.colour} ${how}${one.dotted ? " dotted" : ""}` });
  group.append(s("path", { d: one.points.map((p, i) => `${i ? "L" : "M"}${atX(p.x)} ${atY(p.y)}`).join("") }));
  if (one.points.length <= DOTS) {
    for (const p of one.points) {
      const n = p.n === undefined ? "" : `, n = ${p.n}`, between = interval(p, y.kind);
      const text = `${one.name}: ${x.label} ${FORMATS[x.kind].full(p.x)}, ${y.label} ${FORMATS[y.kind].full(p.y)}`;
      group.append(s("circle", { cx: atX(p.x), cy: atY(p.y), r: how === "highlighted" ? 3.5 : 2.5 },
        s("title", {}, `${text}${between ? ` [${between}]` : ""}${n}`)));
    }
  }
  return group;
}

function band(one, atX, atY) {
  const known = one.points.filter((p) => p.low !== undefined);
  const above = known.map((p) => `${atX(p.x)} ${atY(p.high)}`), below = known.map((p) => `${atX(p.x)} ${atY(p.low)}`);
  if (known.length === 1) {
    return s("path", { class: `band single ${one.colour}`, d: `M${above[0]}L${below[0]}` });
  }
  return s("path", { class: `band ${one.colour}`, d: known.length ? `M${above.join("L")}L${below.reverse().join("L")}Z` : "" });
}

function counts(one, box, atX) {
  const most = Math.max(...one.points.map((p) => p.n ?? 0));
  if (!most) return [];
  const tall = 0.16 * (box.bottom - box.top), wide = Math.max(2, Math.min(10, (box.right - box.left) / 40));
  return one.points.filter((p) => p.n).map((p) => {
    const high = Math.max(1, (p.n / most) * tall);
    return s("rect", { class: "count", x: Math.max(box.left, atX(p.x) - wide / 2), width: wide, y: box.bottom - high, height: high },
      s("title", {}, `n = ${p.n}`));
  });
}

// --------------------------------------------------------------------------------------------------- kinds of plots

/**
 * Reliability curves. `curves`: [{name, curve, note, dotted}], a curve as the service and the reports have it:
 * {figures: {n, ece, ece_band}, bins: [{probability, share, low, high, n}]}.
 */
export function calibrationPlot({ label, curves, highlight = null, x = "claimed probability", y = "share that came true" }) {
  return linePlot({
    label,
    x: { label: x, kind: "share", range: [0, 1] },
    y: { label: y, kind: "share", range: [0, 1] },
    series: curves.map(({ name, curve, note, dotted }) => ({
      name, dotted, note: [note, calibrationText(curve)].filter(Boolean).join(", "),
      points: curve.bins.map((bin) => ({ x: bin.probability, y: bin.share, low: bin.low, high: bin.high, n: bin.n })),
    })),
    highlight,
    diagonal: "perfect calibration",
    height: 420,
  });
}

/** A calibration in words: n, the ECE, and whether that is in its band. */
export function calibrationText({ figures: { n, ece, ece_band: [, high] } }) {
  return n ? `n = ${n}, ECE ${percent(ece)}, ${ece <= high ? "in" : "above"} its band (up to ${percent(high)})` : "n = 0";
}

/** Estimates with their intervals, one a row: [{name, mean, low, high, n}], in shares; `lower` says that less is better. */
export function intervalPlot({ label, x, rows, lower = true }) {
  const ends = rows.flatMap((one) => [one.low, one.high]);
  const range = ends.some((one) => one) ? extent([0, ...ends]) : [-0.01, 0.01];
  const step = 26, texts = rows.map((one) => `${signed(one.mean)} [${signed(one.low)}, ${signed(one.high)}]`);
  const draw = (width) => {
    const height = 58 + step * rows.length, names = Math.min(0.34 * width, 12 + LETTER * longest(rows.map((one) => one.name)));
    const box = { left: names, right: width - 20, top: 6, bottom: height - 46 };
    const atX = scale(range, box.left + 8, box.right - 8);
    const picture = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label ?? x });
    const group = s("g", { class: "axes" });
    for (const one of ticks(...range, (box.right - box.left) / 90, "number")) {
      group.append(s("line", { class: "grid", x1: atX(one), x2: atX(one), y1: box.top, y2: box.bottom }),
        s("text", { x: atX(one), y: box.bottom + 16, "text-anchor": "middle" }, rounded(100 * one, 2).replace(/\.?0+$/, "")));
    }
    group.append(s("line", { class: "perfect", x1: atX(0), x2: atX(0), y1: box.top, y2: box.bottom }),
      s("text", { class: "label", x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle" }, x));
    picture.append(group);
    rows.forEach((one, i) => {
      const at = box.top + step * (i + 0.5), worse = lower ? one.low > 0 : one.high < 0, better = lower ? one.high < 0 : one.low > 0;
      picture.append(
        s("text", { class: "row-name", x: box.left - 6, y: at + 4, "text-anchor": "end" }, isolated(shortened(one.name, names - 10)), s("title", {}, one.name)),
        s("g", { class: `interval ${worse ? "worse" : better ? "better" : ""}` },
          s("line", { x1: atX(one.low), x2: atX(one.high), y1: at, y2: at }),
          worse || better ? s("rect", { x: atX(one.mean) - 4, y: at - 4, width: 8, height: 8 }) : s("circle", { cx: atX(one.mean), cy: at, r: 4 }),
          s("title", {}, `${one.name}: ${texts[i]}${one.n === undefined ? "" : `, n = ${one.n}`}`)),
      );
    });
    return picture;
  };
  return figure(label, draw, figures(["", x, "n"], () => rows.map((one, i) => [one.name, texts[i], one.n ?? ""])));
}

const signed = (share) => `${share > 0 ? "+" : ""}${rounded(100 * share, 2)}`;
const longest = (texts) => Math.max(0, ...texts.map((one) => [...one].length));

/** A text whose direction, left or right, changes nothing around it. */
const isolated = (text) => `\u2068${text}\u2069`;

/** A text cut to about so many pixels; the whole stands in a title beside it. */
function shortened(text, pixels) {
  const letters = [...text], most = Math.max(3, Math.floor(pixels / LETTER));
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

const KINDS = [["right_to_wrong", "right to wrong", "worse"], ["wrong_to_right", "wrong to right", "better"],
  ["other", "other", "other"], ["no_truth", "no truth", "unknown"]];

/** Flips between domains as a flow: [{before, after, n, right_to_wrong, wrong_to_right, other, no_truth}], null being none. */
export function flowPicture({ label, flips }) {
  const named = (one) => one ?? "out of scope";
  const total = flips.reduce((sum, one) => sum + one.n, 0);
  const side = (key) => {
    const sums = new Map();
    for (const one of flips) sums.set(named(one[key]), (sums.get(named(one[key])) ?? 0) + one.n);
    return [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  };
  const draw = (width) => {
    const left = side("before"), right = side("after"), gap = 18, most = Math.max(left.length, right.length);
    const height = Math.max(120, Math.min(520, 60 + 44 * most)), names = Math.min(0.34 * width, 170);
    const unit = (height - 40 - gap * (most - 1)) / total;
    const picture = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label ?? "flips" });
    const from = names, to = width - names, places = { before: new Map(), after: new Map() };
    for (const [key, column, at, anchor, edge] of [["before", left, from - 10, "end", from - 6], ["after", right, to + 10, "start", to]]) {
      let top = 30;
      picture.append(s("text", { class: "label", x: at, y: 14, "text-anchor": anchor }, key));
      for (const [name, n] of column) {
        places[key].set(name, top);
        picture.append(
          s("rect", { class: "node", x: edge, y: top, width: 6, height: Math.max(1.5, n * unit) }),
          s("text", { class: "row-name", x: at, y: top + (n * unit) / 2 + 4, "text-anchor": anchor },
            `${isolated(shortened(name, names - 50))} ${n}`, s("title", {}, `${name}: ${n}`)));
        top += n * unit + gap;
      }
    }
    for (const one of flips) {
      for (const [key, words, how] of KINDS) {
        const n = one[key], tall = n * unit;
        if (!n) continue;
        const a = places.before.get(named(one.before)), b = places.after.get(named(one.after)), mid = (from + to) / 2;
        places.before.set(named(one.before), a + tall);
        places.after.set(named(one.after), b + tall);
        picture.append(s("path", { class: `flow ${how}`,
          d: `M${from} ${a}C${mid} ${a} ${mid} ${b} ${to} ${b}V${b + tall}C${mid} ${b + tall} ${mid} ${a + tall} ${from} ${a + tall}Z` },
          s("title", {}, `${named(one.before)} → ${named(one.after)}: ${n}, ${words}`)));
      }
    }
    return picture;
  };
  const key = h("ul", { class: "legend", "aria-label": "Colours" }, KINDS.filter(([name]) => flips.some((one) => one[name]))
    .map(([name, words, how]) => h("li", {}, h("span", { class: `key flow ${how}`, "aria-hidden": "true" }),
      `${words}: ${flips.reduce((sum, one) => sum + one[name], 0)}`)));
  return figure(label, draw, key, figures(["from", "to", "requests", ...KINDS.map(([, words]) => words)],
    () => flips.map((one) => [named(one.before), named(one.after), one.n, ...KINDS.map(([name]) => one[name])])));
}

// ---------------------------------------------------------------------------------------------- plots of a report

const PLOTS = { calibration: calibrationPlot, lines: linePlot, intervals: intervalPlot, flow: flowPicture };

for (const place of document.querySelectorAll("[data-plot]")) {
  place.replaceChildren(PLOTS[place.dataset.plot](JSON.parse(place.querySelector("script").textContent)));
}
