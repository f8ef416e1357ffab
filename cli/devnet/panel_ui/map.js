// Nodes on a ring and the links between them, as an image that is also said in words.

import { put } from "/ui/lib/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const SIZE = 360;
const RING = 140;
const SQUARE = 172; // four nodes stand in the corners
const DOT = 34;

export class NodeMap {
  constructor() {
    this.element = svg("svg", { class: "map", viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });
  }

  draw(state, toneOf) {
    const at = new Map(state.nodes.map((node, index) => [node.name, place(index, state.nodes.length)]));
    const alive = new Set(state.nodes.filter((node) => node.alive).map((node) => node.name));
    const links = [];
    for (const [index, one] of state.nodes.entries()) {
      for (const other of state.nodes.slice(index + 1)) links.push(this.#link(state, one.name, other.name, at, alive));
    }
    this.element.setAttribute("aria-label", words(state));
    put(this.element, links, state.nodes.map((node) => dot(state, node, at.get(node.name), toneOf(node))));
  }

  #link(state, one, other, at, alive) {
    const rules = state.links.filter((rule) => [one, other].includes(rule.source) && [one, other].includes(rule.target));
    const kind = !alive.has(one) || !alive.has(other) ? "gone" : rules.some((rule) => rule.cut) ? "cut" : rules.length ? "slow" : "";
    const [from, to] = [at.get(one), at.get(other)];
    return svg("line", { class: `link ${kind}`, x1: from.x, y1: from.y, x2: to.x, y2: to.y });
  }
}

function place(index, count) {
  const [ring, turn] = count === 4 ? [SQUARE, Math.PI / 4] : [RING, 0];
  const angle = (2 * Math.PI * index) / count - Math.PI / 2 - turn;
  return { x: Math.round(SIZE / 2 + ring * Math.cos(angle)), y: Math.round(SIZE / 2 + ring * Math.sin(angle)) };
}

function dot(state, node, { x, y }, tone) {
  const lead = node.alive && node.licence && node.licence === state.primary;
  return svg("g", { class: lead ? `${tone} lead` : tone },
    svg("circle", { cx: x, cy: y, r: DOT }),
    svg("text", { x, y }, node.name),
    svg("text", { class: "under", x, y: y + 15 }, node.height === null ? node.state : node.height));
}

function words(state) {
  const cut = state.links.filter((rule) => rule.cut).length;
  const slow = state.links.length - cut;
  const nodes = state.nodes.map((node) => `${node.name} ${node.state}`).join(", ");
  return `${nodes}. ${cut} ways cut, ${slow} slow.`;
}

// Text becomes text nodes here as everywhere.
function svg(tag, props, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, String(value));
  element.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}
