// What stands around every page: menu, search, the line that says how the network fares.

import { get } from "./api.js";
import { h, put } from "./dom.js";
import * as format from "./format.js";
import * as live from "./live.js";
import { notice } from "./parts.js";
import { go } from "./router.js";
import { troubleOf } from "./trouble.js";

// What is looked for first stands first.
const PAGES_OF_KINDS = {
  block: (name) => `/ui/block/${name}`,
  transaction: (name) => `/ui/tx/${name}`,
  order: (name) => `/ui/redemption/${name}`,
  issuer: (name) => `/ui/issuer/${name}`,
  licence: () => "/ui/validators",
};

/** Fill menu and search; the state of the network is drawn whenever it is heard. */
export function start(pages) {
  drawMenu(pages);
  const menu = document.getElementById("menu");
  menu.addEventListener("click", () => openMenu(menu.getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.getAttribute("aria-expanded") === "true") {
      openMenu(false);
      menu.focus();
    }
    if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)) {
      event.preventDefault();
      document.getElementById("search-text").focus();
    }
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address names a page, a place on it would be lost
    document.getElementById("main").focus();
  });
  document.getElementById("search").addEventListener("submit", onSearch);
  live.on("status", drawState);
}

/** Mark where the reader is, and fold the menu. */
export function moved(page, path) {
  openMenu(false);
  put(document.getElementById("search-answer"));
  for (const link of document.querySelectorAll("#nav a")) {
    const isHere = page !== null && link.getAttribute("href") === `/ui/${page.under ?? page.path}`;
    if (isHere) link.setAttribute("aria-current", path === (page.under ?? page.path) ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
}

function drawMenu(pages) {
  const groups = new Map();
  for (const page of pages.filter((item) => item.group)) {
    groups.set(page.group, [...(groups.get(page.group) ?? []), page]);
  }
  put(document.getElementById("nav"), [...groups].map(([group, items]) => {
    const id = `nav-${group.toLowerCase()}`;
    return h("div", { class: "nav-group" }, h("p", { id }, group), h("ul", { "aria-labelledby": id },
      items.map((page) => h("li", null, h("a", { href: `/ui/${page.path}` }, page.name)))));
  }));
}

function openMenu(isOpen) {
  document.getElementById("menu").setAttribute("aria-expanded", String(isOpen));
  document.getElementById("nav").classList.toggle("open", isOpen);
}

async function onSearch(event) {
  event.preventDefault();
  const field = document.getElementById("search-text");
  const answer = document.getElementById("search-answer");
  const text = field.value.trim();
  put(answer, text ? "Looking…" : "Type a height, a hash, a txid, an address or a name.");
  if (!text) return;
  try {
    const path = await find(text);
    if (path === null) {
      put(answer, "Nothing here has that height, hash, address or name.");
      return;
    }
    put(answer);
    field.value = "";
    go(path);
  } catch (problem) {
    put(answer, format.sentence(problem.message));
  }
}

/** Where a text leads by its shape, null where it has none that we know. */
export async function find(text) {
  const plain = text.replaceAll(/[\s,]/g, "");
  if (/^\d{1,16}$/.test(plain)) return `/ui/block/${BigInt(plain)}`;
  const outpoint = /^([0-9a-f]{64}):\d+$/i.exec(plain);
  if (outpoint) return `/ui/tx/${outpoint[1].toLowerCase()}`;
  if (/^[0-9a-f]{64}$/i.test(plain)) return ofHash(plain.toLowerCase());
  if (/^[a-z]{2,8}1[02-9ac-hj-np-z]{20,}$/i.test(plain)) return `/ui/address/${plain.toLowerCase()}`;
  return /^[a-z0-9-]{1,64}$/i.test(plain) ? named(plain.toLowerCase()) : null;
}

// A txid looks like a block's hash; the node always answers for a txid, if only that it is unknown.
async function ofHash(hash) {
  const { status } = await get(`transactions/${hash}?proof=false`);
  return status !== "unknown" ? `/ui/tx/${hash}` : (await named(hash)) ?? `/ui/block/${hash}`;
}

// What has no shape of its own: the node knows its names, and one may be that of several things.
async function named(text) {
  const { items } = await get(`search?q=${encodeURIComponent(text)}`);
  const found = new Map(items.map((item) => [item.kind, item.name]));
  const kind = Object.keys(PAGES_OF_KINDS).find((one) => found.has(one));
  return kind ? PAGES_OF_KINDS[kind](found.get(kind)) : null;
}

function drawState(state) {
  const { status } = state;
  const pulse = document.getElementById("pulse");
  const banner = document.getElementById("banner");
  if (status) {
    put(document.getElementById("network"), status.network.name);
    put(document.getElementById("foot"), h("p", null,
      `Served by ${status.node.name || "a node"} (${status.node.role}, marsa ${status.node.version}). Chain `,
      h("span", { class: "mono" }, format.short(status.network.chain_id)), ". All times are UTC. ",
      h("a", { href: "/docs" }, "What it can be asked"), "."));
  }
  const trouble = troubleOf(state);
  const key = trouble ? trouble.title : "";
  if (banner.dataset.key !== key) {
    banner.dataset.key = key;
    put(banner, trouble && notice(trouble.tone, trouble.title, h("p", { class: "trouble" })));
  }
  const text = banner.querySelector(".trouble");
  if (text && trouble && text.textContent !== trouble.text) text.textContent = trouble.text;
  const word = state.lostMs ? "offline" : !status ? "connecting" : trouble?.tone === "bad" ? "stalled" : "live";
  pulse.className = `pulse ${word}`;
  pulse.textContent = word === "live" ? `Block ${format.count(status.sync.height)}` : format.capital(word);
}
