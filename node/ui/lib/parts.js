// The parts that every page is made of.

import { h, put } from "./dom.js";
import * as format from "./format.js";
import { Problem } from "./api.js";

/** The top of a page: its name, and the answer to the reader's question as a sentence. */
export function head(title, lede, ...more) {
  return h("header", { class: "head" },
    h("h1", { tabindex: "-1" }, title),
    lede && h("p", { class: "lede" }, lede),
    ...more);
}

/** A part of a page under a heading; `note` says what the reader looks at. */
export function section(title, note, ...children) {
  return h("section", { class: "section" },
    h("div", { class: "section-head" }, h("h2", null, title), note && h("p", { class: "note" }, note)),
    ...children);
}

/** Names and values. Rows are [name, value] or [name, value, explanation]; null rows are left out. */
export function facts(rows) {
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value, why]) =>
    h("div", null, h("dt", null, name), h("dd", null, value, why && h("span", { class: "why" }, why)))));
}

/** A few figures, large. Items are {name, value, note, tone}. */
export function figures(items) {
  return h("dl", { class: "figures" }, items.map(({ name, value, note, tone }) =>
    h("div", { class: tone ? `figure ${tone}` : "figure" },
      h("dt", null, name), h("dd", null, value), note && h("dd", { class: "note" }, note))));
}

/**
 * A table that turns into cards where it has no room. `columns` are {name, cell(row), number, minor,
 * wide}: what is minor is left out there, what is wide has a line of its own. Roles are written out,
 * because a table laid out otherwise loses them.
 */
export function table(caption, columns, rows, empty) {
  if (!rows.length) return empty ?? h("p", { class: "quiet-text" }, "None.");
  const cells = (row) => columns.map((column) =>
    h("td", { role: "cell", class: kinds(column), "data-name": column.name }, column.cell(row)));
  return h("div", { class: "table-room" }, h("table", { role: "table", class: "table" },
    h("caption", { class: "hidden" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map((column) =>
      h("th", { role: "columnheader", scope: "col", class: kinds(column) }, column.name)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => h("tr", { role: "row" }, cells(row))))));
}

function kinds(column) {
  return ["number", "minor", "wide"].filter((kind) => column[kind]).join(" ") || null;
}

/** Coins of an issuer: the decimals stand back, and none of them is dropped. */
export function amount(units, unit) {
  const { sign, whole, decimals } = format.coinParts(units);
  return h("span", { class: "amount" }, `${sign}${whole}`, h("span", { class: "decimals" }, `.${decimals}`),
    unit && h("span", { class: "unit" }, ` ${unit}`));
}

/** A moment as UTC with how long ago it was; the second ages by itself. */
export function when(timeMs) {
  const ago = h("span", { class: "ago", "data-since": timeMs }, format.relative(timeMs, Date.now()));
  return h("time", { datetime: new Date(timeMs).toISOString() }, format.utc(timeMs), " ", h("span", { class: "soft" }, "(", ago, ")"));
}

/** How long ago alone; the moment is in the title. */
export function ago(timeMs) {
  return h("time", { datetime: new Date(timeMs).toISOString(), title: format.utc(timeMs), "data-since": timeMs },
    format.relative(timeMs, Date.now()));
}

/** Every length of time on the page, once a second. */
export function startClock() {
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now();
    for (const item of document.querySelectorAll("[data-since]")) {
      const text = format.relative(Number(item.dataset.since), now);
      if (item.textContent !== text) item.textContent = text;
    }
  }, 1_000);
}

/** A long name, shortened, with its copy button; `href` makes it a link. `what` names it aloud. */
export function name(text, what, href, { full = false } = {}) {
  const shown = full ? text : format.short(text);
  const label = h("span", { class: full ? "mono break" : "mono", title: full ? null : text }, shown);
  return h("span", { class: "name" }, href ? h("a", { href }, label) : label, copyButton(text, what));
}

export const blockLink = (height) => h("a", { href: `/ui/block/${height}` }, format.count(height));
export const txName = (txid, options) => name(txid, "transaction id", `/ui/tx/${txid}`, options);
export const addressName = (address, options) => name(address, "address", `/ui/address/${address}`, options);

function copyButton(text, what) {
  const label = `Copy the ${what}`;
  const button = h("button", { type: "button", class: "copy", "data-key": text, "aria-label": label, title: label, onclick: copy }, icon());
  async function copy() {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = "Not copied: the browser refused";
    }
    button.classList.add("done");
    say(`${done}: ${what}`);
    setTimeout(() => button.classList.remove("done"), 1_500);
  }
  return button;
}

function icon() {
  return h("span", { class: "copy-icon", "aria-hidden": "true" });
}

/** A word with a colour and a sign, so that the colour alone says nothing. Tones: good warn bad plain. */
export function pill(text, tone = "plain") {
  return h("span", { class: `pill ${tone}` }, text);
}

/** A boxed sentence or two. */
export function notice(tone, title, ...children) {
  return h("div", { class: `notice ${tone}` }, title && h("p", { class: "notice-title" }, title), ...children);
}

/** Where there is nothing: what that means, and what to do. */
export function empty(title, text, command) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", null, text),
    command && h("code", null, command));
}

/** A share of a whole as a bar; the figure stands beside it as text. */
export function meter(value, most, label) {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  return h("span", { class: "meter", role: "img", "aria-label": label, style: { "--share": `${share * 100}%` } });
}

/** What the node said, as it said it. */
export function raw(value, path) {
  const code = h("code", null);
  const details = h("details", { class: "raw" }, h("summary", null, "Raw answer of the node"),
    path && h("p", { class: "note" }, "GET ", h("a", { href: `/v1/${path}`, target: "_blank", rel: "noopener" }, `/v1/${path}`)),
    h("pre", { tabindex: "0" }, code));
  details.addEventListener("toggle", () => {
    if (details.open && !code.textContent) code.textContent = JSON.stringify(value, null, 2);
  });
  return details;
}

/** What went wrong, in the node's words, and a way on. */
export function failure(fault, onRetry) {
  const isProblem = fault instanceof Problem;
  const title = !isProblem ? "This page failed" : { 404: "Not found", 410: "Not kept here", 0: "No answer" }[fault.status] ?? "The node refused";
  const text = isProblem ? format.sentence(fault.detail) : String(fault.message ?? fault);
  return [
    head(title, text),
    isProblem && fault.hint && h("p", { class: "note" }, format.sentence(fault.hint)),
    h("p", null, h("button", { type: "button", onclick: onRetry }, "Try again")),
  ];
}

/** A list that grows page by page: `read(cursor)` gives {items, next_cursor}, `draw(items)` a node. */
export function pager(read, draw, first) {
  const box = h("div", null, draw(first.items));
  const held = [...first.items];
  let cursor = first.next_cursor;
  const button = h("button", { type: "button", class: "more", onclick: more }, "Show more");
  const room = h("p", null, cursor && button);
  async function more() {
    button.disabled = true;
    try {
      const page = await read(cursor);
      held.push(...page.items);
      cursor = page.next_cursor;
      put(box, draw(held));
      if (!cursor) put(room, h("span", { class: "quiet-text" }, "These are all."));
    } catch (fault) {
      put(room, h("span", { class: "quiet-text" }, `${format.capital(fault.message)}. `), button);
    }
    button.disabled = false;
  }
  return [box, room];
}

/** Tell it to who listens to the page instead of looking at it. */
export function say(text) {
  document.getElementById("announce").textContent = text;
}
