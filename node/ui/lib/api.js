// Asking the node. Every question has a deadline; what may be asked again is asked again, and what
// the node refuses becomes a Problem with its code, its sentence and its hint.

const DEADLINE_MS = 10_000;
const TRIES = 3;
const PAUSE_MS = 400;
const KEPT_MAX = 300; // answers about final things, the oldest go first

const kept = new Map();

/** What the node said instead of an answer, or that it said nothing. */
export class Problem extends Error {
  constructor({ status, code, detail, hint }) {
    super(detail);
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.hint = hint;
  }
}

/** The JSON of GET /v1/`path`; rejects with Problem, or with the reason of `signal`. */
export async function get(path, { signal, deadlineMs = DEADLINE_MS } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask(path, signal, deadlineMs);
    } catch (problem) {
      signal?.throwIfAborted();
      if (!(problem instanceof Problem) || !mayPass(problem) || attempt === TRIES) throw problem;
      await pause(PAUSE_MS * attempt, signal);
    }
  }
}

/** The same for answers that never change: they are asked for once. */
export async function getFinal(path, options) {
  if (!kept.has(path)) {
    const answer = await get(path, options);
    if (kept.size >= KEPT_MAX) kept.delete(kept.keys().next().value);
    kept.set(path, answer);
  }
  return kept.get(path);
}

/** `path` with its query; parameters that are null or undefined are left out. */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Run `work` over `items`, so many at once, and give the results in order. */
export async function inParallel(items, atOnce, work) {
  const results = new Array(items.length);
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at], at);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  return results;
}

async function ask(path, signal, deadlineMs) {
  const deadline = AbortSignal.timeout(deadlineMs);
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
  let response;
  try {
    response = await fetch(`/v1/${path}`, { signal: either, headers: { Accept: "application/json" } });
    if (response.ok) return await response.json();
  } catch (fault) {
    signal?.throwIfAborted();
    throw silence(deadline.aborted, fault);
  }
  throw await problemOf(response);
}

function silence(isLate, fault) {
  const detail = isLate
    ? `this node did not answer within ${DEADLINE_MS / 1_000} s`
    : "this node does not answer";
  const hint = "see whether it runs: marsa devnet status, or the node's log";
  return new Problem({ status: 0, code: isLate ? "deadline" : "unreachable", detail, hint, fault });
}

async function problemOf(response) {
  try {
    const { code, detail, hint } = await response.json();
    return new Problem({ status: response.status, code, detail, hint });
  } catch {
    const detail = `the answer was HTTP ${response.status} without a reason`;
    return new Problem({ status: response.status, code: "http", detail, hint: "" });
  }
}

function mayPass(problem) {
  return problem.status === 0 || problem.status === 429 || problem.status === 503;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
