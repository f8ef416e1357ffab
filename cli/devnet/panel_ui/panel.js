// The devnet's panel: what each node does, and buttons that run the command of the same name.

import { h, put, renew } from "/ui/lib/dom.js";
import * as format from "/ui/lib/format.js";
import { empty, notice, pill, section } from "/ui/lib/parts.js";
import { NodeMap } from "/panel/map.js";

const ASK_MS = 1_000;
const KEY = "marsa.panel.key";
const main = document.getElementById("main");
const board = { map: new NodeMap(), nodes: h("div", { class: "nodes" }), done: h("div", null) };
const sides = new Map();
let state = null;
let shape = "";

const TONES = { primary: "good", voting: "good", observing: "good", "no seat": "plain", down: "bad", silent: "bad", "no quorum": "bad" };
export const toneOf = (node) => TONES[node.state] ?? "warn";

function key() {
  const given = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(given)) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname); // the key stays out of what is copied and kept
  }
  return sessionStorage.getItem(KEY);
}

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${key()}` };
  const options = body ? { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) } : { headers };
  const response = await fetch(path, { cache: "no-store", ...options });
  const value = await response.json();
  if (!response.ok) throw Object.assign(new Error(value.detail), { status: response.status, hint: value.hint });
  return value;
}

async function look() {
  try {
    draw(await ask("/state"));
  } catch (fault) {
    shape = "";
    if (fault.status === 401) {
      put(main, h("h1", { class: "hidden" }, "Devnet"), empty("This page needs the devnet's key", "It may stop nodes, so it opens only for whoever made the devnet. This command opens it:", "marsa devnet open"));
    } else {
      put(main, h("h1", { class: "hidden" }, "Devnet"), notice("bad", "The panel gives no answer", h("p", null, "It ends with the devnet. Start both with "), h("code", { class: "command" }, "marsa devnet up")));
    }
  }
}

async function act(action) {
  if (state.under_way) return;
  say(`${action.action} is under way`);
  try {
    const done = await ask("/actions", action);
    say(done.ok ? `${done.command}: done` : `${done.command}: ${done.message}`);
  } catch (fault) {
    say(fault.message);
  }
  await look();
}

function say(text) {
  document.getElementById("announce").textContent = text;
}

function draw(next) {
  state = next;
  document.getElementById("name").textContent = state.name;
  const names = state.nodes.map((node) => node.name).join();
  if (shape !== names) {
    shape = names;
    put(main, page());
  }
  renew(document.getElementById("lede"), sentence());
  renew(document.getElementById("trouble"), state.trouble && notice(state.goes_on ? "warn" : "bad", null, format.capital(`${state.trouble}.`)));
  board.map.draw(state, toneOf);
  drawCards();
  renew(board.done, history_());
  for (const button of document.querySelectorAll("button[data-links]")) {
    button.disabled = !state.has_forwarder;
    button.setAttribute("aria-disabled", String(Boolean(state.under_way)));
  }
}

// Whoever pressed a button that is gone now, as Kill is, goes on at the same node.
function drawCards() {
  const held = document.activeElement.closest(".node");
  renew(board.nodes, state.nodes.map(card));
  if (held && !held.contains(document.activeElement)) held.querySelector("button").focus();
}

function sentence() {
  const running = state.nodes.filter((node) => node.alive).length;
  const heights = state.nodes.map((node) => node.height).filter((height) => height !== null);
  const height = heights.length ? `, height ${format.count(Math.max(...heights))}` : "";
  return `${running} of ${format.plural(state.nodes.length, "node")} run${height}.`;
}

function page() {
  return h("div", { class: "page" },
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Devnet"), h("p", { class: "lede", id: "lede" }),
      h("p", { class: "note" }, "Break things here and watch the network go on. Each button runs the command that it names; it stands below, to be typed again.")),
    h("div", { id: "trouble", role: "status" }),
    h("div", { class: "board" }, section("Nodes and links", null, board.map.element), section("Nodes", null, board.nodes)),
    partition(),
    section("What was done", null, board.done));
}

function card(node) {
  const button = (action, text, options = {}) => h("button", {
    type: "button", class: options.danger ? "danger" : null, "aria-disabled": String(Boolean(state.under_way)), "data-key": `${action} ${node.name}`,
    "aria-label": `${text} ${node.name}`, onclick: () => act({ action, nodes: [node.name], ...options.more }),
  }, text);
  const stops = node.state === "paused" ? [button("resume", "Resume")] : [button("pause", "Pause")];
  const slow = state.has_forwarder ? [button("delay", "Delay 200 ms", { more: { delay_ms: 200 } })] : [];
  return h("article", { class: "node" },
    h("div", { class: "node-head" },
      h("h3", null, node.name, node.licence && h("span", null, ` ${node.licence}`)),
      pill(node.state, toneOf(node))),
    h("p", { class: "said" }, node.alive
      ? [`height ${node.height === null ? "unknown" : format.count(node.height)}, view ${node.view ?? "unknown"}, process ${node.pid}, `, explorer(node)]
      : "Its process is gone. What it had is on the disk."),
    node.warnings.map((text) => h("p", { class: "said" }, text)),
    h("div", { class: "buttons" }, node.alive ? [button("kill", "Kill", { danger: true }), stops, slow, button("restart", "Restart")] : button("restart", "Restart")));
}

// The only link out of this page: to a node of this devnet on this machine.
function explorer(node) {
  const address = state.apis[node.name];
  if (!/^http:\/\/127\.0\.0\.1:\d{1,5}$/.test(address)) return address;
  const link = h("a", { target: "_blank", rel: "noopener" }, "explorer");
  link.setAttribute("href", `${address}/ui/`);
  return link;
}

// Until somebody chooses, the second half is cut off from the first.
function sideOf(name) {
  const index = state.nodes.findIndex((node) => node.name === name);
  return sides.get(name) ?? (index < state.nodes.length / 2 ? "a" : "b");
}

function partition() {
  const choice = (node, side) => h("label", null,
    h("input", { type: "radio", name: `side-${node.name}`, checked: sideOf(node.name) === side, onchange: () => sides.set(node.name, side) }),
    side.toUpperCase());
  const rows = state.nodes.map((node) => h("div", { class: "side", role: "radiogroup", "aria-label": `Side of ${node.name}` },
    h("b", null, node.name), choice(node, "a"), choice(node, "b")));
  const group = (side) => state.nodes.map((node) => node.name).filter((name) => sideOf(name) === side);
  const cut = h("button", { type: "button", class: "danger", "data-links": true, onclick: () => act({ action: "partition", groups: [group("a"), group("b")] }) }, "Cut the links between A and B");
  const heal = h("button", { type: "button", "data-links": true, onclick: () => act({ action: "heal" }) }, "Open all links");
  const why = state.has_forwarder ? "Nodes of one side hear each other and nobody of the other side." : "On this devnet nodes are linked directly, and links cannot be cut.";
  return section("Partition", why,
    !state.has_forwarder && h("code", { class: "command" }, "marsa devnet down && marsa devnet up --faults"),
    h("fieldset", { class: "sides", disabled: !state.has_forwarder }, h("legend", { class: "hidden" }, "Sides"), rows),
    h("div", { class: "buttons" }, cut, heal));
}

function history_() {
  const under = state.under_way && h("li", null, h("time", null, "now"), h("code", null, state.under_way), pill("under way", "warn"));
  const rows = state.done.toReversed().map((done) => h("li", null,
    h("time", { datetime: new Date(done.time_ms).toISOString() }, new Date(done.time_ms).toISOString().slice(11, 19)),
    h("div", null, h("code", null, done.command), done.message && h("span", { class: "why" }, `${done.message}. `, done.hint && h("code", null, done.hint))),
    pill(done.ok ? `done in ${format.duration(done.took_ms)}` : "refused", done.ok ? "good" : "bad")));
  return under || rows.length ? h("ol", { class: "done" }, under, rows) : h("p", { class: "quiet-text" }, "Nothing yet.");
}

await look();
setInterval(() => { if (!document.hidden) look(); }, ASK_MS);
