// Where does agreement stand right now, and if it does not move, who is it waiting for?

import { get } from "../lib/api.js";
import { h, put, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import { facts, figures, pill, raw, section, table } from "../lib/parts.js";

const ASK_MS = 1_000;

export default async function consensus(context) {
  const { signal } = context;
  const read = () => Promise.all([get("consensus", { signal }), get("status", { signal })]);
  const lede = h("p", { class: "lede", "aria-live": "off" });
  const numbers = h("div");
  const lanes = h("div");
  const own = h("div");
  const rest = h("div");
  const draw = ([shown, status]) => {
    renew(lede, ledeOf(shown.replica, status.consensus));
    renew(numbers, figuresOf(shown, status.consensus));
    renew(lanes, lanesTable(shown.replica, shown.node));
    renew(own, ownPart(shown));
  };
  const first = await read();
  draw(first);
  put(rest, raw(first[0], "consensus"));
  context.render("Consensus",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Consensus, live"), lede),
    numbers,
    section("Each validator, as this node sees it", "For each block the leader proposes, the others prepare, then commit. With a quorum of commits, and no block below it that is not final, a block is final, and the lane is empty again: in quiet times nothing is under way.", lanes),
    section("This node", null, own),
    rest);
  every(ASK_MS, async () => draw(await read()), signal);
}

function ledeOf(replica, now) {
  if (now.connected < now.quorum) return `No block can be made: ${now.connected} validators are connected to this node, ${now.quorum} are needed. Missing: ${format.listed(now.missing)}.`;
  if (replica.is_changing) return `The leader is being changed: view ${replica.view}, with ${replica.primary} to lead, has not begun.`;
  const suspects = replica.members.filter((item) => item.suspects).map((item) => item.licence);
  if (suspects.length) return `${format.capital(replica.primary)} leads, and ${format.listed(suspects)} ${suspects.length === 1 ? "suspects" : "suspect"} it.`;
  const first = replica.height + 1;
  const last = Math.max(replica.height, ...replica.members.flatMap((item) => [...item.prepared, ...item.committed]));
  const leads = `${format.capital(replica.primary)} leads.`;
  if (last < first) return `${leads} Block ${format.count(replica.height)} is final, and nothing is under way.`;
  return last === first ? `${leads} Block ${format.count(first)} is under way.` : `${leads} Blocks ${format.count(first)} to ${format.count(last)} are under way.`;
}

function figuresOf({ replica, epoch }, now) {
  return figures([
    { name: "Last block", value: format.count(replica.height), note: now.last_commit_age_ms === null ? "none since this node started" : `${format.duration(now.last_commit_age_ms)} ago` },
    { name: "View", value: format.count(replica.view), note: replica.view ? `${format.plural(replica.view, "change")} of the leader in this epoch` : "the leader did not change in this epoch" },
    { name: "Connected", value: `${now.connected} of ${now.validators}`, note: `${now.quorum} are needed`, tone: now.connected < now.quorum ? "bad" : now.connected < now.validators ? "warn" : "good" },
    { name: "Patience", value: format.duration(replica.timeout_ms), note: replica.failed_views ? `after ${format.plural(replica.failed_views, "failed view")}` : "before the leader is suspected" },
    { name: "Epoch", value: format.count(epoch.number), note: `since block ${format.count(epoch.base_height + 1)}` },
  ]);
}

function lanesTable(replica, node) {
  return table("Votes of each validator", [
    { name: "Validator", cell: (item) => [h("strong", null, item.licence), item.licence === node.name && h("span", { class: "why" }, "this node")] },
    { name: "Part", cell: (item) => (item.licence === replica.primary ? pill("leads", "accent") : pill("follows", "plain")) },
    { name: "Link", cell: (item) => (item.linked ? pill("linked", "good") : pill("no link", "bad")) },
    { name: "Height", number: true, cell: (item) => (item.height === null ? h("span", { class: "soft" }, "unknown") : format.count(item.height)) },
    { name: "Votes under way", wide: true, cell: (item) => phases(item) },
    { name: "Says", cell: (item) => says(item) },
  ], replica.members);
}

function phases(item) {
  const step = (name, heights) => h("span", { class: heights.length ? "phase on" : "phase" }, name, heights.length ? ` ${heights.map(format.count).join(", ")}` : "");
  return h("span", { class: "phases" }, step("prepare", item.prepared), step("commit", item.committed), item.other.length > 0 && step("other block", item.other));
}

function says(item) {
  if (!item.linked) return h("span", { class: "soft" }, "nothing: it is away");
  if (item.view_change !== null) return `asks for view ${item.view_change}`;
  if (item.suspects) return "suspects the leader";
  return item.heard ? h("span", { class: "soft" }, "all is well") : h("span", { class: "soft" }, "not heard yet");
}

function ownPart({ replica }) {
  const { guard } = replica;
  return facts([
    ["Votes", guard === null ? "It has no seat: it follows and checks, and nobody asks it for votes." : replica.may_vote ? pill("yes", "good") : pill("not now", "warn"), guard?.reason || null],
    guard !== null && ["Never again at or below", `height ${format.count(guard.vote_above)}`, "So that it cannot sign two different blocks of one height, whatever happens to it."],
    ["Highest proved block", format.count(replica.known_height)],
    replica.suspicion && ["Why it suspects the leader", replica.suspicion],
  ]);
}
