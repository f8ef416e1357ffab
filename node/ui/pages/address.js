// What does this address hold, and what happened to it?

import { get, withQuery } from "../lib/api.js";
import { h } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { ago, amount, blockLink, empty, facts, head, name, pager, raw, section, table, txName } from "../lib/parts.js";

const PAGE = 25;

export default async function address(context) {
  const { signal, names } = context;
  const path = `addresses/${names.address}`;
  const readCoins = (cursor) => get(withQuery(`${path}/coins`, { limit: PAGE, cursor }), { signal });
  const readHistory = (cursor) => get(withQuery(`${path}/transactions`, { limit: PAGE, cursor }), { signal });
  const [found, coins, history] = await Promise.all([get(path, { signal }), readCoins(null), readHistory(null)]);
  const isNew = !found.balances.length && !history.items.length;
  context.render(`Address ${format.short(found.address)}`,
    head("Address", ledeOf(found, isNew), h("p", { class: "address" }, name(found.address, "address", null, { full: true }))),
    found.balances.length > 0 && section("What it holds", "A coin of an issuer is an hour of standard compute of that issuer's machines.", balances(found)),
    section("What happened", null, pager(readHistory, drawHistory, history)),
    found.balances.length > 0 && section("Coins", "A balance is made of whole coins, as purses are: a payment uses some of them up and makes new ones.", pager(readCoins, drawCoins, coins)),
    facts([
      ["As of block", blockLink(found.height)],
      ["Lock", name(found.lock, "lock", null, { full: true }), "The hash of the condition under which coins here may be spent. The condition itself shows when somebody spends them."],
    ]),
    raw({ address: found, coins, transactions: history }, path));
}

function ledeOf({ balances: held }, isNew) {
  if (isNew) return "This address is valid, and it never held anything on this chain.";
  if (!held.length) return "It holds nothing now.";
  return ["It holds ", held.map((item, at) => [at ? (at === held.length - 1 ? " and " : ", ") : "", amount(item.amount, item.issuer)]), "."];
}

function balances(found) {
  return table("Balances by issuer", [
    { name: "Issuer", cell: (item) => h("strong", null, item.issuer) },
    { name: "Amount", number: true, cell: (item) => amount(item.amount) },
    { name: "Coins", number: true, cell: (item) => format.count(item.coins) },
    { name: "Asset", cell: (item) => name(item.asset, "asset id") },
  ], found.balances);
}

function drawHistory(items) {
  return table("Transactions of this address, the newest first", [
    { name: "When", cell: (item) => ago(item.time_ms) },
    { name: "Block", cell: (item) => blockLink(item.height) },
    { name: "Change", number: true, cell: (item) => h("ul", { class: "changes" }, item.movements.map(change)) },
    { name: "By", cell: (item) => (item.position === null ? byRules(item) : txName(item.txid)) },
  ], items, empty("Nothing yet", "No coin came to this address or left it."));
}

function byRules({ height }) {
  return height === 0
    ? h("span", null, "the genesis file", h("span", { class: "why" }, "a coin that the chain began with"))
    : h("span", null, "the rules of the chain", h("span", { class: "why" }, "coins of an order that came back, a penalty, a claim, a deposit or a share of fees"));
}

function change({ received, sent, issuer }) {
  const net = BigInt(received) - BigInt(sent);
  const sign = net > 0n ? "+" : "";
  return h("li", { class: net > 0n ? "plus" : net < 0n ? "minus" : null }, sign, amount(net, issuer));
}

function drawCoins(items) {
  return table("Unspent coins", [
    { name: "In block", cell: (item) => blockLink(item.height) },
    { name: "Made by", cell: (item) => txName(item.txid) },
    { name: "Output", number: true, minor: true, cell: (item) => item.index },
    { name: "Amount", number: true, cell: (item) => amount(item.amount, item.issuer) },
  ], items);
}
