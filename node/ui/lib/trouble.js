// What a reader must know before believing any page: that blocks stopped, who is missing and since
// when, that this node is behind or silent.

import * as format from "./format.js";

const STALLED_MS = 30_000; // three heartbeats, as the node's own readiness counts

let isFirst = true;
const goneSince = new Map(); // licence -> when this page saw its link go, 0 where it was gone before

/** {tone, title, text, isStalled}, or null when all is well. Takes the state of lib/live.js. */
export function troubleOf({ status, lostMs, tip }) {
  if (lostMs !== null) {
    const last = tip ? ` What you see is as of block ${format.count(tip.height)}.` : "";
    return { tone: "bad", title: "This node does not answer", text: `Not since ${format.utc(lostMs)}. Asking again every few seconds.${last}` };
  }
  if (!status) return null;
  noteMissing(status.consensus.missing);
  return stalled(status) ?? behind(status) ?? fewer(status) ?? ofThisNode(status);
}

function stalled({ consensus, sync }) {
  const isShort = consensus.connected < consensus.quorum;
  if (!isShort && (consensus.last_commit_age_ms ?? 0) <= STALLED_MS) return null;
  const since = `The last block is ${format.count(sync.height)}, of ${format.utc(sync.header_time_ms)}.`;
  const who = consensus.missing.length
    ? `${consensus.connected} of the ${consensus.quorum} validators that must sign are connected to this node; missing: ${absent(consensus.missing)}.`
    : `All ${consensus.validators} validators are connected to this node; view ${consensus.view}, led by ${consensus.primary}, has not brought a block.`;
  return { tone: "bad", isStalled: true, title: "No new blocks", text: `${since} ${who} Nothing that is final is in danger; payments wait.` };
}

function behind({ sync }) {
  if (!sync.catching_up) return null;
  return { tone: "warn", title: "This node is catching up", text: `It has block ${format.count(sync.height)} of ${format.count(sync.target_height)}. Newer things are not shown yet.` };
}

function fewer({ consensus }) {
  const { connected, missing, quorum, validators } = consensus;
  if (!missing.length) return null;
  const spare = connected - quorum;
  const left = spare ? `${format.plural(spare, "more failure", "more failures")} can be borne.` : "One more failure would stop blocks.";
  return { tone: "warn", title: `Not connected to this node: ${format.listed(missing)}`, text: `Blocks go on: ${connected} of ${validators} are connected, ${quorum} must sign. ${left} Missing: ${absent(missing)}.` };
}

function ofThisNode({ consensus, warnings }) {
  if (consensus.reason) return { tone: "warn", title: "This node does not vote", text: format.sentence(consensus.reason) };
  if (warnings.length) return { tone: "warn", title: "For the operator of this node", text: warnings.map(format.sentence).join(" ") };
  return null;
}

// Moments, not ages: the banner is read aloud whenever its text changes.
function absent(names) {
  const groups = new Map();
  for (const name of names) {
    const since = goneSince.get(name);
    const text = since ? `since ${format.utc(since).slice(11)}` : "already when this page was opened";
    groups.set(text, [...(groups.get(text) ?? []), name]);
  }
  return [...groups].map(([text, gone]) => `${format.listed(gone)} (${text})`).join(", ");
}

function noteMissing(names) {
  for (const name of goneSince.keys()) if (!names.includes(name)) goneSince.delete(name);
  for (const name of names) if (!goneSince.has(name)) goneSince.set(name, isFirst ? 0 : Date.now());
  isFirst = false;
}
