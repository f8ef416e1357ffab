// Is this issuer's coin covered, by what, and does it keep its word?

import { get } from "../lib/api.js";
import { BANDS, coverageOf, hoursEach, isShort, tone, whole } from "../lib/backing.js";
import { challengeList, commitmentList, ladder, ladderOf, listOf, openingList } from "../lib/capacity.js";
import { coverageChart, linesText } from "../lib/coverage.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import * as clock from "../lib/ledger_clock.js";
import { amount, empty, facts, figures, name, notice, pill, raw, section, table, when } from "../lib/parts.js";

const ASK_MS = 5_000;
const stack = () => h("div", { class: "stack" });
const LICENCE_TONES = { active: "good", accused: "bad", suspended: "warn", winddown: "warn", revoked: "bad" };

export default async function issuer(context) {
  const { signal, names: { issuer: id } } = context;
  const [params] = await Promise.all([get("params", { signal }), clock.start(signal)]);
  const first = await read(id, signal);
  const chart = await coverageChart({ issuer: id, params, signal });
  const parts = { lede: h("p", { class: "lede" }), band: h("div", { class: "band" }), figures: h("div"), ladder: h("div"), commitments: h("div"), doubt: stack(), minting: h("div"), bond: stack(), conduct: h("div"), licence: stack() };
  const draw = (found) => {
    const view = { ...found, params, clock: clock.now() };
    fill(parts, view);
    chart.add([found.backing.reserve]);
  };
  draw(first);
  context.render(`Issuer ${id}`,
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, `Issuer ${id}, ${first.licence.licence.name}`), parts.lede, parts.band),
    parts.figures,
    section("Coverage over time", linesText(params, id), chart.node),
    section("From promised to free hours", "In hours of the standard, over all periods to come. Only what reaches the third step stands behind coins.", parts.ladder),
    section("Commitments", "Machines that the issuer promised, and who vouches that they are there.", parts.commitments),
    section("Doubts and audits", null, parts.doubt),
    section("What it may mint", null, parts.minting),
    section("Bond", "Coins of other issuers that it loses where it does not serve. They are no part of the reserve.", parts.bond),
    section("How it serves", null, parts.conduct),
    section("Licence", null, parts.licence),
    raw({ backing: first.backing, licence: first.licence, commitments: first.commitments.items }, `issuers/${id}/backing`));
  every(ASK_MS, async () => draw(await read(id, signal)), signal);
}

async function read(id, signal) {
  const ask = (path) => get(path, { signal });
  const [backing, licence, commitments, orders, standards, challenges, audits] = await Promise.all([
    ask(`issuers/${id}/backing`), ask(`licences/${id}`), listOf("commitments", { issuer: id }, signal),
    listOf("orders", { issuer: id, open: true }, signal), ask("standards"), ask("challenges"), ask("audits")]);
  return { id, backing, licence, commitments, orders, standard: standards.active,
    challenges: challenges.items.filter((item) => item.issuer === id),
    openings: audits.openings.filter((item) => item.issuer === id) };
}

function fill(parts, view) {
  const { backing, commitments, orders, challenges, openings } = view;
  renew(parts.lede, coverageOf(backing.reserve));
  renew(parts.band, bandText(view));
  renew(parts.figures, numbers(view));
  renew(parts.ladder, commitments.items.length > 0 && ladder(ladderOf({ ...view, commitments: commitments.items, orders: orders.items }), backing.reserve.outstanding),
    !commitments.items.length && empty("No ladder", "No hours are promised, so there is nothing to count."),
    !(commitments.isWhole && orders.isWhole) && h("p", { class: "note" }, "There are more commitments or orders than this page counts; the reserve above counts all."));
  renew(parts.commitments, commitmentList(commitments.items, view));
  renew(parts.doubt, challengeList(challenges), openingList(openings));
  renew(parts.minting, minting(view));
  renew(parts.bond, bond(view));
  renew(parts.conduct, conduct(view));
  renew(parts.licence, licenceFacts(view));
}

function bandText({ backing, params }) {
  const { state, since_ms: since } = backing;
  return [h("p", null, pill(state, tone(state)), " ", BANDS[state]?.means),
    state === "deficit" && notice("bad", null, h("p", null, "It is caged ", clock.until(since + params.economy.cure_ms), " if that is not mended before, and there is no way back."))];
}

function numbers({ backing, params }) {
  const { reserve, state, conduct: { strikes } } = backing;
  const isOut = BigInt(reserve.outstanding) > 0n;
  return figures([
    { name: "Hours for each coin", value: isOut ? hoursEach(reserve.coverage_ppm) : "–", note: isOut ? `coverage ${format.percent(reserve.coverage_ppm)}` : "no coin is out", tone: isOut ? tone(state) : null },
    { name: "Coins out", value: whole(reserve.outstanding), note: isShort(reserve) ? `${whole(BigInt(reserve.outstanding) - BigInt(reserve.reserve))} of them not covered` : "all of them covered" },
    { name: "Hours attested", value: whole(reserve.reserve), note: "the reserve" },
    { name: "Deliverable in 7 days", value: isOut ? format.percent(reserve.deliverability_ppm) : "–", note: `of coins out; below ${format.percent(params.economy.deliverability_ppm)} it mints none`, tone: isOut && reserve.deliverability_ppm < params.economy.deliverability_ppm ? "warn" : null },
    { name: "Strikes", value: strikes, note: strikes ? "acts that it missed" : "it missed nothing of late", tone: strikes ? "warn" : null },
  ]);
}

