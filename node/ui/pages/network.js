// Who is this node linked with, and what is it?

import { get } from "../lib/api.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import { params } from "../lib/names.js";
import { empty, facts, head, name, pill, raw, section, table } from "../lib/parts.js";

const ASK_MS = 3_000;

export default async function network(context) {
  const { signal } = context;
  const ask = () => Promise.all([get("peers", { signal }), get("status", { signal })]);
  const [[peers, status], constants] = await Promise.all([ask(), params(signal)]);
  const lede = h("p", { class: "lede" });
  const links = h("div");
  const draw = ([{ items }, { sync, consensus, node }]) => {
    renew(lede, ledeOf(items, consensus, node));
    renew(links, linksTable(items, sync.height));
  };
  draw([peers, status]);
  context.render("Nodes",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Nodes"), lede),
    section("Links of this node", "Each is encrypted, and both ends show the licence that lets them in.", links),
    section("This node", null, facts([
      ["Name", status.node.name],
      ["Role", status.node.role, status.node.role === "validator" ? "It holds a licence to vote." : "It follows, checks every block itself, and does not vote."],
      ["Version", `marsa ${status.node.version}`],
      status.node.key && ["Consensus key", status.node.key],
      ["Warnings", status.warnings.length ? h("ul", null, status.warnings.map((text) => h("li", null, text))) : "none"],
    ])),
    section("This chain", "Constants from its genesis file. Two nodes with another chain id do not talk to each other.", facts([
      ["Network", status.network.name],
      ["Chain id", name(status.network.chain_id, "chain id", null, { full: true })],
      ["Protocol", status.network.protocol],
      ["Addresses begin with", h("span", { class: "mono" }, `${constants.address_prefix}1`)],
      ["A block at least each", format.duration(constants.heartbeat_ms), "also when nothing waits"],
      ["A leader has", format.duration(constants.view_timeout_ms), `to bring a block before another takes over; doubled each time, up to ${format.duration(constants.view_timeout_ms_max)}`],
      ["Transactions in a block", `${format.count(constants.block_transactions_max)} at most`, `${format.bytes(constants.block_bytes_max)} at most`],
    ])),
    raw({ status, peers, params: constants }));
  every(ASK_MS, async () => draw(await ask()), signal);
}

function ledeOf(items, consensus, node) {
  const linked = items.filter((item) => item.connected).length;
  const others = consensus.validators - (consensus.has_seat ? 1 : 0);
  const voting = items.filter((item) => item.connected && item.role === "validator").length;
  if (!linked) return `${format.capital(node.name || "this node")} is alone: no other node is linked with it.`;
  if (voting === others) return `${format.capital(node.name || "this node")} is linked with every other validator.`;
  return `${format.capital(node.name || "this node")} is linked with ${format.word(voting)} of ${format.word(others)} other validators.`;
}

function linksTable(items, height) {
  return table("Links of this node", [
    { name: "Node", cell: (item) => h("strong", null, item.name) },
    { name: "Role", minor: true, cell: (item) => item.role },
    { name: "Link", cell: (item) => (item.connected ? pill("linked", "good") : pill("no link", "bad")) },
    { name: "For", number: true, cell: (item) => (item.linked_ms === null ? "–" : format.duration(item.linked_ms)) },
    { name: "Height", number: true, cell: (item) => format.count(item.height) },
    { name: "Behind", number: true, cell: (item) => format.count(Math.max(0, height - item.height)) },
    { name: "Address", cell: (item) => h("span", { class: "mono" }, item.address || "–") },
    { name: "Queued", number: true, minor: true, cell: (item) => format.bytes(item.queued_bytes) },
    { name: "Bad messages", number: true, minor: true, cell: (item) => format.count(item.points) },
  ], items, empty("No peers", "This node knows of no other. Blocks need a quorum of validators: start the others, or name them in its configuration under p2p.peers."));
}
