// Charts over time, drawn by uPlot. It is loaded when the first chart is: most pages have none.

import { h } from "./dom.js";

const HEIGHT_PX = 170;

let library = null;

/**
 * A figure with a chart of one series over the last `windowMs`, or over all that it is given.
 * `label(value)` writes a value; `kind` is how values are drawn: points, bars, or a line that holds
 * each value until the next; `marks` are values that a line across marks, {at, colour}, by the name
 * of the colour. Gives {node, set(times_s, values, summary)}; `signal` ends it. The summary says
 * the figures in words, for a canvas says nothing to who cannot see it.
 */
export function chart({ title, label, windowMs, kind = "points", marks = [], signal }) {
  const caption = h("figcaption", null, title);
  const reading = h("span", { class: "reading", "aria-hidden": "true" });
  const room = h("div", { class: "chart-room", role: "img", "aria-label": title });
  const nothing = h("p", { class: "chart-empty" }, "Nothing to draw yet.");
  const node = h("figure", { class: "chart" }, h("div", { class: "chart-head" }, caption, reading), room, nothing);
  let plot = null;
  let data = [[], []];

  async function draw() {
    const Plot = await load();
    if (signal.aborted || !room.clientWidth) return;
    plot?.destroy();
    plot = new Plot(options(Plot, room.clientWidth, { label, windowMs, kind, marks, reading }), data, room);
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
      nothing.hidden = values.some((value) => value !== null);
      room.classList.toggle("blank", !nothing.hidden);
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

function options(Plot, width, { label, windowMs, kind, marks, reading }) {
  const colour = (name) => colourOf(name, reading);
  const axis = {
    stroke: colour("--ink-soft"),
    font: `12px ${getComputedStyle(reading).fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour("--line"), width: 1 },
  };
  const accent = colour("--accent");
  const series = {
    bars: { fill: accent, width: 0, paths: Plot.paths.bars({ size: [0.72, 14] }), points: { show: false } },
    points: { stroke: accent, paths: () => null, points: { show: true, size: 5, fill: accent, stroke: accent } },
    line: { stroke: accent, width: 2, paths: Plot.paths.stepped({ align: 1 }), points: { show: (plot) => plot.data[0].length < 3, size: 6, fill: accent } },
  }[kind];
  const span = windowMs ? () => [(Date.now() - windowMs) / 1_000, Date.now() / 1_000] : wholeSpan;
  const top = Math.max(0, ...marks.map(({ at }) => at));
  return {
    width,
    height: HEIGHT_PX,
    padding: [10, 28, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: true, range: span }, y: { range: (_, __, most) => [0, Math.max(most, top) > 0 ? Math.max(most, top) * 1.15 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 70, values: (plot, times) => times.map((at) => moment(at, plot)) },
      { ...axis, size: 58, space: 34, values: (_, values) => values.map(label) },
    ],
    series: [{}, series],
    hooks: {
      setCursor: [(plot) => { reading.textContent = read(plot, label); }],
      drawAxes: [(plot) => marks.forEach(({ at, colour: name }) => drawMark(plot, at, colour(name)))],
    },
  };
}

// As the theme of the moment has it: the name itself stands for one of two colours.
function colourOf(name, element) {
  element.style.color = `var(${name})`;
  const { color } = getComputedStyle(element);
  element.style.color = "";
  return color;
}

function read(plot, label) {
  const at = plot.cursor.idx;
  const value = at === null || at === undefined ? null : plot.data[1][at];
  return value === null || value === undefined ? "" : `${moment(plot.data[0][at], plot)}  ${label(value)}`;
}

// All that there is, a minute at the least; the library's own range of one point spans years.
function wholeSpan({ data: [times] }) {
  const first = times[0] ?? 0;
  return [first, Math.max(times[times.length - 1] ?? 0, first + 60)];
}

function drawMark(plot, value, colour) {
  const y = plot.valToPos(value, "y", true);
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio * 1.5;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

// The time of day, or the date where the chart spans days.
function moment(seconds, { scales: { x } }) {
  const text = new Date(seconds * 1_000).toISOString();
  return x.max - x.min > 172_800 ? text.slice(5, 10) : text.slice(11, 19);
}
