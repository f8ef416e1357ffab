// Is the chain alive, how fast is it, and is every coin covered?

import { get } from "../lib/api.js";
import { coverBar, headline, tone, weakest } from "../lib/backing.js";
import { chart } from "../lib/charts.js";
import { h, renew } from "../lib/dom.js";
import * as format from "../lib/format.js";
import * as live from "../lib/live.js";
import { WINDOW_MS, pace } from "../lib/pace.js";
import { amount, empty, figures, pill, section, table } from "../lib/parts.js";
import { strip } from "../lib/strip.js";
import { troubleOf } from "../lib/trouble.js";

const BLOCKS = 60;
const DRAW_MS = 500;
const RESERVE_MS = 15_000;

export default async function home(context) {
  const { signal } = context;
  const [blocks, reserve] = await Promise.all([
    get(`blocks?limit=${BLOCKS}`, { signal }), get("reserve", { signal })]);
  const first = blocks.items.reverse();
  const parts = makeParts(signal);
  parts.take(first, reserve);
  context.render("", parts.nodes);
  parts.draw();
  follow(parts, first, signal);
}

function makeParts(signal) {
  const row = strip();
  const speed = pace();
  const lede = h("p", { class: "lede" });
  const numbers = h("div");
  const backing = h("div");
  const rate = chart({ title: "Transactions a second", label: (value) => value.toFixed(value < 10 ? 1 : 0), windowMs: WINDOW_MS, kind: "bars", signal });
  const latency = chart({ title: "From proposed to final, each block", label: format.duration, windowMs: WINDOW_MS, signal });
  let tip = null;
  let reserve = null;
  return {
    nodes: [
      h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Overview"), lede),
      h("section", { class: "section" }, h("h2", { class: "hidden" }, "The last blocks"), row.node, numbers),
      section("Pace", "The last two minutes, as this node saw them.", h("div", { class: "charts" }, rate.node, latency.node)),
      section("What stands behind the coins",
        "A coin is one standard compute hour of its issuer. Reserve is what attestors vouch that the issuer's machines can still deliver.", backing),
    ],
    take(blocks, newReserve) {
      if (blocks.length) {
        tip = blocks[blocks.length - 1];
        row.add(blocks);
        speed.add(blocks);
      }
      if (newReserve) {
        reserve = newReserve;
        renew(backing, issuersTable(reserve.issuers));
      }
    },
    draw() {
      const seen = speed.figures(Date.now());
      renew(lede, ledeOf(tip, reserve, seen.median));
      renew(numbers, figuresOf(tip, seen, reserve));
      rate.set(...seen.rate, `${format.plural(seen.sent, "transaction")} in the last minute.`);
      latency.set(seen.latency.map((block) => block.time_ms / 1_000), seen.latency.map((block) => block.final_after_ms),
        seen.median === null ? "No block was timed yet." : `Half of the blocks within ${format.duration(seen.median)}.`);
    },
  };
}

function follow(parts, first, signal) {
  const top = first.length ? first[first.length - 1].height : -1;
  let fresh = [];
  live.on("block", (block) => {
    if (block.height > top) fresh.push(block);
  }, signal);
  const drawing = setInterval(() => {
    if (document.hidden) return;
    parts.take(fresh, null);
    fresh = [];
    parts.draw();
  }, DRAW_MS);
  const asking = setInterval(async () => {
    if (document.hidden) return;
    try {
      parts.take([], await get("reserve", { signal }));
    } catch {
      // The banner says that the node does not answer.
    }
  }, RESERVE_MS);
  signal.addEventListener("abort", () => {
    clearInterval(drawing);
    clearInterval(asking);
  });
}

function ledeOf(tip, reserve, median) {
  const cover = headline(reserve.issuers);
  if (cover.tone === "bad") return cover.text;
  if (tip === null || tip.height === 0) return "The chain stands at its first block. Nothing was sent yet.";
  if (troubleOf(live.state)?.isStalled) return `No blocks come now. ${cover.text}`;
  const pace = median === null ? "The chain runs" : `Blocks become final in ${format.duration(median)}`;
  return `${pace}. ${cover.text}`;
}

function figuresOf(tip, seen, reserve) {
  const out = reserve.issuers.filter((item) => BigInt(item.outstanding) > 0n);
  const least = weakest(out);
  return figures([
    { name: "Height", value: tip ? format.count(tip.height) : "–", note: `${format.plural(seen.blocks, "block")} in the last minute` },
    { name: "Transactions", value: format.count(seen.sent), note: "in the last minute" },
    { name: "Final after", value: seen.median === null ? "–" : format.duration(seen.median),
      note: seen.median === null ? "no block timed yet" : `half of the blocks; 99 % in ${format.duration(seen.slow)}` },
    least
      ? { name: "Weakest coverage", value: format.percent(least.coverage_ppm), note: `of ${least.issuer}`, tone: tone(least.status) }
      : { name: "Coins out", value: "0", note: "nothing was minted" },
  ]);
}

function issuersTable(issuers) {
  return table("Issuers, their coins and their reserves", [
    { name: "Issuer", cell: (item) => h("a", { href: `/ui/issuer/${item.issuer}` }, item.issuer) },
    { name: "Coins out", number: true, cell: (item) => amount(item.outstanding) },
    { name: "Reserve, hours", number: true, cell: (item) => amount(item.reserve) },
    { name: "Coverage", number: true, cell: (item) => (BigInt(item.outstanding) ? format.percent(item.coverage_ppm) : "–") },
    { name: "Coins in the hours", wide: true, cell: coverBar },
    { name: "State", cell: (item) => pill(item.status, tone(item.status)) },
  ], issuers, empty("No issuer", "Nobody is licensed to issue coins on this chain yet."));
}
