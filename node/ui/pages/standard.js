// What does a coin buy, and will that change?

import { get, withQuery } from "../lib/api.js";
import { hoursEach, tone } from "../lib/backing.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import * as clock from "../lib/ledger_clock.js";
import { amount, empty, notice, pill, raw, section, table, when } from "../lib/parts.js";
import { UNITS } from "../lib/standard_words.js";
import { way } from "../lib/way.js";

const ASK_MS = 3_000;
const PPM = 1_000_000;
const HISTORY = 200;

export default async function standard(context) {
  const { signal } = context;
  const read = () => Promise.all([get("standards", { signal }), get(withQuery("standards/history", { limit: HISTORY }), { signal })]);
  const [params] = await Promise.all([get("params", { signal }), clock.start(signal)]);
  const first = await read();
  const parts = { lede: h("p", { class: "lede" }), step: h("div", { class: "stack" }), units: h("div"), factors: h("div"), time: h("div"), impact: h("div") };
  const draw = ([found, history]) => {
    renew(parts.lede, ledeOf(found));
    renew(parts.step, stepNotice(found));
    renew(parts.units, units(found));
    renew(parts.factors, factors(found));
    renew(parts.time, timeline(found, history, params));
    renew(parts.impact, impact(found));
  };
  draw(first);
  context.render("Standard",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Standard"), parts.lede,
      h("p", { class: "note" }, "A coin is one hour of standard compute. The standard says how much work that is, and follows the machines of the day: it only ever gives a coin more.")),
    parts.step,
    section("What a coin buys", "Units of a reference job for each workload, whatever machines serve it.", parts.units),
    section("What an hour of a machine is worth", "In coins, for each class of machines and workload.", parts.factors),
    section("Versions", `A step cuts no factor by more than ${format.percent(params.economy.step_ppm)}, which the margin of ${format.percent(params.margin_ppm)} bears: it never breaks a coin that was covered.`, parts.time),
    section("What a step does to issuers", "The same hours, measured by the standard to come where one is announced. Who lacks hours then mints none until it adds them; no coin that was covered loses its cover.", parts.impact),
    raw(first[0], "standards"));
  every(ASK_MS, async () => draw(await read()), signal);
}

function ledeOf({ active }) {
  const [first, ...others] = active.references;
  if (!first) return "The standard names no workload.";
  const parts = [first, ...others].filter(({ workload }) => workload !== "hashing" || active.references.length === 1)
    .map(({ workload, units: count }) => `${format.count(count)} units of ${workload}`);
  return `One coin buys ${parts.length > 2 ? `${parts.slice(0, -1).join(", ")}, or ${parts[parts.length - 1]}` : parts.join(" or ")}.`;
}

function stepNotice({ state, step, active, deadline_ms: deadline }) {
  if (!step) return null;
  const { version } = step.standard;
  const raised = step.standard.references.filter((item) => item.units !== unitsOf(active, item.workload)).map(({ workload }) => workload);
  const what = raised.length ? `raises ${format.listed(raised)}; no factor falls by more than ${format.percent(step.cut_ppm)}` : "adds machines or workloads";
  const shown = stepWay(state, step, deadline);
  if (state === "draft") {
    return [shown, notice("plain", `Standard ${version} is a draft`, h("p", null, `Receipts say that machines have become faster: it ${what}. It binds nobody, and lapses `, clock.until(deadline), " unless validators propose it."))];
  }
  return [shown, notice("warn", `Standard ${version} is announced`, h("p", null, `It ${what}. In force `, h("strong", null, clock.until(deadline)), ", at the start of a period. Orders that are open keep what is better for their holders."))];
}

// A draft may be left out: validators announce what they like within the bounds.
function stepWay(state, step, deadline) {
  const isDraft = state === "draft";
  return way(`The way of standard ${step.standard.version}`, [
    isDraft && { name: "Draft", why: "advised by receipts", kind: "here", isHere: true },
    { name: "Announced", why: isDraft ? "by a quorum of validators" : [format.utc(clock.wall(step.noticed_ms)), "; its numbers stand"], kind: isDraft ? "ahead" : "here", isHere: !isDraft },
    { name: "In force", why: isDraft ? "after its notice" : clock.until(deadline), kind: "ahead" },
  ].filter(Boolean));
}

const unitsOf = (version, workload) => version.references.find((item) => item.workload === workload)?.units ?? null;
const factorOf = (version, deviceClass, workload) =>
  version.factors.find((item) => item.device_class === deviceClass && item.workload === workload)?.factor ?? null;

function units({ active, step }) {
  const later = step?.standard ?? null;
  return table("Units of each workload that a coin buys", [
    { name: "Workload", cell: ({ workload }) => h("strong", null, workload) },
    { name: "Units a coin", number: true, cell: ({ workload }) => figure(unitsOf(active, workload), format.count) },
    later && { name: `From standard ${later.version}`, number: true, cell: ({ workload, units: count }) => change(unitsOf(active, workload), count, format.count) },
    { name: "One unit", wide: true, cell: ({ workload }) => h("span", { class: "soft" }, UNITS[workload] ?? "as the chain's founding documents define it") },
  ].filter(Boolean), (later ?? active).references, empty("No workload", "The standard names none."));
}

