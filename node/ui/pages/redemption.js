// Where does this order stand, what happens next, and where are its coins?

import { Problem, get } from "../lib/api.js";
import { panel } from "../lib/capacity.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import { gathered } from "../lib/gathered.js";
import * as format from "../lib/format.js";
import * as clock from "../lib/ledger_clock.js";
import * as live from "../lib/live.js";
import { ledeOf, statePill, stepper, thenText, whereCoins, whoText } from "../lib/orders.js";
import { addressName, amount, empty, facts, head, name, notice, pill, raw, say, section } from "../lib/parts.js";

const ASK_MS = 2_000;
const GATHER_MS = 200;
const PPM = 1_000_000;

export default async function redemption(context) {
  const { signal, names: { order: id } } = context;
  await clock.start(signal);
  const first = await read(id, signal);
  if (first === null) {
    context.render("Order", unknown(id));
    return;
  }
  const parts = { lede: h("p", { class: "lede" }), way: h("div"), next: h("div"), progress: h("div"), coins: h("div"), penalty: h("div"), dispute: h("div"), terms: h("div") };
  let held = first;
  fill(parts, held);
  context.render(`Order ${format.short(id)}`,
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Order for compute"), parts.lede, h("p", { class: "address" }, name(id, "order id", null, { full: true }))),
    parts.way, parts.next,
    section("Delivered", null, parts.progress),
    section("Where the coins are", null, parts.coins),
    section("Penalties", null, parts.penalty),
    parts.dispute,
    section("Terms", null, parts.terms),
    raw(first.order, `orders/${id}`));
  const again = async () => {
    const found = await read(id, signal);
    if (found === null) {
      context.render("Order", unknown(id));
      return;
    }
    if (found.order.state !== held.order.state) say(`The order is ${found.order.state} now`);
    held = found;
    fill(parts, held);
  };
  every(ASK_MS, again, signal);
  const soon = gathered(GATHER_MS, again, signal);
  live.on("order", (event) => event.id === id && soon(), signal);
}

async function read(id, signal) {
  try {
    const order = await get(`orders/${id}`, { signal });
    const backing = await get(`issuers/${order.issuer}/backing`, { signal });
    return { order, conduct: backing.conduct };
  } catch (fault) {
    if (fault instanceof Problem && fault.status === 404) return null;
    throw fault;
  }
}

function unknown(id) {
  return [head("Order for compute", "This node tells of no such order.", h("p", { class: "address" }, name(id, "order id", null, { full: true }))),
    empty("Unknown, or over for a while", "An order that ended is told of for an hour, or until the last moment at which it could have begun. Its coins went where its terms say; the holder's address shows them, and its transactions stay in the blocks.")];
}

function fill(parts, { order, conduct }) {
  renew(parts.lede, ledeOf(order));
  renew(parts.way, stepper(order));
  renew(parts.next, next(order));
  renew(parts.progress, progress(order));
  renew(parts.coins, whereCoins(order));
  renew(parts.penalty, penalties(order, conduct));
  renew(parts.dispute, order.dispute && section("Dispute", null, dispute(order)));
  renew(parts.terms, terms(order));
}

function next(order) {
  if (order.has_ended) {
    return notice("plain", order.is_paid ? "It is over" : "It is over; the next block pays",
      order.is_paid && order.deadline_ms !== null && h("p", null, "Nodes forget it ", clock.until(order.deadline_ms), "; its transactions stay in the blocks."));
  }
  return notice(order.waits_for === "issuer" ? "warn" : "plain", `${whoText(order)}.`,
    order.deadline_ms !== null && h("p", null, "If nobody does anything, ", h("strong", null, clock.until(order.deadline_ms)), `: ${thenText(order.then)}.`),
    order.deadline_ms !== null && h("p", { class: "why" }, `${format.utc(order.deadline_ms)} on the ledger clock, which stands still while no blocks come.`),
    hint(order));
}

function hint(order) {
  const id = order.id.slice(0, 12);
  const command = {
    queued: `marsa redeem cancel ${id}`, requested: `marsa redeem cancel ${id}`, ready: `marsa redeem use ${id}`,
    active: `marsa redeem close ${id}`, closing: BigInt(order.remaining) ? `marsa redeem dispute ${id} --from NAME` : null,
  }[order.state];
  const what = { queued: "The holder may take it back", requested: "The holder may take it back", ready: "The holder begins with", active: "Either side may end it early", closing: "Who was not served may dispute it" }[order.state];
  return command && h("p", null, `${what}: `, h("code", null, command));
}

