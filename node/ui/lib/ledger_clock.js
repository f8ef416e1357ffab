// Deadlines are moments of the ledger clock. It goes with the blocks: by what passed between two of
// them, but by half a minute at most, so that nothing falls due while the chain stands still.

import { get } from "./api.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import * as live from "./live.js";

const STEP_MS_MAX = 30_000;

let known = null;

/** Know the clock, and keep every `until` on the page ticking while it is open. */
export async function start(signal) {
  if (!live.state.status) known = (await get("status", { signal })).sync;
  const timer = setInterval(tick, 1_000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** What the clock would show in a block that came now, in milliseconds; call `start` first. */
export function now() {
  const { ledger_time_ms: shown, header_time_ms: at } = sync();
  return shown + Math.min(STEP_MS_MAX, Math.max(0, Date.now() - at));
}

/** When a moment of the ledger clock was or will be for the reader, if blocks go on. */
export function wall(ledgerMs) {
  const { ledger_time_ms: shown, header_time_ms: at } = sync();
  return ledgerMs + at - shown;
}

/** How long it is until a moment of the clock, ticking: "in 4 min 11 s", then "now". */
export function until(ledgerMs) {
  return h("time", { class: "until", "data-until": ledgerMs, datetime: new Date(ledgerMs).toISOString(),
    title: `${format.utc(ledgerMs)} on the ledger clock` }, left(ledgerMs - now()));
}

/** A length of time from now on in its two largest units: "in 1 d 4 h", "now". */
export function left(ms) {
  if (ms <= 0) return "now";
  const seconds = Math.ceil(ms / 1_000);
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  const parts = units.slice(first, first + 2).map(([size, name], at) => {
    const count = at ? Math.floor((seconds % units[first][0]) / size) : Math.floor(seconds / size);
    return count || !at ? `${format.count(count)} ${name}` : "";
  });
  return `in ${parts.filter(Boolean).join(" ")}`;
}

function sync() {
  return live.state.status?.sync ?? known;
}

function tick() {
  if (document.hidden) return;
  const clock = now();
  for (const item of document.querySelectorAll("[data-until]")) {
    const text = left(Number(item.dataset.until) - clock);
    if (item.textContent !== text) item.textContent = text;
  }
}
