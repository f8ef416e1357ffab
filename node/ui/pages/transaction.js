// What did this transaction move, is it final, and can that be shown?

import { get } from "../lib/api.js";
import { checker } from "../lib/checker.js";
import { address, unhex } from "../lib/codec.js";
import { h, put } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { movedBy, ownersOf } from "../lib/moved.js";
import { issuers, params } from "../lib/names.js";
import { describe, flow } from "../lib/operations.js";
import { addressName, amount, blockLink, empty, facts, head, name, notice, pill, raw, section, when } from "../lib/parts.js";
import { checkProof } from "../lib/proof.js";

const WAIT = "4s"; // a question of a transaction that is not final waits so long at the node

export default async function transaction(context) {
  const { signal, names } = context;
  const path = `transactions/${names.txid}`;
  const found = await get(path, { signal });
  if (found.transaction) await drawKnown(context, found, path);
  else context.render("Transaction", drawUnknown(found), raw(found, path));
  if (found.status === "pending" || found.status === "unknown") awaitFinal(context, path, found.status);
}

// Draws again as soon as the transaction stands elsewhere.
async function awaitFinal(context, path, before) {
  const { signal } = context;
  while (!signal.aborted) {
    try {
      const { status } = await get(`${path}?wait=${WAIT}&proof=false`, { signal });
      if (status !== before) {
        await transaction(context);
        return;
      }
    } catch {
      if (signal.aborted) return;
      await new Promise((resolve) => setTimeout(resolve, 3_000)); // the banner says what is wrong
    }
    if (before === "unknown") await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

function drawUnknown({ txid, status, code, detail, height, time_ms: timeMs }) {
  const id = h("p", { class: "address" }, name(txid, "transaction id", null, { full: true }));
  if (status === "rejected") {
    return [head("Transaction", "It was refused, and nothing of it took effect.", id),
      notice("bad", code.replaceAll("_", " "), h("p", null, format.sentence(detail)))];
  }
  if (status === "final") {
    return [head("Transaction", `It is final in block ${format.count(height)}. This node keeps no longer what it held.`, id),
      facts([["Block", blockLink(height)], ["Time", when(timeMs)], ["Elsewhere", "A node that archives has it, with its proof."]])];
  }
  return [head("Transaction", "This node knows no such transaction.", id),
    empty("Unknown here", "It was never sent, or not to this network, or it expired or was refused some time ago. If you just sent it, stay: this page changes by itself as soon as it arrives.")];
}

async function drawKnown(context, found, path) {
  const { signal } = context;
  const [names, constants] = await Promise.all([issuers(signal), params(signal)]);
  const { body, witness } = found.transaction;
  const view = { found, body, names, prefix: constants.address_prefix, signal };
  view.owners = await ownersOf(found.transaction, { signal });
  const memo = body.memo ? format.textOfHex(body.memo) : null;
  context.render(`Transaction ${format.short(found.txid)}`,
    head("Transaction", ledeOf(view), h("p", { class: "address" }, name(found.txid, "transaction id", null, { full: true }))),
    facts([
      ["State", found.status === "final" ? pill("final", "good") : pill("waiting for a block", "warn")],
      found.height !== null && ["Block", [blockLink(found.height), `, number ${found.position + 1} in it`]],
      found.time_ms !== null && ["Time", when(found.time_ms)],
      body.memo && ["Memo", memo === null ? h("span", { class: "mono break" }, body.memo) : h("q", { class: "memo" }, memo), memo === null ? "Bytes that are no text." : "The sender wrote this; nobody checked it."],
      ["Valid until", when(body.expires_at_ms)],
      witness.signatures.length > 0 && ["Signed by", format.plural(witness.signatures.length, "key")],
    ]),
    body.operations.length > 1 && section("What it does", null, h("ol", { class: "operations" }, body.operations.map((item) => h("li", null, format.capital(describe(item)), ".")))),
    (body.inputs.length > 0 || body.outputs.length > 0) && section("From inputs to outputs", null, flowOf(view), conservation(view)),
    found.proof && section("Proof", "The node says that this is final. It need not be believed: the proof can be checked here, in your browser.", proofPart(view)),
    raw(found, path));
}

function ledeOf({ found, body, names, owners }) {
  const verb = found.status === "final" ? ["moved", "did"] : ["is to move", "is to do"];
  if (body.operations.length) {
    const first = format.capital(describe(body.operations[0]));
    return body.operations.length === 1 ? `${first}.` : `${first}, and ${format.plural(body.operations.length - 1, "more thing")}.`;
  }
  const { totals, places } = movedBy(body, owners);
  const what = totals.map(([asset, units], at) => [at ? ", " : "", amount(units, names.nameOf(asset))]);
  const whom = !places ? " within one address" : places === 1 ? " to one address" : ` to ${format.word(places)} addresses`;
  return [`It ${verb[0]} `, what, whom, found.status === "final" ? ", and that is final." : ". It waits for the next block."];
}

function flowOf(view) {
  const { body, names, owners, prefix, found } = view;
  const inputs = body.inputs.map((item, at) => h("li", null,
    amount(item.amount, names.nameOf(item.asset)),
    owners[at] && addressName(address(unhex(owners[at]), prefix)),
    h("span", { class: "soft" }, "made by ", h("a", { href: `/ui/tx/${item.txid}`, class: "mono" }, format.short(item.txid)), `, output ${item.index}`)));
  const outputs = body.outputs.map((item, at) => {
    const fate = h("span", { class: "soft" });
    if (found.status === "final") tellFate(fate, found.txid, at, view.signal);
    return h("li", null, amount(item.amount, names.nameOf(item.asset)), addressName(address(unhex(item.lock), prefix)),
      owners.includes(item.lock) ? h("span", { class: "soft" }, "change, back to the sender") : null, fate);
  });
  return h("div", { class: "flow" },
    h("div", null, h("h3", null, format.plural(inputs.length, "input")), inputs.length ? h("ol", null, inputs) : h("p", { class: "quiet-text" }, "It spends no coins.")),
    h("span", { class: "flow-arrow", "aria-hidden": "true" }, "→"),
    h("div", null, h("h3", null, format.plural(outputs.length, "output")), outputs.length ? h("ol", null, outputs) : h("p", { class: "quiet-text" }, "It makes no coins.")));
}

async function tellFate(place, txid, index, signal) {
  try {
    const { status, spent_by: spender } = await get(`outpoints/${txid}:${index}`, { signal });
    if (status === "unspent") put(place, "not spent");
    else if (spender) put(place, "spent by ", h("a", { href: `/ui/tx/${spender}`, class: "mono" }, format.short(spender)));
    else if (status === "spent") put(place, "spent");
  } catch {
    // The output stands without its fate.
  }
}

// Sum in = sum out + fee, in each asset, with what operations bring in or take out.
function conservation({ body, names }) {
  const rows = new Map();
  const row = (asset) => {
    if (!rows.has(asset)) rows.set(asset, { asset, came: 0n, went: 0n, fee: 0n, others: [] });
    return rows.get(asset);
  };
  for (const item of body.inputs) row(item.asset).came += BigInt(item.amount);
  for (const item of body.outputs) row(item.asset).went += BigInt(item.amount);
  if (BigInt(body.fee.amount)) row(body.fee.asset).fee += BigInt(body.fee.amount);
  for (const found of body.operations.map((item) => flow(item, names.assetOf)).filter(Boolean)) row(found.asset).others.push(found);
  return h("ul", { class: "conservation" }, [...rows.values()].map((item) => equation(item, names)));
}

function equation({ asset, came, went, fee, others }, names) {
  const left = [[came, "in"], ...others.filter((item) => item.amount > 0n).map((item) => [item.amount, item.name])].filter(([units]) => units);
  const right = [[went, "out"], ...others.filter((item) => item.amount < 0n).map((item) => [-item.amount, item.name]), [fee, "fee"]].filter(([units]) => units);
  const total = (side) => side.reduce((sum, [units]) => sum + units, 0n);
  const side = (terms) => (terms.length ? terms : [[0n, "in"]]).map(([units, what], at) => [at ? " + " : "", h("span", { class: "term" }, amount(units), h("span", { class: "soft" }, ` ${what}`))]);
  const holds = total(left) === total(right);
  return h("li", null, h("strong", null, names.nameOf(asset)), h("span", null, side(left), " = ", side(right)),
    holds ? pill("it adds up", "good") : pill("it does not add up", "bad"));
}

function proofPart({ found, body, signal }) {
  return checker({
    button: "Check the proof in this browser",
    check: async (onStep) => {
      const { network } = await get("status", { signal });
      return checkProof({ txid: found.txid, body, proof: found.proof, chainId: network.chain_id, signal, onStep });
    },
    command: "marsa tx verify-proof",
    signal,
  });
}
