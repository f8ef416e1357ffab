// How fast the chain is, from the blocks of the last two minutes: payments a second and finality.

export const WINDOW_MS = 120_000;
const BUCKET_MS = 2_000;
const BLOCKS_MAX = 6_000; // twice what a chain at its shortest interval under load makes in the window

/** Gives {add(blocks), figures(now)}; `blocks` are summaries in ascending order. */
export function pace() {
  let held = [];
  return {
    add(blocks) {
      held = held.concat(blocks).slice(-BLOCKS_MAX);
    },
    figures(now) {
      held = held.filter((block) => block.time_ms > now - WINDOW_MS);
      const timed = held.filter((block) => block.final_after_ms !== null && block.final_after_ms !== undefined);
      return { rate: rates(held, now), latency: timed, ...summary(held, timed, now) };
    },
  };
}

// Over the whole window, or what of it is known: a chart that begins in the middle has no zeros
// before its first block.
function rates(blocks, now) {
  if (!blocks.length) return [[], []];
  const end = Math.floor(now / BUCKET_MS) * BUCKET_MS;
  const first = Math.floor(blocks[0].time_ms / BUCKET_MS) * BUCKET_MS;
  const times = [];
  const values = [];
  for (let at = end - WINDOW_MS; at < end; at += BUCKET_MS) {
    times.push(at / 1_000);
    values.push(at < first ? null : 0);
  }
  for (const block of blocks) {
    const at = Math.floor((block.time_ms - (end - WINDOW_MS)) / BUCKET_MS);
    if (at >= 0 && at < values.length) values[at] += block.transactions / (BUCKET_MS / 1_000);
  }
  return [times, values];
}

function summary(blocks, timed, now) {
  const minute = blocks.filter((block) => block.time_ms > now - 60_000);
  const sent = minute.reduce((total, block) => total + block.transactions, 0);
  const sorted = timed.map((block) => block.final_after_ms).sort((a, b) => a - b);
  const at = (share) => (sorted.length ? sorted[Math.floor((sorted.length - 1) * share)] : null);
  return { sent, blocks: minute.length, median: at(0.5), slow: at(0.99) };
}
