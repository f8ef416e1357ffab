// Orders for compute in words: the way that one takes, who is to act, and what happens if nobody does.

import { share } from "./backing.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { amount, pill } from "./parts.js";
import { way } from "./way.js";

const SERVED = ["requested", "accepted", "ready", "active", "closing"];
const UNBEGUN = ["requested", "accepted", "ready", "settled"];
const WAYS = {
  cancelled: ["requested", "cancelled"],
  lapsed: ["requested", "lapsed"],
  failed: ["requested", "accepted", "failed"],
  disputed: [...SERVED, "disputed", "ruled"],
  ruled: [...SERVED, "disputed", "ruled"],
};

const TONES = { queued: "warn", requested: "accent", accepted: "accent", ready: "accent", active: "good", closing: "accent", disputed: "warn", settled: "good", ruled: "plain", cancelled: "plain", lapsed: "bad", failed: "bad" };

const MEANINGS = {
  queued: "waits for hours to come free",
  requested: "coins lie in the order, hours are kept for it",
  accepted: "the issuer has taken it on",
  ready: "the issuer says where it serves",
  active: "compute is delivered against signed receipts",
  closing: "last receipts, and time to dispute",
  settled: "what was delivered is burned, the rest came back",
  cancelled: "taken back by the holder, or its wait was over",
  lapsed: "the issuer did not answer: the coins came back, with a penalty",
  failed: "the issuer was not ready in time: the coins came back, with a penalty",
  disputed: "a panel of attestors rules",
  ruled: "the panel has ruled, or was silent",
};

const THEN = {
  cancelled: "it is cancelled, and all coins come back",
  lapsed: "it lapses: all coins come back, with a penalty from the issuer's bond",
  failed: "it fails: all coins come back, with a penalty from the issuer's bond",
  closing: "the session ends, and both sides have a while for last receipts",
  settled: "it is settled, and what was not delivered comes back",
  ruled: "the highest receipt stands, because the panel kept silent",
  forgotten: "nodes forget it; its transactions stay in the blocks",
};

/** An order's state as a coloured word. */
export function statePill({ state, burned }) {
  return pill(state, state === "settled" && !BigInt(burned) ? "plain" : TONES[state] ?? "plain");
}

/** What comes at the deadline if nobody acts before. */
export const thenText = (then) => THEN[then] ?? then;

/** The states that an order passes as far as is known now, the present one among them. */
export function wayOf(order) {
  const isUnbegun = order.state === "settled" && !order.receipt;
  const states = WAYS[order.state] ?? (isUnbegun ? UNBEGUN : [...SERVED, "settled"]);
  return order.queue_until_ms || order.state === "queued" ? ["queued", ...states] : states;
}

/** The way as a list of steps; those behind, the present one, those ahead. */
export function stepper(order) {
  const states = wayOf(order);
  const at = states.indexOf(order.state);
  return way("The way of this order", states.map((state, place) => ({
    name: format.capital(state),
    why: MEANINGS[state],
    kind: place > at ? "ahead" : place < at || order.has_ended ? "past" : "here",
    isHere: place === at,
    isBad: place === at && (state === "lapsed" || state === "failed"),
  })));
}

/** Who is to act, as a sentence without its end. */
export function whoText(order) {
  const { issuer, endpoint } = order;
  const who = format.capital(issuer);
  switch (order.waits_for) {
    case "hours": return order.queue_ahead === null || order.queue_ahead === undefined
      ? `Hours of ${issuer} must come free`
      : `Hours of ${issuer} must come free; ${order.queue_ahead ? `${format.plural(order.queue_ahead, "order")} are before it` : "it is the next in turn"}`;
    case "issuer": return order.state === "requested" ? `${who} is to accept it` : `${who} is to say where it serves`;
    case "holder": return `The holder is to begin, at ${endpoint}`;
    case "both": return `Compute is delivered at ${endpoint} against signed receipts`;
    case "time": return BigInt(order.remaining) ? "Nobody must act; either side may still post a receipt, or dispute it" : "Nobody must act: all of it is delivered";
    case "panel": return "The panel is to rule";
    case "block": return "The next block settles it";
    default: return "It is over";
  }
}

/** One order's top line: what is going on, for its holder. */
export function ledeOf(order) {
  const done = `${format.coins(order.burned)} of ${format.coins(order.amount)} coins delivered`;
  const back = `${format.coins(order.refunded)} came back`;
  const issuer = format.capital(order.issuer);
  switch (order.state) {
    case "queued": return `This order waits until hours of ${order.issuer} come free.`;
    case "requested": return `${issuer} was asked for compute and is to accept.`;
    case "accepted": return `${issuer} has accepted and prepares machines.`;
    case "ready": return `${issuer} is ready to serve; the holder is to begin.`;
    case "active": return `Compute is being delivered: ${done}.`;
    case "closing": return `The session is over: ${done}. Last receipts may still come.`;
    case "disputed": return `A panel rules on this order: ${done} by the highest receipt.`;
    case "cancelled": return order.is_paid ? "The order was cancelled; all of its coins came back." : "The order was cancelled; the next block pays its coins back.";
    case "lapsed": return `${issuer} did not answer in time: ${back}, with a penalty from its bond.`;
    case "failed": return `${issuer} was not ready in time: ${back}, with a penalty from its bond.`;
    case "settled": return BigInt(order.burned) ? `Settled: ${done}, ${back}.` : `Settled without any delivery: ${back}.`;
    case "ruled": return `The panel's time is over: ${done}, ${back}.`;
    default: return order.state;
  }
}

const PLACES = [
  ["burned", "Delivered", "burned, and their hours left the reserve", "good"],
  ["refunded", "Came back", "to the holder", "accent"],
  ["residual", "Claim", "what a delivery cost beyond the covered share", "warn"],
  ["remaining", "In the order", "not delivered yet", "rest"],
];

/** Where the coins of an order are: a bar of their parts, and the sum that must hold. */
export function whereCoins(order) {
  const whole = BigInt(order.amount);
  const parts = PLACES.map(([key, title, why, kind]) => ({ title, why, kind, units: BigInt(order[key]) }));
  const total = parts.reduce((sum, { units }) => sum + units, 0n);
  const shown = parts.filter(({ units, title }) => units || title !== "Claim");
  return h("div", { class: "where" },
    h("span", { class: "where-bar", role: "img", "aria-label": shown.map(({ title, units }) => `${title} ${format.coins(units)}`).join(", ") },
      parts.filter(({ units }) => units).map(({ kind, units }) => h("span", { class: `where-part ${kind}`, style: { "--share": share(units, whole) } }))),
    h("dl", null, shown.map(({ title, why, kind, units }) => h("div", { class: kind },
      h("dt", null, title), h("dd", null, amount(units)), h("dd", { class: "why" }, why)))),
    h("p", { class: "equation" }, amount(order.amount), h("span", { class: "soft" }, " escrowed"), " = ",
      shown.map(({ units, title }, at) => [at > 0 && " + ", amount(units), h("span", { class: "soft" }, ` ${title.toLowerCase()}`)]), " ",
      total === whole ? pill("nothing lost", "good") : pill("this does not add up", "bad")));
}
