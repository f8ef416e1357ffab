// Who signs blocks, and do all of them take part?

import { get, withQuery } from "../lib/api.js";
import { h, renew } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { every } from "../lib/every.js";
import { blockLink, empty, facts, figures, name, pill, raw, section, table, txName, when } from "../lib/parts.js";

const BLOCKS = 60;
const EVIDENCE = 20; // the newest
const ASK_MS = 5_000;

export default async function validators(context) {
  const { signal } = context;
  const read = () => Promise.all([get("validators", { signal }), get("epochs/current", { signal }), get(withQuery("evidence", { limit: EVIDENCE }), { signal })]);
  const [[set, epoch, evidence], status] = await Promise.all([read(), get("status", { signal })]);
  const headers = await lastHeaders(status.sync.height, signal);
  const lede = h("p", { class: "lede" });
  const members = h("div");
  const grid = h("div");
  const caught = h("div");
  const draw = ([found, now, { items }], lately) => {
    renew(lede, ledeOf(found));
    renew(members, membersTable(found, now));
    renew(grid, participation(found, lately));
    renew(caught, evidenceTable(items));
  };
  draw([set, epoch, evidence], headers);
  context.render("Validators",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Validators"), lede),
    figures([
      { name: "Validators", value: set.n },
      { name: "Must sign a block", value: set.quorum },
      { name: "May fail or lie", value: set.f, note: "and the chain is still right" },
      { name: "Epoch", value: format.count(epoch.number), note: `ends with block ${format.count(epoch.last_height_min)} or later` },
    ]),
    section("Members of this epoch", null, members),
    section("Who signed the last blocks", `One column a block, the newest first. A block needs ${set.quorum} signatures and its certificate holds no more, so a gap here and there is chance; a row of gaps is a validator that is slow or gone.`, grid),
    section("Evidence", "Who signed two votes that contradict each other. Anybody can check both signatures. The licence is accused at once and suspended when the epoch ends.", caught),
    section("Licences", "Who may hold a seat or issue coins. They come and go by the signatures of the validators or the regulator.", licences(epoch)),
    section("The regulator", null, facts([
      ["Acts with", `${epoch.regulator.needed} of ${epoch.regulator.keys.length} keys`],
      epoch.regulator.announced && ["New keys", `${epoch.regulator.announced.needed} of ${epoch.regulator.announced.keys.length}, in force after`, when(epoch.regulator.announced.after_ms)],
    ])),
    raw({ validators: set, epoch, evidence }, "validators"));
  every(ASK_MS, async () => {
    const [found, { sync }] = await Promise.all([read(), get("status", { signal })]);
    draw(found, await lastHeaders(sync.height, signal));
  }, signal);
}

async function lastHeaders(height, signal) {
  const start = Math.max(1, height - BLOCKS + 1);
  if (height < 1) return [];
  try {
    return (await get(withQuery("headers", { start, limit: BLOCKS }), { signal })).items;
  } catch (problem) {
    if (problem.code === "pruned") return []; // it began with a snapshot above that height
    throw problem;
  }
}

function ledeOf({ members, quorum, n }) {
  const gone = members.filter((item) => !item.connected).map((item) => item.licence);
  if (!gone.length) return `All ${format.word(n)} validators are connected to this node; ${format.word(quorum)} of them make a block final.`;
  const left = n - gone.length;
  const effect = left >= quorum ? "Blocks go on without them." : "Too few are left to make blocks final.";
  return `${format.capital(format.listed(gone))} ${gone.length === 1 ? "is" : "are"} not connected to this node. ${effect}`;
}

function membersTable(set, epoch) {
  const licence = new Map(epoch.licences.map((item) => [item.id, item]));
  return table("Validators of this epoch", [
    { name: "Validator", cell: (item) => [h("strong", null, item.licence), h("span", { class: "why" }, item.name)] },
    { name: "Now", cell: (item) => (item.connected ? pill(item.is_primary ? "leads" : "connected", item.is_primary ? "accent" : "good") : pill("not connected", "bad")) },
    { name: "Seat", minor: true, cell: (item) => licence.get(item.licence)?.seat ?? "–" },
    { name: "Licence ends", cell: (item) => (licence.has(item.licence) ? format.utc(licence.get(item.licence).expires_ms).slice(0, 10) : "–") },
    { name: "Consensus key", cell: (item) => name(item.key, "consensus key") },
  ], set.members);
}

function participation(set, headers) {
  if (!headers.length) return empty("No blocks yet", "Nothing was signed so far. The first block appears here.");
  const signedBy = [...headers].reverse().map(({ header, certificate }) => ({ height: header.height, names: new Set(certificate?.signers.map((item) => item.licence)) }));
  return h("div", { class: "grid-room", tabindex: "0", role: "group", "aria-label": "Who signed the last blocks" }, h("table", { class: "grid" },
    h("caption", { class: "hidden" }, `Signatures in the certificates of blocks ${signedBy[0].height} down to ${signedBy[signedBy.length - 1].height}`),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Validator"), h("th", { scope: "col", class: "number" }, "Signed"), h("th", { scope: "col", colspan: signedBy.length }, `Blocks ${format.count(signedBy[0].height)} down to ${format.count(signedBy[signedBy.length - 1].height)}`))),
    h("tbody", null, set.members.map(({ licence }) => {
      const hits = signedBy.filter((item) => item.names.has(licence)).length;
      return h("tr", null, h("th", { scope: "row" }, licence),
        h("td", { class: "number" }, `${hits} of ${signedBy.length}`),
        signedBy.map((item) => h("td", { class: item.names.has(licence) ? "hit" : "miss", title: `${item.height}: ${item.names.has(licence) ? "signed" : "not in the certificate"}` }, h("span", { class: "hidden" }, item.names.has(licence) ? "signed" : "not"))));
    }))));
}

function evidenceTable(items) {
  return table("Evidence, the newest first", [
    { name: "Licence", cell: (item) => h("strong", null, item.licence) },
    { name: "Two votes at height", number: true, cell: (item) => (item.votes ? format.count(item.votes[0].height) : h("span", { class: "soft" }, "not kept here")) },
    { name: "Shown in block", number: true, cell: (item) => blockLink(item.height) },
    { name: "Transaction", cell: (item) => txName(item.txid) },
    { name: "Licence now", cell: (item) => pill(item.state, stateTone(item.state)) },
  ], items, empty("Nobody", "No block holds evidence against a validator."));
}

const stateTone = (state) => ({ active: "good", revoked: "bad", accused: "bad", suspended: "warn", winddown: "warn" })[state] ?? "plain";

function licences(epoch) {
  return table("Licences", [
    { name: "Licence", cell: (item) => [h("strong", null, item.id), h("span", { class: "why" }, item.name)] },
    { name: "Jurisdiction", cell: (item) => item.jurisdiction },
    { name: "State", cell: (item) => pill(item.state, stateTone(item.state)) },
    { name: "Seat", cell: (item) => item.seat },
    { name: "May", cell: (item) => format.listed([item.validator && "validate", item.issuer && "issue"].filter(Boolean)) || "–" },
    { name: "Ends", cell: (item) => format.utc(item.expires_ms).slice(0, 10) },
  ], epoch.licences, empty("No licences", "The chain knows none."));
}
