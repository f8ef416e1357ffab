// Who issues coins, and are they covered?

import { get } from "../lib/api.js";
import { BANDS, coverBar, coverKey, headline, hoursEach, isShort, tone, whole } from "../lib/backing.js";
import { coverageChart, linesText } from "../lib/coverage.js";
import { h, renew } from "../lib/dom.js";
import { every } from "../lib/every.js";
import * as format from "../lib/format.js";
import { amount, empty, figures, pill, raw, section, table } from "../lib/parts.js";

const ASK_MS = 5_000;

export default async function issuers(context) {
  const { signal } = context;
  const read = () => get("issuers", { signal });
  const [found, params] = await Promise.all([read(), get("params", { signal })]);
  const lede = h("p", { class: "lede" });
  const numbers = h("div");
  const list = h("div", { class: "stack" });
  const chart = await coverageChart({ issuer: null, params, signal });
  const draw = ({ items }) => {
    const reserves = items.map((item) => item.reserve);
    renew(lede, headline(reserves).text);
    renew(numbers, items.length > 0 && totals(reserves));
    renew(list, issuersTable(items));
    chart.add(reserves);
  };
  draw(found);
  context.render("Issuers",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Issuers"), lede,
      h("p", { class: "note" }, "A coin is one hour of standard compute, owed by the issuer whose colour it bears. The reserve is what independent attestors vouch that this issuer's machines can still deliver.")),
    numbers,
    section("Coins and the hours behind them", null, list),
    found.items.length > 0 && section("Coverage over time", `Of the issuer that covers its coins least. ${linesText(params, "it")}`, chart.node),
    section("What the bands mean", null, bands(params)),
    raw(found, "issuers"));
  every(ASK_MS, async () => draw(await read()), signal);
}

function totals(reserves) {
  const sum = (key) => format.sum(reserves.map((item) => item[key]));
  const short = reserves.filter(isShort).length;
  return figures([
    { name: "Issuers", value: reserves.length },
    { name: "Coins out", value: whole(sum("outstanding")) },
    { name: "Hours attested", value: whole(sum("reserve")), note: "each issuer's cover its own coins alone" },
    { name: "Not covered", value: short, note: short === 1 ? "issuer" : "issuers", tone: short ? "bad" : "good" },
  ]);
}

function issuersTable(items) {
  const rows = table("Issuers, their coins and their reserves", [
    { name: "Issuer", cell: (item) => [h("a", { href: `/ui/issuer/${item.id}` }, h("strong", null, item.id)), h("span", { class: "why" }, item.name)] },
    { name: "Hours for each coin", number: true, cell: ({ reserve }) => h("strong", { class: "large" }, BigInt(reserve.outstanding) ? hoursEach(reserve.coverage_ppm) : "–") },
    { name: "Coins out and hours attested", wide: true, cell: ({ reserve }) => [coverBar(reserve), h("span", { class: "under" }, h("span", null, amount(reserve.outstanding), " coins"), h("span", null, amount(reserve.reserve), " h"))] },
    { name: "Band", cell: ({ reserve }) => pill(reserve.status, tone(reserve.status)) },
    { name: "Licence", cell: (item) => item.licence },
  ], items, empty("No issuer", "Nobody is licensed to issue coins on this chain yet. Validators and the regulator grant licences together.", "marsa licence grant --help"));
  return [rows, items.length > 0 && coverKey(items.map((item) => item.reserve))];
}

function bands({ margin_ppm: margin, economy }) {
  const rules = {
    healthy: `coins out ≤ ${format.percent(1_000_000 - margin)} of the hours, and ${format.percent(economy.deliverability_ppm)} of them deliverable in seven days`,
    warn: "coins out ≤ hours, but not that",
    deficit: `coins out > hours; the issuer has ${format.duration(economy.cure_ms)} to mend it`,
    caged: `a deficit of more than ${format.duration(economy.cure_ms)}`,
  };
  return h("dl", { class: "bands" }, Object.entries(BANDS).map(([name, band]) => h("div", null,
    h("dt", null, pill(name, band.tone)), h("dd", null, band.means, h("span", { class: "why" }, format.capital(rules[name]), ".")))));
}
