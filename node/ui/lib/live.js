// What happens now: blocks as they become final, and how the node stands.
//
// Blocks come over an event stream, and by asking where there is no stream. A hidden tab gives its
// stream back, because a browser opens six connections to an address in all tabs together, and
// asks seldom instead.

import { get } from "./api.js";

const POLL_MS = 2_000;
const HIDDEN_MS = 20_000;
const STREAM_AGAIN_MS = 60_000;
const PAGE = 20;
const PAGE_MAX = 200;
const TOPICS = "blocks,transactions,orders,objects";

const listeners = { block: new Set(), status: new Set(), transaction: new Set(), order: new Set(), object: new Set(), gap: new Set() };

/** The last answers, null before the first; `lostMs` is since when the node has not answered. */
export const state = { status: null, statusAt: 0, tip: null, lostMs: null, way: "asking" };

let stream = null;
let streamAfter = 0;
let timer = 0;
let isRunning = false;

/** Call `listener(value)` for each `kind` until `signal` aborts; blocks come in ascending order. */
export function on(kind, listener, signal) {
  listeners[kind].add(listener);
  signal?.addEventListener("abort", () => listeners[kind].delete(listener), { once: true });
}

/** Begin; once. */
export function start() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) closeStream();
    turn();
  });
  turn();
}

async function turn() {
  if (isRunning) return;
  isRunning = true;
  clearTimeout(timer);
  try {
    await readStatus();
    if (!document.hidden && !stream && Date.now() >= streamAfter) openStream();
    if (state.way !== "stream") await readBlocks();
    state.lostMs = null;
  } catch {
    state.lostMs ??= Date.now(); // Status listeners say it; the next turn asks again.
  }
  emit("status", state);
  isRunning = false;
  timer = setTimeout(turn, document.hidden ? HIDDEN_MS : POLL_MS);
}

async function readStatus() {
  state.status = await get("status", { deadlineMs: 5_000 });
  state.statusAt = Date.now();
}

async function readBlocks() {
  const known = state.tip?.height ?? null;
  const missing = known === null ? PAGE : state.status.sync.height - known;
  if (missing === 0) return;
  const limit = Math.min(PAGE_MAX, Math.max(PAGE, missing));
  const { items } = await get(`blocks?limit=${limit}`);
  const fresh = items.filter((item) => known === null || item.height > known).reverse();
  if (known !== null && fresh.length && fresh[0].height > known + 1) {
    emit("gap", { from: known + 1, to: fresh[0].height - 1 });
  }
  fresh.forEach(takeBlock);
}

function takeBlock(block) {
  if (state.tip !== null && block.height <= state.tip.height) return; // a stream began again
  state.tip = block;
  emit("block", block);
}

function openStream() {
  streamAfter = Date.now() + STREAM_AGAIN_MS;
  stream = new EventSource(`/v1/events?topics=${TOPICS}`);
  stream.onopen = async () => {
    try {
      await readBlocks(); // what came between the last question and the stream
      state.way = "stream";
    } catch {
      closeStream();
    }
  };
  stream.onerror = () => {
    // The browser connects again by itself, with the last id, unless the answer was a refusal.
    state.way = "asking";
    if (stream?.readyState === EventSource.CLOSED) closeStream();
  };
  stream.addEventListener("block", (event) => takeBlock(JSON.parse(event.data)));
  for (const kind of ["transaction", "order", "object", "gap"]) {
    stream.addEventListener(kind, (event) => emit(kind, JSON.parse(event.data)));
  }
}

function closeStream() {
  stream?.close();
  stream = null;
  state.way = "asking";
}

function emit(kind, value) {
  for (const listener of [...listeners[kind]]) listener(value);
}
