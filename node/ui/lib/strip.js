// The last blocks in a row, the newest first, each as wide as the other and as full as its block.

import { h } from "./dom.js";
import * as format from "./format.js";
import { ago, say } from "./parts.js";

const SHOWN = 14;
const SPOKEN_MS = 15_000; // how often a listener hears of blocks, however many there are

/** Gives {node, add(blocks)}; `blocks` are summaries in ascending order. */
export function strip() {
  const list = h("ol", { class: "strip", "aria-label": "The last blocks, newest first" });
  let held = []; // {block, node}: a tile stays the same element, and so keeps the focus
  let spokenAt = Date.now();
  return {
    node: list,
    add(blocks) {
      const isFirst = held.length === 0;
      const fresh = blocks.slice(-SHOWN).reverse().map((block) => ({ block, node: tile(block, !isFirst) }));
      const anchor = held[0]?.node;
      const before = anchor?.offsetLeft;
      list.prepend(...fresh.map(({ node }) => node));
      held = fresh.concat(held);
      for (const { node } of held.splice(SHOWN)) node.remove();
      if (list.scrollLeft > 0 && anchor?.isConnected) list.scrollLeft += anchor.offsetLeft - before; // nothing moves under the reader
      const most = Math.max(1, ...held.map(({ block }) => block.transactions));
      for (const { block, node } of held) node.firstChild.style.setProperty("--fill", `${(block.transactions / most) * 100}%`);
      if (!isFirst && Date.now() - spokenAt > SPOKEN_MS) {
        spokenAt = Date.now();
        say(`Block ${held[0].block.height}, ${format.plural(held[0].block.transactions, "transaction")}`);
      }
    },
  };
}

function tile({ height, transactions, proposer, time_ms: time }, isFresh) {
  return h("li", { class: isFresh ? "fresh" : null },
    h("a", { href: `/ui/block/${height}` },
      h("span", { class: "strip-height" }, format.count(height)),
      h("span", { class: "strip-load" }, transactions ? format.plural(transactions, "transaction") : "empty"),
      h("span", { class: "strip-from" }, proposer || "genesis"),
      h("span", { class: "strip-age" }, ago(time))));
}
