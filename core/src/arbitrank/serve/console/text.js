// Figures and times as people read them.

/** A probability: one decimal, and never 0 or 100 where it is not that. */
export function percent(p) {
  if (p === null || p === undefined) return "–";
  if (p > 0 && p < 0.0005) return "< 0.1 %";
  if (p < 1 && p > 0.9995) return "> 99.9 %";
  return `${(100 * p).toFixed(1)} %`;
}

/** A number with its sign, a minus of the width of a plus. */
export function signed(x, digits = 2) {
  const text = Math.abs(x).toFixed(digits);
  return (Number(text) === 0 ? "±" : x < 0 ? "−" : "+") + text;
}

/** Milliseconds, with as many digits as matter. */
export function ms(x) {
  return `${x < 10 ? x.toFixed(2) : x.toFixed(0)} ms`;
}

/** A number and what it counts. */
export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** A time of day, with the date where that is not today; `seconds` since 1970. */
export function when(seconds) {
  if (seconds === null || seconds === undefined) return "at an unknown time";
  const at = new Date(1000 * seconds);
  if (Number.isNaN(at.getTime())) return "at an unknown time";
  const clock = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? clock : `${at.toISOString().slice(0, 10)} ${clock}`;
}

/** How long ago that was. */
export function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (past >= size) return `${Math.floor(past / size)} ${unit} ago`;
  }
  return past < 1 ? "now" : `${Math.floor(past)} s ago`;
}

/** Numbers rounded to so many decimals whose sum is that of the rounded sum: the largest remainders take the rest. */
export function addingUp(numbers, digits = 2) {
  const scale = 10 ** digits;
  const total = Math.round(scale * numbers.reduce((sum, x) => sum + x, 0));
  const found = numbers.map((x) => Math.floor(scale * x + 1e-9));
  const order = numbers.map((x, i) => [scale * x - found[i], i]).sort((a, b) => b[0] - a[0]);
  let rest = total - found.reduce((sum, x) => sum + x, 0);
  for (const [, i] of order) {
    if (rest <= 0) break;
    found[i] += 1;
    rest -= 1;
  }
  return [found.map((x) => x / scale), total / scale];
}

/** An object's own value under a key, which may be any text: `constructor` is no value of an object without it. */
export function own(object, key) {
  return object !== null && object !== undefined && Object.hasOwn(object, key) ? object[key] : undefined;
}