function factors({ active, step }) {
  const later = step?.standard ?? null;
  const all = (later ?? active).factors;
  const workloads = [...new Set(all.map((item) => item.workload))].sort();
  const classes = [...new Set(all.map((item) => item.device_class))].sort();
  const cell = (deviceClass, workload) => {
    const [now, then] = [factorOf(active, deviceClass, workload), later && factorOf(later, deviceClass, workload)];
    if (now === null && !then) return h("span", { class: "soft absent", title: "not served by this class" }, "–");
    return later && now !== then ? [figure(now, format.coins), h("span", { class: "why" }, "then ", change(now, then, format.coins))] : figure(now, format.coins);
  };
  return table("Coins that an hour of a class is worth", [
    { name: "Class", cell: (deviceClass) => h("strong", null, deviceClass) },
    ...workloads.map((workload) => ({ name: format.capital(workload), number: true, cell: (deviceClass) => cell(deviceClass, workload) })),
  ], classes, empty("No class", "The standard names no machines."));
}

const figure = (value, show) => (value === null ? h("span", { class: "soft" }, "new") : show(value));

function change(before, after, show) {
  if (before === null) return [show(after), " ", pill("new", "accent")];
  if (before === after) return show(after);
  const ppm = Math.round((Math.abs(after - before) / before) * PPM);
  return [show(after), h("span", { class: "why" }, `${after > before ? "+" : "−"}${format.percent(ppm)}`)];
}

function timeline({ active, step, state, deadline_ms: deadline }, { items, next_cursor: cursor }, { economy }) {
  const entries = items.map((item) => entry(item, "past", "was in force", [when(clock.wall(item.since_ms)), " to ", format.utc(clock.wall(item.until_ms))]));
  entries.push(entry(active, "now", "in force", ["since ", when(clock.wall(active.since_ms))]));
  if (step) {
    const noticed = [state === "draft" ? "drafted " : "announced ", when(clock.wall(step.noticed_ms))];
    entries.push(entry(step.standard, "next", state === "draft" ? "draft" : "announced", [...noticed, state === "draft" ? ", lapses " : ", in force ", clock.until(deadline)], active));
  } else {
    entries.push(h("li", { class: "none" }, h("p", null, "No step is open."), h("p", { class: "why" },
      `Validators may propose one at any time; it is announced for ${format.duration(economy.notice_ms)}, and comes ${format.duration(economy.step_spacing_ms)} after the last at the earliest. Where receipts show that machines outrun the standard by ${format.percent(economy.trigger_ppm)}, the chain drafts one itself.`)));
  }
  return [cursor && h("p", { class: "note" }, `The first ${HISTORY} versions; there are more.`), h("ol", { class: "versions" }, entries)];
}

function entry(version, kind, word, moments, before = null) {
  const shown = version.references.filter((item) => !before || item.units !== unitsOf(before, item.workload));
  return h("li", { class: kind }, h("p", null, h("strong", null, `Standard ${version.version}`), " ", pill(word, kind === "now" ? "good" : kind === "next" ? "warn" : "plain")),
    h("p", null, moments),
    h("p", { class: "why" }, shown.map((item) => `${item.workload} ${format.count(item.units)}`).join(" · ")));
}

function impact({ issuers, step }) {
  return table("What the step does to each issuer", [
    { name: "Issuer", cell: (item) => h("a", { href: `/ui/issuer/${item.issuer}` }, h("strong", null, item.issuer)) },
    { name: "Coins out", number: true, cell: (item) => amount(item.outstanding) },
    { name: "Hours a coin", number: true, cell: (item) => each(item.reserve, item.outstanding) },
    step && { name: "After the step", number: true, cell: (item) => each(item.reserve_after, item.outstanding) },
    { name: step ? "May mint then" : "May mint", cell: (item) => (BigInt(item.missing) ? pill("lacks hours", "warn") : pill("yes", tone("healthy"))) },
    { name: "Hours it needs", wide: true, cell: (item) => (BigInt(item.missing) ? needs(item) : h("span", { class: "soft" }, "none")) },
  ].filter(Boolean), issuers, empty("No issuer", "Nobody's hours are measured by the standard yet."));
}

function each(reserve, outstanding) {
  return BigInt(outstanding) ? hoursEach(Number((BigInt(reserve) * BigInt(PPM)) / BigInt(outstanding))) : "–";
}

function needs({ hours, missing }) {
  if (!hours.length) return `${format.coins(missing)} hours of the standard`;
  const parts = hours.map((item) => `${format.count((BigInt(item.microhours) + 999_999n) / 1_000_000n)} h of ${item.device_class}`);
  return parts.length === 1 ? parts[0] : `${parts.slice(0, -1).join(", ")} or ${parts[parts.length - 1]}`;
}