function minting({ id, backing, licence, params }) {
  const { reserve } = backing;
  const reasons = [
    licence.state !== "active" && `its licence is ${licence.state}`,
    backing.state !== "healthy" && `its band is ${backing.state}`,
    backing.is_frozen && "attestations of its hours contradict each other",
    BigInt(reserve.headroom) === 0n && "all that the margin leaves is out",
    BigInt(backing.bond_worth) < BigInt(backing.bond_required) && "its bond is short",
  ].filter(Boolean);
  const left = BigInt(backing.mint_cap) - BigInt(backing.minted);
  return facts([
    ["Now", reasons.length ? [pill("mints none", "warn"), h("span", { class: "why" }, `Because ${format.listed(reasons)}.`)] : [pill("may mint", "good")]],
    ["Room in the reserve", [amount(reserve.headroom), " coins"], `${format.percent(1_000_000 - params.margin_ppm)} of the hours, less what is out${BigInt(reserve.residual) ? " and what it owes as claims" : ""}.`],
    ["In this period", [amount(left > 0n ? left : 0n), " of ", amount(backing.mint_cap)], "So much may be minted at once, and as much again in the next period."],
    BigInt(reserve.residual) > 0n && ["Claims", [amount(reserve.residual), " coins"], `What ${id} owes to those who redeemed while not all coins were covered. Claims become coins again once they are.`],
  ]);
}

function bond({ backing }) {
  const isEnough = BigInt(backing.bond_worth) >= BigInt(backing.bond_required);
  return [
    facts([
      ["Counts for", [amount(backing.bond_worth), " of ", amount(backing.bond_required), " required ", pill(isEnough ? "enough" : "short", isEnough ? "good" : "bad")],
        backing.short_since_ms === null ? null : ["Short since ", when(clock.wall(backing.short_since_ms)), "; where that lasts its licence is suspended."]],
    ]),
    table("Parts of the bond", [
      { name: "Coins of", cell: (item) => h("a", { href: `/ui/issuer/${item.issuer}` }, item.issuer) },
      { name: "Amount", number: true, cell: (item) => amount(item.amount) },
      { name: "Counts", cell: (item) => (item.counts ? pill("yes", "good") : [pill("no", "warn"), h("span", { class: "why" }, `${item.issuer} is not active, or its own coins are not covered.`)]) },
    ], backing.bond, empty("No bond", "Nobody has put coins into its bond.", "marsa coin bond deposit --help")),
  ];
}

function conduct({ id, backing: { conduct: held }, orders }) {
  const count = orders.isWhole ? format.plural(orders.items.length, "order") : `more than ${format.plural(orders.items.length, "order")}`;
  return facts([
    ["Open orders", h("a", { href: `/ui/redemptions?issuer=${id}` }, count)],
    ["Strikes", held.strikes ? [String(held.strikes), ", one is forgiven ", clock.until(held.forgiven_ms)] : "none", "One for each period in which it did not accept, or did not serve, or lost a dispute."],
    ["Next penalty", format.percent(held.next_penalty_ppm), "Of an order that it fails now, paid to the holder from the bond. It doubles with each strike."],
    ["Penalties today", [amount(held.paid_today), " coins"]],
  ]);
}

function licenceFacts({ backing, licence: held }) {
  const { licence } = held;
  return [
    facts([
      ["Licence", [pill(held.state, LICENCE_TONES[held.state] ?? "plain"), held.cause && ` for ${held.cause}`, " since ", when(clock.wall(held.since_ms))], "What validators and the regulator let it do."],
      ["Solvency", [pill(backing.state, tone(backing.state)), " since ", when(clock.wall(backing.since_ms))], "How its coins are covered, whatever its licence says."],
      held.deadline_ms !== null && ["Next change of the licence", [format.utc(held.deadline_ms), ", ", clock.until(held.deadline_ms)]],
      ["Jurisdiction", licence.jurisdiction],
      ["Also validates", licence.validator ? `yes, seat ${licence.seat}` : "no"],
      ["Legal document", name(licence.document_hash, "hash of the legal document"), "A hash: whoever has the document can compare."],
      ["Certificate", name(licence.certificate_hash, "hash of the certificate")],
      ...held.rotations.map((item) => [`Next ${item.role} key`, [name(item.key, `next ${item.role} key`), " ", clock.until(item.after_ms)]]),
    ]),
    h("details", { class: "raw" }, h("summary", null, "Public keys of its roles"),
      facts(Object.entries(licence.keys).map(([role, key]) => [format.capital(role), name(key, `${role} key`)]))),
  ];
}