function progress(order) {
  const whole = BigInt(order.amount);
  const ppm = Number((BigInt(order.burned) * BigInt(PPM)) / whole);
  const units = (coins) => format.count((BigInt(coins) * BigInt(order.units)) / BigInt(PPM));
  return h("div", { class: "progress" },
    h("p", { class: "progress-line" }, h("strong", null, format.percent(ppm)), h("span", { class: "soft" }, ` ${format.coins(order.burned)} of ${format.coins(order.amount)} coins`)),
    h("span", { class: "meter large", role: "img", "aria-label": `${format.percent(ppm)} delivered`, style: { "--share": `${ppm / 10_000}%` } }),
    facts([
      ["Work", `${units(order.burned)} of ${units(order.amount)} units of the reference job for ${order.workload}`, `A coin is ${format.count(order.units)} units: the best rate for the holder of those at request and at the start.`],
      ["Device time", [amount(order.used_microhours), " of ", amount(order.microhours), " h"]],
      ["Last receipt", order.receipt ? `number ${format.count(order.receipt)}` : order.has_ended ? "none came" : "none yet", "The holder signs what arrived, the issuer posts it. The highest number counts."],
      order.meter_root && ["Meter", name(order.meter_root, "root of the meter's log")],
      order.deliverable !== order.remaining && !order.has_ended && ["What is left brings", [amount(order.deliverable), " coins of compute"], `${order.issuer} does not cover all of its coins: an order is served the covered share, the rest stays a claim.`],
    ]));
}

function penalties(order, conduct) {
  if (order.state === "lapsed" || order.state === "failed") {
    return notice("bad", `${format.capital(order.issuer)} missed what it owed`, h("p", null, "The holder was paid a share of the order on top, from the issuer's bond and in the coins of that bond. ",
      h("a", { href: `/ui/address/${order.refund_address}` }, "The holder's address"), " shows it. ", strikes(order, conduct)));
  }
  if (order.has_ended) return h("p", null, order.state === "ruled" ? "Where the panel ruled against the issuer, a penalty was paid to the holder." : "None was due.");
  if (order.state === "closing" && !BigInt(order.remaining)) return h("p", null, "None is due: all of it is delivered.");
  const due = (BigInt(order.amount) * BigInt(conduct.next_penalty_ppm)) / BigInt(PPM);
  return facts([
    [MISSED[order.state], [amount(due), ` coins, ${format.percent(conduct.next_penalty_ppm)} of the order`], "Paid to the holder from the bond, on top of the coins that come back; a day's penalties take a tenth of the bond at most."],
    ["Strikes so far", strikes(order, conduct)],
  ]);
}

const BY_PANEL = "If a panel rules against the issuer";
const MISSED = {
  queued: "If the issuer misses this one", requested: "If the issuer does not accept", accepted: "If the issuer is not ready",
  ready: BY_PANEL, active: BY_PANEL, closing: BY_PANEL, disputed: BY_PANEL,
};

function strikes(order, { strikes: count }) {
  const issuer = format.capital(order.issuer);
  return count ? `${issuer} has ${format.plural(count, "strike")}; each doubles the next penalty.` : `${issuer} has none.`;
}

function dispute({ dispute: held }) {
  return facts([
    ["State", [pill(held.verdict, { open: "warn", upheld: "bad", dismissed: "good" }[held.verdict]), ` brought by the ${held.by}`]],
    ["Claimed", [amount(held.claimed), " coins delivered"]],
    ["Deposit", [amount(held.deposit), " coins"], "It goes to the other side if the panel does not agree; back if the panel is silent."],
    ["Panel", panel(held), "Attestors of distinct groups that are no party; three decide."],
    held.verdict === "open" && ["Decided", clock.until(held.deadline_ms), "The highest receipt stands if the panel is silent."],
  ]);
}

// As the reader's day has it: the ledger clock is behind by as long as the chain ever stood still.
const moment = (ledgerMs) => format.utc(clock.wall(ledgerMs));

function terms(order) {
  const machine = order.device_class ? ` on ${order.device_class} in ${order.region}` : "";
  return facts([
    ["State", [statePill(order), " since ", moment(order.since_ms)]],
    ["Issuer", h("a", { href: `/ui/issuer/${order.issuer}` }, order.issuer)],
    ["What", `${order.workload}${machine}`, `from the commitment ${order.commitment}`],
    ["Hours kept for it", [amount(order.reserved_microhours), " device hours"]],
    order.queue_until_ms > 0 && ["Waits at the longest until", moment(order.queue_until_ms)],
    ["To begin by", moment(order.start_by_ms)],
    ["Over by", moment(order.end_ms)],
    order.endpoint && ["Served at", h("span", { class: "mono break" }, order.endpoint), "The issuer wrote this; the session's certificate must have the hash below."],
    order.session_hash && ["Certificate there", name(order.session_hash, "hash of the certificate")],
    ["Holder's session key", name(order.session_key, "session key"), "Made for this order alone; it cannot reach the coins."],
    ["What is left goes to", addressName(order.refund_address)],
  ]);
}
