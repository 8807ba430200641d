// Calls of the service. The token is kept in this module's memory alone, and is gone with the page.

let token = null;
let known = null; // the service, once it was asked

/** An error that the service replied, or that it cannot be reached. */
export class ApiError extends Error {
  constructor(status, message, reasons = [], retryAfter = null) {
    super(message);
    Object.assign(this, { status, reasons, retryAfter });
  }

  /** True where a token, or another one, may help. */
  get needsToken() {
    return this.status === 401 || (this.status === 403 && hasToken());
  }
}

/** Use a token from now on; null forgets it. */
export function setToken(text) {
  token = text || null;
  known = null;
}

/** True where a token is used. */
export function hasToken() {
  return token !== null;
}

/** The reply to a call that reads; `query` holds its parameters, those that are null left out. */
export function get(path, { signal, query = {} } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return call("GET", text ? `${path}?${text}` : path, undefined, signal);
}

/** The reply to a call with a body. */
export function post(path, body, { signal } = {}) {
  return call("POST", path, body, signal);
}

async function call(method, path, body, signal) {
  const headers = {};
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let reply;
  try {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    reply = await fetch(path, { method, headers, body: sent, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service cannot be reached.");
  }
  const text = await reply.text();
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    found = { error: `${reply.status}: a reply that is no JSON` };
  }
  if (reply.ok || (found.error === undefined && path === "/readyz")) return found;
  const wait = Number(reply.headers.get("retry-after")) || null;
  throw new ApiError(reply.status, found.error ?? `status ${reply.status}`, found.reasons, wait);
}

/** The service itself: release, log, scopes, context keys; asked once, and again with another token. */
export function service(signal) {
  known ??= get("/v1/service", { signal }).catch((error) => {
    known = null;
    throw error;
  });
  return known;
}

/** Run a task now and every so many seconds while the page is seen, never twice at once; after an error less often. */
export function every(seconds, task, signal) {
  let timer = null;
  let running = false;
  let failures = 0;
  async function run() {
    clearTimeout(timer);
    if (signal.aborted || running || document.hidden) return;
    running = true;
    try {
      await task();
      failures = 0;
    } catch (error) {
      if (error.name !== "AbortError") failures += 1;
    }
    running = false;
    if (!signal.aborted) timer = setTimeout(run, 1000 * seconds * Math.min(2 ** failures, 30));
  }
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  return run();
}
