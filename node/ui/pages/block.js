// What is in this block, and why it is final.

import { getFinal, get, inParallel } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as live from "../lib/live.js";
import { movedBy, ownersOf } from "../lib/moved.js";
import { issuers } from "../lib/names.js";
import { describe } from "../lib/operations.js";
import { amount, empty, facts, head, name, raw, section, table, txName, when } from "../lib/parts.js";

const SHOWN = 20;
const AT_ONCE = 6;

export default async function block(context) {
  const { signal, names } = context;
  const path = `blocks/${names.at}`;
  const found = names.at === "latest" ? await get(path, { signal }) : await getFinal(path, { signal });
  const { header, certificate, txids } = found;
  const parts = transactions(txids, header.height, signal);
  context.render(`Block ${format.count(header.height)}`,
    head(`Block ${format.count(header.height)}`, ledeOf(found)),
    neighbours(header, signal),
    facts([
      ["Time", when(header.time_ms)],
      ["Proposed by", found.proposer || "nobody: it is the genesis block"],
      ["Hash", name(header.hash, "block hash", null, { full: true })],
      header.height > 0 && ["Block before", name(header.parent_hash, "parent hash", `/ui/block/${header.parent_hash}`)],
      ["Epoch", format.count(header.epoch), endsEpoch(header) && "Its last block: the next one belongs to the next epoch."],
      ["Size", format.bytes(found.size_bytes), "of transactions"],
    ]),
    section(format.capital(format.plural(txids.length, "transaction")), null, parts),
    section("Why it is final", whyFinal(certificate), certificate && signers(certificate)),
    section("What it commits to", "Roots of trees; whoever has one of them can be shown any part of the state, and cannot be lied to.", facts([
      ["Transactions", name(header.tx_root, "root")],
      ["State after it", name(header.state_root, "root")],
      ["Validators", name(header.validators_hash, "hash")],
      ["Next validators", name(header.next_validators_hash, "hash")],
    ])),
    raw(found, path));
}

function ledeOf({ header, txids, certificate }) {
  if (header.height === 0) return "The first block. It holds the coins and licences that the chain began with.";
  const what = txids.length ? `holds ${format.plural(txids.length, "transaction")}` : "holds no transaction: it shows that the chain is alive";
  return `This block ${what}. It is final: ${format.word(certificate.signers.length)} validators signed it.`;
}

function whyFinal(certificate) {
  if (!certificate) return "Nobody signs the genesis block: who runs a node starts from it by choice.";
  const view = certificate.view ? ` It took ${format.plural(certificate.view, "change")} of the leader in this epoch.` : "";
  return `These signatures are a quorum: two different blocks of this height can not both have one unless a third of the validators lie, and then it is known who did.${view}`;
}

function endsEpoch(header) {
  return header.validators_hash !== header.next_validators_hash;
}

function neighbours({ height }, signal) {
  const next = h("a", { href: `/ui/block/${height + 1}`, hidden: true }, `${format.count(height + 1)} →`);
  const look = () => { next.hidden = (live.state.status?.sync.height ?? 0) <= height; };
  look();
  live.on("status", look, signal);
  return h("nav", { class: "neighbours", "aria-label": "Neighbouring blocks" },
    height > 0 && h("a", { href: `/ui/block/${height - 1}` }, `← ${format.count(height - 1)}`), next);
}

function signers(certificate) {
  return table("Signatures of the certificate", [
    { name: "Validator", cell: (item) => h("strong", null, item.licence) },
    { name: "Signature", cell: (item) => name(item.signature, "signature") },
  ], certificate.signers);
}

// A block names its transactions; what they do is asked for one by one, a page at a time.
function transactions(txids, height, signal) {
  if (!txids.length) {
    return empty("Empty", height === 0 ? "The genesis block's coins come from the genesis file, not from transactions." : "A block is made every few seconds even when nobody sends anything.");
  }
  const box = h("div", null, h("p", { class: "quiet-text" }, "Reading…"));
  const room = h("p");
  const rows = [];
  async function more() {
    const next = txids.slice(rows.length, rows.length + SHOWN);
    const [found, { nameOf }] = await Promise.all([
      inParallel(next, AT_ONCE, (txid) => getFinal(`transactions/${txid}?proof=false`, { signal })), issuers(signal)]);
    const owners = await inParallel(found, AT_ONCE, ({ transaction: tx }) => (tx ? ownersOf(tx, { mayAsk: false }) : []));
    rows.push(...found.map((item, at) => ({ txid: next[at], tx: item.transaction, owners: owners[at], nameOf })));
    put(box, draw(rows));
    const left = txids.length - rows.length;
    put(room, left > 0 && h("button", { type: "button", onclick: more }, `Show ${format.count(Math.min(left, SHOWN))} more of ${format.count(txids.length)}`));
  }
  more().catch((fault) => {
    if (!signal.aborted) put(box, h("p", { class: "quiet-text" }, format.sentence(fault.message)));
  });
  return [box, room];
}

function draw(rows) {
  return table("Transactions of the block", [
    { name: "Transaction", cell: (row) => txName(row.txid) },
    { name: "What it does", wide: true, cell: (row) => summary(row) },
    { name: "Fee", number: true, cell: ({ tx, nameOf }) => (tx && BigInt(tx.body.fee.amount) ? amount(tx.body.fee.amount, nameOf(tx.body.fee.asset)) : h("span", { class: "soft" }, "none")) },
  ], rows);
}

function summary({ tx, owners, nameOf }) {
  if (!tx) return h("span", { class: "soft" }, "not kept by this node");
  const { operations } = tx.body;
  if (operations.length) {
    return [format.capital(describe(operations[0])), operations.length > 1 && `, and ${format.plural(operations.length - 1, "more operation")}`];
  }
  return ["Moves ", movedBy(tx.body, owners).totals.map(([asset, units], at) => [at ? ", " : "", amount(units, nameOf(asset))])];
}
