// What was decided of late, the newest first.

import { get, withQuery } from "../lib/api.js";
import { h, renew } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as live from "../lib/live.js";
import { ago, blockLink, empty, head, name, pager, table } from "../lib/parts.js";
import { again } from "../lib/router.js";

const PAGE = 30;

export default async function blocks(context) {
  const { signal } = context;
  const read = (cursor) => get(withQuery("blocks", { limit: PAGE, cursor }), { signal });
  const first = await read(null);
  const top = first.items[0]?.height ?? -1;
  const news = h("p", { class: "note news" }, "The newest first.");
  live.on("block", (block) => {
    if (block.height <= top) return;
    renew(news, h("button", { type: "button", "data-key": "again", onclick: again }, `Show ${format.plural(block.height - top, "newer block")}`));
  }, signal);
  context.render("Blocks",
    head("Blocks", `${format.plural(top + 1, "block")} so far, and nothing in them can change.`, news),
    h("div", { class: "list" }, pager(read, draw, first)));
}

function draw(items) {
  return table("Blocks, the newest first", [
    { name: "Height", cell: (block) => blockLink(block.height) },
    { name: "When", cell: (block) => ago(block.time_ms) },
    { name: "Transactions", number: true, cell: (block) => format.count(block.transactions) },
    { name: "Final after", number: true, cell: (block) => (block.final_after_ms === null ? h("span", { class: "soft" }, "not timed") : format.duration(block.final_after_ms)) },
    { name: "Proposed by", minor: true, cell: (block) => block.proposer || h("span", { class: "soft" }, "genesis") },
    { name: "Hash", minor: true, cell: (block) => name(block.hash, "block hash", `/ui/block/${block.hash}`) },
  ], items, empty("No blocks", "This node has none that it lists: it began with a snapshot a moment ago."));
}
