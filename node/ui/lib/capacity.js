// Hours behind coins: the ladder from what is promised to what is free, and commitments one by one.

import { get, withQuery } from "./api.js";
import { largest, share, whole } from "./backing.js";
import { h } from "./dom.js";
import * as format from "./format.js";
import { until, wall } from "./ledger_clock.js";
import { ago, amount, empty, name, pill, table } from "./parts.js";
import { leastFactor } from "./standard_words.js";

const PAGE = 200;
const PAGES_MAX = 5; // of commitments or orders that one page asks for
const PPM = 1_000_000n;
const HOUR_MS = 3_600_000;
const STATE_TONES = { live: "good", proposed: "plain", stale: "warn", contested: "warn", void: "bad", expired: "plain" };

const WORDS = {
  proposed: "It counts nothing yet: too few groups have attested it.",
  stale: "It counts nothing until attestors renew their words: too few of them are fresh.",
  contested: "Somebody doubts it, and a panel rules. It counts until then.",
  void: "A panel found that it does not hold. It counts nothing.",
};

/** All items of a paged list: {items, isWhole}; `isWhole` is false where there are too many. */
export async function listOf(path, query, signal) {
  const items = [];
  let cursor = null;
  for (let at = 0; at < PAGES_MAX; at += 1) {
    const page = await get(withQuery(path, { ...query, limit: PAGE, cursor }), { signal });
    items.push(...page.items);
    cursor = page.next_cursor;
    if (!cursor) return { items, isWhole: true };
  }
  return { items, isWhole: false };
}

/**
 * The steps of an issuer's ladder, each {name, hours, why} in millionths of a standard hour, over
 * all that is left of its schedules. `orders` are those that are open.
 */
export function ladderOf({ commitments, orders, standard, params }) {
  const sums = { promised: 0n, attested: 0n, counted: 0n, kept: 0n };
  const factors = new Map();
  for (const item of commitments.filter(({ state }) => state !== "void")) {
    factors.set(item.id, leastFactor(standard, item.device_class, item.workloads));
    sums.promised += BigInt(item.promised);
    if (groupsOf(item) >= params.attestation_groups) sums.attested += BigInt(item.at_stake);
    sums.counted += BigInt(item.worth);
  }
  for (const order of orders) {
    sums.kept += (BigInt(order.reserved_microhours) * (factors.get(order.commitment) ?? 0n)) / PPM;
  }
  const { promised, attested, counted, kept } = sums;
  return [
    { name: "Promised", hours: promised, why: "by the issuer, for all periods to come, in hours of the standard" },
    { name: "Attested", hours: attested, why: `by ${format.word(params.attestation_groups)} independent groups or more, were all their words fresh` },
    { name: "Counted", hours: counted, why: "after the age of those words: this is the reserve" },
    { name: "Kept", hours: kept < counted ? kept : counted, why: "of these, for orders that are open" },
    { name: "Free", hours: counted > kept ? counted - kept : 0n, why: "for orders to come" },
  ];
}

/** The ladder as bars, with the coins that are out as a line across. */
export function ladder(steps, outstanding) {
  const most = largest([...steps.map(({ hours }) => hours), outstanding, 1]);
  return h("div", { class: "ladder", style: { "--mark": share(BigInt(outstanding), most) } },
    h("ol", null, steps.map(({ name: title, hours, why }) => h("li", { class: hours < BigInt(outstanding) && title !== "Kept" ? "below" : null },
      h("span", { class: "ladder-name" }, title, h("span", { class: "why" }, why)),
      h("span", { class: "ladder-track", "aria-hidden": "true" }, h("span", { class: "ladder-bar", style: { "--share": share(hours, most) } })),
      h("span", { class: "ladder-hours" }, amount(hours))))),
    h("p", { class: "key" }, h("span", { class: "key-mark" }, `the ${whole(outstanding)} coins that are out`)));
}

/** Commitments, each with who vouches for it. */
export function commitmentList(items, { standard, params, clock }) {
  if (!items.length) return empty("No hours promised", "This issuer has no commitment that is in force. Whatever coins it has out, no hours stand behind them.", "marsa capacity commit --help");
  return h("ul", { class: "commitments" }, items.map((item) => commitment(item, { standard, params, clock })));
}

