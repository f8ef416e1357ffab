// The last blocks in a row, the newest first, each as wide as the other and as full as its block.

import { h, put } from "./dom.js";
import * as format from "./format.js";
import { ago, say } from "./parts.js";

const SHOWN = 14;
const SPOKEN_MS = 15_000; // how often a listener hears of blocks, however many there are

/** Gives {node, add(blocks)}; `blocks` are summaries in ascending order. */
export function strip() {
  const list = h("ol", { class: "strip", "aria-label": "The last blocks, newest first" });
  let held = [];
  let spokenAt = Date.now();
  return {
    node: list,
    add(blocks) {
      const isFirst = held.length === 0;
      held = [...blocks].reverse().concat(held).slice(0, SHOWN);
      const most = Math.max(1, ...held.map((block) => block.transactions));
      put(list, held.map((block, at) => tile(block, most, !isFirst && at < blocks.length)));
      if (!isFirst && Date.now() - spokenAt > SPOKEN_MS) {
        spokenAt = Date.now();
        say(`Block ${held[0].height}, ${format.plural(held[0].transactions, "transaction")}`);
      }
    },
  };
}

function tile(block, most, isFresh) {
  const { height, transactions } = block;
  return h("li", { class: isFresh ? "fresh" : null },
    h("a", { href: `/ui/block/${height}`, style: { "--fill": `${(transactions / most) * 100}%` } },
      h("span", { class: "strip-height" }, format.count(height)),
      h("span", { class: "strip-load" }, transactions ? format.plural(transactions, "transaction") : "empty"),
      h("span", { class: "strip-from" }, block.proposer || "genesis"),
      h("span", { class: "strip-age" }, ago(block.time_ms))));
}
