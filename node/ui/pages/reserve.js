// Is every coin covered, and does that need to be believed?

import { get } from "../lib/api.js";
import { hoursEach, tone, whole } from "../lib/backing.js";
import { commitmentList, listOf } from "../lib/capacity.js";
import { checker } from "../lib/checker.js";
import { hex } from "../lib/codec.js";
import { h, put, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import * as clock from "../lib/ledger_clock.js";
import { amount, blockLink, empty, facts, head, name, notice, pill, raw, section, table, when } from "../lib/parts.js";
import { Refuted } from "../lib/proof.js";
import { again } from "../lib/router.js";
import { checkReserve, openRoots } from "../lib/supply_proof.js";

const ASK_MS = 5_000;

export default async function reserve(context) {
  const { signal } = context;
  const [first, params] = await Promise.all([get("reserve", { signal }), get("params", { signal }), clock.start(signal)]);
  const newer = h("p", { class: "note news" }, "They are of the newest block.");
  context.render("Reserve audit",
    head("Reserve audit", ledeOf(first), h("p", { class: "note" }, "As of block ", blockLink(first.height), ", ", when(first.header_time_ms), ". The figures stand still here, so that they can be checked."), newer),
    section("Coins and hours, issuer by issuer", "Each issuer's hours cover its own coins alone. The last row is a sum and covers nothing.", auditTable(first)),
    section("What the header commits to", "Every block's header holds one hash of the whole state. These figures are a part of it, under the signatures of the validators.", await commitment(first), proofPart(first, signal)),
    first.issuers.length > 0 && section("Where the hours come from", "Open an issuer to see its commitments and who vouches for them. The file below proves these too.", drill(first, params, signal)),
    section("Check it without a node", "A file of some kilobytes that proves reserve, hours, attestations and bands of all issuers to anybody who has the genesis file, with code that shares nothing with a node.", bundle(first)),
    raw(first, "reserve"));
  every(ASK_MS, async () => {
    const { sync } = await get("status", { signal });
    if (sync.height > first.height) {
      renew(newer, `${format.plural(sync.height - first.height, "block")} came since. `,
        h("button", { type: "button", "data-key": "again", onclick: again }, "Show the newest figures"));
    }
  }, signal);
}

function ledeOf({ issuers, ok }) {
  if (!issuers.length) return "Nobody is licensed to issue coins here yet, so there is nothing to cover.";
  const sum = (key) => format.sum(issuers.map((item) => item[key]));
  const out = `${whole(sum("outstanding"))} coins are out, and ${whole(sum("reserve"))} hours are attested for them`;
  if (ok) return `${out}. Each issuer covers its own.`;
  const bad = issuers.filter((item) => tone(item.status) === "bad").map((item) => item.issuer);
  return `${out}, but ${format.listed(bad)} ${bad.length === 1 ? "does" : "do"} not cover ${bad.length === 1 ? "its" : "their"} own.`;
}

function auditTable({ issuers }) {
  const sum = (key) => format.sum(issuers.map((item) => item[key]));
  const total = { issuer: null, outstanding: sum("outstanding"), reserve: sum("reserve"), residual: sum("residual"), headroom: sum("headroom") };
  const isOwed = BigInt(total.residual) > 0n;
  const only = (item, show) => (item.issuer === null ? null : show(item));
  return table("Coins and hours of each issuer", [
    { name: "Issuer", cell: (item) => (item.issuer === null ? h("strong", null, "All") : h("a", { href: `/ui/issuer/${item.issuer}` }, h("strong", null, item.issuer))) },
    { name: "Coins out", number: true, cell: (item) => amount(item.outstanding) },
    { name: "Hours attested", number: true, cell: (item) => amount(item.reserve) },
    { name: "Hours a coin", number: true, cell: (item) => only(item, () => (BigInt(item.outstanding) ? hoursEach(item.coverage_ppm) : "–")) },
    { name: "Due in 7 days", number: true, cell: (item) => only(item, () => (BigInt(item.outstanding) ? format.percent(item.deliverability_ppm) : "–")) },
    isOwed && { name: "Owed as claims", number: true, cell: (item) => amount(item.residual) },
    { name: "Room to mint", number: true, cell: (item) => amount(item.headroom) },
    { name: "Band", cell: (item) => only(item, () => pill(item.status, tone(item.status))) },
  ].filter(Boolean), issuers.length ? [...issuers, total] : [], empty("No issuer", "Validators and the regulator grant licences together.", "marsa licence grant --help"));
}

async function commitment(found) {
  const { header } = found;
  const rows = [["Header of block", blockLink(header.height)], ["Its hash", name(header.hash, "block hash")], ["State root in it", name(header.state_root, "state root")]];
  if (globalThis.crypto?.subtle) rows.push(...await parts(found));
  return facts(rows);
}

async function parts(found) {
  try {
    const roots = await openRoots(found);
    return [
      ["Supply root in that", name(hex(roots.supply_root), "supply root"), `One leaf for each of ${format.plural(found.issuers.length, "issuer")}: coins out, hours, coverage, what falls due. The root counts them.`],
      ["Objects root", name(hex(roots.objects_root), "objects root"), "Commitments, attestations, bonds, licences: what the file below proves one by one."],
    ];
  } catch (fault) {
    if (!(fault instanceof Refuted)) throw fault;
    return [["Its parts", pill("not shown", "bad"), `${format.sentence(fault.message)} Do not rely on this node.`]];
  }
}

function proofPart(found, signal) {
  if (found.certificate === null) return notice("plain", "Nothing is signed yet", h("p", null, "No block is final: these are the figures of the genesis file, and whoever has it can read them there."));
  return checker({
    button: "Check these figures in this browser",
    check: async (onStep) => {
      const { network } = await get("status", { signal });
      return checkReserve({ reserve: found, chainId: network.chain_id, signal, onStep });
    },
    command: "marsa audit reserve",
    signal,
  });
}

// One issuer after the other, when it is opened: there may be thousands of commitments.
function drill({ issuers }, params, signal) {
  return h("div", { class: "drill" }, issuers.map((item) => {
    const room = h("div", null, h("p", { class: "quiet-text" }, "Reading…"));
    const details = h("details", null, h("summary", null, h("strong", null, item.issuer), " ",
      h("span", { class: "soft" }, `${whole(item.reserve)} hours for ${whole(item.outstanding)} coins`)), room);
    details.addEventListener("toggle", () => {
      if (details.open) showCommitments(room, item, params, signal);
    });
    return details;
  }));
}

async function showCommitments(room, { issuer, reserve: attested }, params, signal) {
  try {
    const [{ items, isWhole }, standards] = await Promise.all([listOf("commitments", { issuer }, signal), get("standards", { signal })]);
    const worth = items.filter(({ state }) => state !== "void").map((item) => item.worth);
    put(room,
      items.length > 0 && h("p", { class: "sum" }, worth.map((part, at) => [at > 0 && " + ", amount(part)]), " = ", h("strong", null, amount(format.sum(worth))), " hours",
        h("span", { class: "why" }, isWhole ? `Now; the table above says ${format.coins(attested)} as of its block. Hours that pass leave, and the chain rounds down once, on the sum.` : "Of those that this page reads; there are more.")),
      commitmentList(items, { standard: standards.active, params, clock: clock.now() }));
  } catch (fault) {
    if (!signal.aborted) put(room, h("p", { class: "quiet-text" }, format.sentence(fault.message)));
  }
}

function bundle({ certificate, height }) {
  if (certificate === null) return empty("No file yet", "There is one once a block is final.");
  const file = `marsa-${height}.reserve`;
  return h("div", { class: "bundle" },
    h("p", null, h("a", { class: "button", href: "/v1/reserve/bundle", download: file }, "Download the proof"), " ", h("span", { class: "soft" }, "It is of the newest block when you load it.")),
    h("ol", { class: "commands" },
      h("li", null, "Take the genesis file from somebody you trust; it is the one thing that the check believes. Its hash is the chain id."),
      h("li", null, "Check the file with it, on a machine of your own, offline:", h("code", { class: "command" }, `marsa audit verify-bundle ${file} --genesis genesis.json`)),
      h("li", null, "Or load and check in one go, and keep the file:", h("code", { class: "command" }, `marsa audit reserve --bundle ${file}`)),
      h("li", null, "Later, see what changed since:", h("code", { class: "command" }, `marsa audit reserve --since ${file}`))),
    h("p", { class: "note" }, "It does not prove that machines exist: attestors vouch for that, and a challenge brings a doubt before a panel. It does not prove that it is the newest state either; it says of when it is."));
}
