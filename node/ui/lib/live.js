// What happens now: blocks as they become final, and how the node stands.
//
// Blocks come over an event stream, and by asking where there is no stream. A hidden tab gives its
// stream back, because a browser opens six connections to an address in all tabs together, and
// asks seldom instead. Other events come by the stream alone, and only those that a page asked for:
// a full chain has thousands of transactions a second.

import { get } from "./api.js";

const POLL_MS = 2_000;
const HIDDEN_MS = 20_000;
const STREAM_AGAIN_MS = 60_000;
const PAGE = 20;
const PAGE_MAX = 200;
const TOPICS = { transaction: "transactions", order: "orders", object: "objects" };

const listeners = Object.fromEntries(["block", "status", "gap", ...Object.keys(TOPICS)].map((kind) => [kind, new Set()]));

/** The last answers, null before the first; `lostMs` is since when the node has not answered. */
export const state = { status: null, statusAt: 0, tip: null, lostMs: null, way: "asking" };

let stream = null;
let told = new Set(); // kinds that the stream was opened for
let streamAfter = 0;
let timer = 0;
let isRunning = false;

/**
 * Call `listener(value)` for each `kind` until `signal` aborts. Kinds: `block` (an item of
 * GET /v1/blocks, in ascending order), `status` (the state below), `transaction`, `order` and
 * `object` as the stream tells them, and `gap`: what happened in between was not told.
 */
export function on(kind, listener, signal) {
  listeners[kind].add(listener);
  if (stream && TOPICS[kind] && !told.has(kind)) {
    closeStream();
    streamAfter = 0; // the next turn opens one that tells this too
  }
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
  const found = await get("status", { deadlineMs: 5_000 });
  if (state.status && found.network.chain_id !== state.status.network.chain_id) {
    location.reload(); // another chain at this address: nothing that was read is true of it
  }
  state.status = found;
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
  told = new Set(Object.keys(TOPICS).filter((kind) => listeners[kind].size));
  stream = new EventSource(`/v1/events?topics=${["blocks", ...[...told].map((kind) => TOPICS[kind])].join()}`);
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
  for (const kind of ["gap", ...told]) {
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
