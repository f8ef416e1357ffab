// What stands behind coins, in the words of a holder. Over answers of GET /v1/reserve and the like;
// a coin is one hour of the standard, so hours and coins are set against each other as they are.

import { h } from "./dom.js";
import * as format from "./format.js";

const PPM = 1_000_000;
const RATIO_PPM_MAX = 1_000 * PPM; // the node's ratios end at a thousandfold

/** How an issuer's coin stands: tone of its colour, and what that is for a holder. */
export const BANDS = {
  healthy: { tone: "good", means: "All coins are covered with a margin to spare. The issuer may mint more." },
  warn: { tone: "warn", means: "All coins are covered, but the margin is used up, or too few hours fall due in the next seven days. Coins move and are redeemed as ever; the issuer mints none until that is mended." },
  deficit: { tone: "bad", means: "More coins are out than hours are attested. Coins move as ever. Whoever redeems now is served the covered share, and the rest stays a claim on the issuer. It mints none." },
  caged: { tone: "bad", means: "A deficit that was not mended in time, or a wind-down that took too long. Nothing is minted any more; redemption gives the covered share, and the rest stays a claim." },
};

export const tone = (status) => BANDS[status]?.tone ?? "plain";

/** Whether more coins of an issuer are out than hours are attested for them. */
export function isShort(item) {
  return BigInt(item.outstanding) > BigInt(item.reserve);
}

/** Hours for each coin, rounded down so that no coin looks covered that is not: "12.9", "0.84". */
export function hoursEach(ppm) {
  if (ppm >= RATIO_PPM_MAX) return "over 1,000";
  const decimals = ppm >= 10 * PPM ? 1 : 2;
  const steps = 10 ** decimals;
  const shown = (Math.floor((ppm * steps) / PPM) / steps).toFixed(decimals);
  return shown.replace(/\B(?=(\d{3})+\.)/, ",");
}

/** Whole hours or coins: "3,503,997". */
export function whole(units) {
  return format.coinParts(units).whole;
}

/** One issuer's coverage as a sentence. */
export function coverageOf(item) {
  const { issuer } = item;
  if (BigInt(item.outstanding) === 0n) {
    return BigInt(item.reserve)
      ? `No coin of ${issuer} is out; ${whole(item.reserve)} hours are attested for coins to come.`
      : `No coin of ${issuer} is out, and no hours are attested.`;
  }
  if (BigInt(item.reserve) === 0n) return `No attested hour stands behind the coins of ${issuer} now.`;
  const hours = hoursEach(item.coverage_ppm);
  if (isShort(item)) return `For each coin of ${issuer} only ${hours} hours are attested: not every coin is covered.`;
  return `For each coin of ${issuer} ${hours} hours are promised and attested.`;
}

/** The coverage of all coins as {text, tone}; for the top of a page. */
export function headline(issuers) {
  const out = issuers.filter((item) => BigInt(item.outstanding) > 0n);
  const short = out.filter(isShort);
  if (!issuers.length) return { text: "Nobody is licensed to issue coins here yet.", tone: "plain" };
  if (!out.length) return { text: `No coin is out yet; ${whole(format.sum(issuers.map((item) => item.reserve)))} hours are attested for coins to come.`, tone: "plain" };
  if (short.length) {
    return { text: shortText(short), tone: "bad" };
  }
  const hours = hoursEach(weakest(out).coverage_ppm);
  const stopped = issuers.filter((item) => item.status !== "healthy").map((item) => item.issuer);
  if (stopped.length) return { text: `Every coin is covered, by ${hours} attested hours or more. ${format.capital(format.listed(stopped))} may mint none for now.`, tone: "warn" };
  return { text: `Every coin is covered: for each, ${hours} hours or more are attested.`, tone: "good" };
}

function shortText(short) {
  const names = format.listed(short.map((item) => item.issuer));
  if (short.every((item) => BigInt(item.reserve) === 0n)) return `No attested hour stands behind the coins of ${names} now.`;
  const least = weakest(short);
  const figure = `${hoursEach(least.coverage_ppm)} hours for a coin`;
  return short.length === 1
    ? `${format.capital(names)} has more coins out than attested hours: ${figure}.`
    : `${format.capital(names)} have more coins out than attested hours: ${least.issuer} has ${figure}.`;
}

/** The issuer with the least coverage of those given, null of none. */
export function weakest(items) {
  return items.reduce((least, item) => (least === null || item.coverage_ppm < least.coverage_ppm ? item : least), null);
}

/** Coins against hours as one bar: what is covered, then what is spare or missing. */
export function coverBar(item) {
  const coins = BigInt(item.outstanding);
  const hours = BigInt(item.reserve);
  const most = coins < hours ? hours : coins;
  const covered = coins < hours ? coins : hours;
  const rest = coins < hours ? hours - coins : coins - hours;
  const label = `${whole(item.outstanding)} coins out, ${whole(item.reserve)} hours attested`;
  return h("span", { class: "cover", role: "img", "aria-label": label },
    h("span", { class: "cover-coins", style: { "--share": share(covered, most) } }),
    h("span", { class: coins > hours ? "cover-missing" : "cover-spare", style: { "--share": share(rest, most) } }));
}

/** What the parts of `coverBar` are. */
export function coverKey(issuers) {
  return h("p", { class: "key" },
    h("span", { class: "key-coins" }, "coins out, covered"), h("span", { class: "key-spare" }, "hours to spare"),
    issuers.some(isShort) && h("span", { class: "key-missing" }, "coins that no hour covers"));
}

/** A part of a whole as a CSS width; both are whole numbers of any size. */
export function share(part, most) {
  return most > 0n ? `${Number((BigInt(part) * 100_000n) / most) / 1_000}%` : "0%";
}

/** The largest of big numbers given as strings. */
export function largest(values) {
  return values.map(BigInt).reduce((most, value) => (value > most ? value : most), 0n);
}
