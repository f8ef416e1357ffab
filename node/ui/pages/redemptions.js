// Which orders for compute are open, and who is to act?

import { get, withQuery } from "../lib/api.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import { gathered } from "../lib/gathered.js";
import * as format from "../lib/format.js";
import * as clock from "../lib/ledger_clock.js";
import * as live from "../lib/live.js";
import { statePill, thenText, whoText } from "../lib/orders.js";
import { amount, empty, meter, name, raw, section, table } from "../lib/parts.js";

const PAGE = 100;
const PAGES_MAX = 10; // that are read again and again while they are looked at
const ASK_MS = 3_000;
const GATHER_MS = 500;

export default async function redemptions(context) {
  const { signal, query } = context;
  const issuer = query.get("issuer");
  let pages = 1;
  const read = () => readPages(issuer, pages, signal);
  const [first] = await Promise.all([read(), clock.start(signal)]);
  const lede = h("p", { class: "lede" });
  const open = h("div");
  const ended = h("div");
  const more = h("div");
  const draw = (found) => {
    const { items } = found;
    const going = items.filter((item) => !item.has_ended).sort((one, other) => (one.deadline_ms ?? Infinity) - (other.deadline_ms ?? Infinity));
    const over = items.filter((item) => item.has_ended).sort((one, other) => other.since_ms - one.since_ms);
    renew(lede, ledeOf(going, found, issuer));
    renew(open, openTable(going));
    renew(ended, endedTable(over));
    renew(more, found.next_cursor && pages < PAGES_MAX && h("button", { type: "button", class: "more", "data-key": "more", onclick: readMore }, "Read more orders"),
      found.next_cursor && pages >= PAGES_MAX && h("p", { class: "note" }, "There are more orders than this page shows; those of one issuer are fewer."));
  };
  async function readMore() {
    pages += 1;
    draw(await read());
  }
  draw(first);
  context.render("Redemptions",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, issuer ? `Redemptions of ${issuer}` : "Redemptions"), lede,
      h("p", { class: "note" }, "Whoever holds coins turns them into compute of their issuer. The coins move into an order; what is delivered burns, the rest comes back by itself."),
      issuer && h("p", null, h("a", { href: "/ui/redemptions" }, "Those of all issuers"))),
    section("Open", "The next to fall due first.", open),
    section("Ended of late", "Told of for an hour; then only their transactions remain.", ended),
    more,
    raw(first, withQuery("orders", { issuer, limit: PAGE })));
  const again = async () => draw(await read());
  every(ASK_MS, again, signal);
  live.on("order", gathered(GATHER_MS, again, signal), signal);
}

async function readPages(issuer, pages, signal) {
  const items = [];
  let cursor = null;
  for (let at = 0; at < pages; at += 1) {
    const page = await get(withQuery("orders", { issuer, limit: PAGE, cursor }), { signal });
    items.push(...page.items);
    cursor = page.next_cursor;
    if (!cursor) break;
  }
  return { items, next_cursor: cursor };
}

function ledeOf(going, { items, next_cursor: cursor }, issuer) {
  const of = issuer ? ` of ${issuer}` : "";
  if (!items.length && !cursor) return `No order${of} is open, and none ended of late.`;
  const least = cursor ? "At least " : "";
  if (!going.length) return `No order${of} is open now.`;
  const coins = format.sum(going.map((item) => item.remaining));
  const text = `${least}${format.word(going.length)} ${going.length === 1 ? "order is" : "orders are"} open${of ? `, all${of}` : ""}; ${format.coins(coins)} coins lie in ${going.length === 1 ? "it" : "them"}.`;
  return format.capital(text);
}

function openTable(orders) {
  return table("Open orders", [
    { name: "Order", cell: orderName },
    { name: "For", cell: forText },
    { name: "State", cell: (item) => statePill(item) },
    { name: "Delivered", number: true, cell: delivered },
    { name: "Next", wide: true, cell: next },
  ], orders, empty("No open order", "Nobody waits for compute. A quote says who would serve, and when.", "marsa redeem quote 1 --class cpu --workload hashing"));
}

function endedTable(orders) {
  return table("Orders that ended", [
    { name: "Order", cell: orderName },
    { name: "For", cell: forText },
    { name: "End", cell: (item) => statePill(item) },
    { name: "Delivered", number: true, cell: delivered },
    { name: "Came back", number: true, cell: (item) => amount(item.refunded) },
    { name: "Forgotten", cell: (item) => (item.deadline_ms === null ? "–" : clock.until(item.deadline_ms)) },
  ], orders, empty("None", "No order ended within the last hour."));
}

const orderName = (item) => name(item.id, "order id", `/ui/redemption/${item.id}`);

function forText(item) {
  return [h("a", { href: `/ui/issuer/${item.issuer}` }, item.issuer), h("span", { class: "why" }, item.device_class ? `${item.workload} on ${item.device_class}` : item.workload)];
}

function delivered(item) {
  return [amount(item.burned), h("span", { class: "why" }, "of ", format.coins(item.amount)),
    meter(Number(item.burned), Number(item.amount), `${format.coins(item.burned)} of ${format.coins(item.amount)} coins delivered`)];
}

function next(item) {
  return [whoText(item), ".", item.deadline_ms !== null && h("span", { class: "why upper" }, clock.until(item.deadline_ms), `: ${thenText(item.then)}.`)];
}
