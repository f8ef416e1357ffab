// Coverage over time: what the node remembers, and what this page sees from now on.

import { get, withQuery } from "./api.js";
import { hoursEach, weakest } from "./backing.js";
import { chart } from "./charts.js";
import * as live from "./live.js";

const POINTS = 300;
const PPM = 1_000_000;
const SHOWN_MAX = 100; // hours a coin: above that a chart says no more
const KEPT_MAX = 2_000; // points: hours of looking at one page

/** What the dashed lines of a chart stand for; `who` mints. */
export function linesText(params, who) {
  return `The dashed lines: at 1 hour the coins are just covered; below ${mintLevel(params).toFixed(2)} hours ${who} mints none.`;
}

const mintLevel = (params) => PPM / (PPM - params.margin_ppm);

/**
 * A chart of one issuer's coverage, or of the least of all where `issuer` is null. Gives {node,
 * add(reserves)}; `reserves` are rows of GET /v1/reserve as they are now.
 */
export async function coverageChart({ issuer, params, signal }) {
  const drawn = chart({
    title: issuer === null ? "Hours for each coin, of the weakest issuer" : "Hours for each coin",
    label: (value) => value.toFixed(value < 10 ? 1 : 0),
    kind: "line",
    marks: [{ at: 1, colour: "--bad" }, { at: mintLevel(params), colour: "--warn" }],
    signal,
  });
  const points = (await remembered(issuer, signal)).map((point) => [point.time_ms, valueOf(point.issuers, issuer)]);
  const show = () => {
    const values = points.map(([, value]) => value);
    drawn.set(points.map(([time]) => time / 1_000), values, summaryOf(values.filter((value) => value !== null)));
  };
  return {
    node: drawn.node,
    add(reserves) {
      const time = live.state.status?.sync.header_time_ms ?? Date.now();
      if (points.length && points[points.length - 1][0] >= time) points.pop(); // the same block
      points.push([time, valueOf(reserves, issuer)]);
      if (points.length > KEPT_MAX) points.shift();
      show();
    },
  };
}

async function remembered(issuer, signal) {
  return (await get(withQuery("reserve/history", { points: POINTS, issuer }), { signal })).points;
}

function valueOf(reserves, issuer) {
  const out = reserves.filter((item) => BigInt(item.outstanding) && (issuer === null || item.issuer === issuer));
  const least = weakest(out);
  return least === null ? null : Math.min(SHOWN_MAX, least.coverage_ppm / PPM);
}

function summaryOf(values) {
  if (!values.length) return "No coins were out.";
  const hours = (value) => hoursEach(Math.floor(value * PPM));
  return `From ${hours(Math.min(...values))} to ${hours(Math.max(...values))}, now ${hours(values[values.length - 1])}.`;
}
