// Charts over time, drawn by uPlot. It is loaded when the first chart is: most pages have none.

import { h } from "./dom.js";

const HEIGHT_PX = 170;

let library = null;

/**
 * A figure with a chart of one series. `label(value)` writes a value; `bars` draws bars instead of
 * points. Gives {node, set(times_s, values)}; `signal` ends it. The caption says the figures in
 * words, for a canvas says nothing to who cannot see it.
 */
export function chart({ title, label, bars = false, signal }) {
  const caption = h("figcaption", null, title);
  const reading = h("span", { class: "reading", "aria-hidden": "true" });
  const room = h("div", { class: "chart-room", role: "img", "aria-label": title });
  const node = h("figure", { class: "chart" }, h("div", { class: "chart-head" }, caption, reading), room);
  let plot = null;
  let data = [[], []];

  async function draw() {
    const Plot = await load();
    if (signal.aborted || !room.clientWidth) return;
    plot?.destroy();
    plot = new Plot(options(Plot, room.clientWidth, label, bars, reading), data, room);
  }
  const watch = new ResizeObserver(() => {
    if (plot === null) draw();
    else if (room.clientWidth) plot.setSize({ width: room.clientWidth, height: HEIGHT_PX });
  });
  watch.observe(room);
  document.addEventListener("marsa:theme", draw, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  signal.addEventListener("abort", () => {
    watch.disconnect();
    plot?.destroy();
  });
  return {
    node,
    set(times, values, summary) {
      data = [times, values];
      plot?.setData(data);
      room.setAttribute("aria-label", `${title}. ${summary}`);
    },
  };
}

function load() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/ui/vendor/uPlot.iife.min.js";
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("the chart library did not load"));
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = "/ui/vendor/uPlot.min.css";
    document.head.append(sheet, script);
  });
  return library;
}

function options(Plot, width, label, bars, reading) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--ink-soft"),
    font: `12px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour("--line"), width: 1 },
  };
  const series = { stroke: colour("--accent"), width: 1.5, fill: bars ? colour("--accent") : undefined };
  if (bars) Object.assign(series, { paths: Plot.paths.bars({ size: [0.72, 14] }), points: { show: false } });
  else series.points = { show: true, size: 5, fill: colour("--accent"), stroke: colour("--accent") };
  return {
    width,
    height: HEIGHT_PX,
    padding: [10, 8, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: true }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, space: 70, values: (_, times) => times.map(clock) },
      { ...axis, size: 58, space: 34, values: (_, values) => values.map(label) },
    ],
    series: [{}, series],
    hooks: { setCursor: [(plot) => { reading.textContent = read(plot, label); }] },
  };
}

function read(plot, label) {
  const at = plot.cursor.idx;
  const value = at === null || at === undefined ? null : plot.data[1][at];
  return value === null || value === undefined ? "" : `${clock(plot.data[0][at])}  ${label(value)}`;
}

function clock(seconds) {
  return new Date(seconds * 1_000).toISOString().slice(11, 19);
}