function commitment(item, { standard, params, clock }) {
  const factor = leastFactor(standard, item.device_class, item.workloads);
  const id = `commitment-${item.issuer}-${item.id}`;
  return h("li", { class: "commitment", id },
    h("div", { class: "commitment-head" }, h("h3", null, item.id), pill(item.state, STATE_TONES[item.state] ?? "plain"), item.is_frozen && pill("attestations contradict each other", "warn")),
    WORDS[item.state] && h("p", { class: "note" }, WORDS[item.state]),
    h("p", null, `${format.plural(item.devices, "machine")} of class ${item.device_class} in ${item.region}, for ${format.listed(item.workloads)}.`),
    h("dl", { class: "pairs" },
      pair("Promised", [machines(item.microhours, params), " at all times"], `${format.coins(item.microhours)} device hours a period of ${format.duration(params.period_ms)}`),
      pair("Counted", [machines(item.counted_microhours, params)], `by ${format.plural(groupsOf(item), "group")} that attest`),
      pair("Worth", [amount(item.worth)], `hours of the standard; a device hour is ${format.coins(factor)} at its least`),
      item.deadline_ms !== null && pair(item.state === "proposed" ? "Lapses" : "Ends", until(item.deadline_ms), format.utc(item.deadline_ms).slice(0, 16))),
    attestations(item, params, clock));
}

const pair = (title, value, why) => h("div", null, h("dt", null, title), h("dd", null, value), why && h("dd", { class: "why" }, why));

function attestations(item, params, clock) {
  const nobody = h("p", { class: "quiet-text" }, `Nobody vouches for it yet; it takes ${format.word(params.attestation_groups)} independent groups.`);
  return table(`Who vouches for ${item.id} of ${item.issuer}`, [
    { name: "Attestor", cell: (row) => [h("strong", null, row.attestor), h("span", { class: "why" }, row.group ? `group ${row.group}` : "no longer licensed: its word does not count")] },
    { name: "Vouches for", number: true, cell: (row) => [machines(row.microhours, params), row.lower !== null && h("span", { class: "why" }, `now says ${format.coins(row.lower)} h`)] },
    { name: "Counts now", number: true, cell: (row) => machines(row.weighted, params) },
    { name: "Said", minor: true, cell: (row) => ago(wall(row.since_ms)) },
    { name: "Word", cell: (row) => freshness(row, params, clock) },
  ], item.attestations, nobody);
}

// In full for half of its life, then less with each period, then nothing.
function freshness(row, params, clock) {
  const life = params.economy.attestation_life_ms;
  const period = params.period_ms;
  const born = Math.floor(row.since_ms / period);
  const [half, end] = [Math.floor(Math.floor(life / period) / 2), Math.floor(life / period)].map((age) => (born + age) * period);
  if (clock >= end) return pill("faded", "bad");
  if (clock >= half + period) return [pill("fading", "warn"), h("span", { class: "why" }, "gone ", until(end))];
  return [pill("fresh", "good"), h("span", { class: "why" }, "fades ", until(half + period))];
}

// How many machines, running all the time, so many millionths of an hour a period are.
function machines(microhours, params) {
  const thousandths = (BigInt(microhours) * BigInt(HOUR_MS)) / (BigInt(params.period_ms) * 1_000n);
  const rounded = Number((thousandths + 5n) / 10n) / 100;
  return `${rounded.toLocaleString("en", { maximumFractionDigits: 2 })} ${rounded === 1 ? "machine" : "machines"}`;
}

function groupsOf(item) {
  return new Set(item.attestations.filter((row) => row.group).map((row) => row.group)).size;
}

/** Doubts that are open: who asked is its own affair, what is at stake is not. */
export function challengeList(items) {
  return table("Challenges", [
    { name: "Commitment", cell: (item) => h("strong", null, item.commitment) },
    { name: "State", cell: (item) => pill(item.state, { open: "warn", upheld: "bad", dismissed: "good" }[item.state]) },
    { name: "Deposit", number: true, cell: (item) => amount(item.deposit) },
    { name: "Penalty if upheld", number: true, cell: (item) => amount(item.penalty) },
    { name: "Panel", wide: true, cell: (item) => panel(item) },
    { name: "Decided", cell: (item) => until(item.deadline_ms) },
  ], items, empty("No doubt is open", "Anybody who doubts that these hours exist may challenge a commitment, with a deposit. A panel of attestors that are no party then rules.", "marsa capacity challenge --help"));
}

/** A panel with the votes that were cast; three decide. */
export function panel({ panel: members, votes }) {
  const said = new Map(votes.map((vote) => [vote.attestor, vote.upheld]));
  return h("ul", { class: "panel" }, members.map((member) => h("li", null, member, " ",
    said.has(member) ? pill(said.get(member) ? "upholds" : "dismisses", said.get(member) ? "bad" : "good") : pill("silent"))));
}

/** Machines that were drawn for a look, and how many were opened. */
export function openingList(items) {
  return table("Spot audits", [
    { name: "Period", cell: (item) => format.count(item.period) },
    { name: "Machines pledged", number: true, cell: (item) => format.count(item.devices) },
    { name: "Opened", number: true, cell: (item) => format.count(item.opened) },
    { name: "Due", cell: (item) => until(item.deadline_ms) },
    { name: "Seed", minor: true, cell: (item) => name(item.seed, "seed of the draw") },
  ], items, empty("Nothing is drawn now", "Attestors draw machines from numbers that they sealed before the period, and the issuer opens them to a benchmark within a period."));
}
