// The only place that makes elements. Text becomes text nodes, never markup, so that a memo or a
// name of somebody else's can hold anything and do nothing.

const listening = new WeakSet(); // elements that were made with handlers

/**
 * An HTML element. `props`: `class`, `on…` handlers, `style` (an object of custom properties),
 * any attribute; true sets it empty, null and false leave it out.
 * Children: nodes, texts, numbers, nested arrays; null and false are skipped.
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** Put `children` in the place of whatever `parent` holds. */
export function put(parent, ...children) {
  parent.replaceChildren(...nodes(children));
  return parent;
}

/**
 * Draw what `parent` holds anew, where that comes again and again while it is read. What did not
 * change stays the same element, so that the focus, a selection, and a part that was opened stay
 * too. An element with handlers is kept where its `data-key` is the same, for its handlers are of
 * the older drawing. Nobody may hold a part of either drawing.
 */
export function renew(parent, ...children) {
  merge(parent, nodes(children));
  return parent;
}

function merge(parent, fresh) {
  for (const [at, node] of fresh.entries()) {
    const held = parent.childNodes[at];
    if (held) meet(held, node);
    else parent.append(node);
  }
  while (parent.childNodes.length > fresh.length) parent.lastChild.remove();
}

function meet(held, node) {
  if (held.nodeName !== node.nodeName || !hearsTheSame(held, node)) {
    held.replaceWith(node);
  } else if (held.nodeType === Node.TEXT_NODE) {
    if (held.data !== node.data) held.data = node.data; // or a selection in it would go
  } else {
    takeAttributes(held, node);
    merge(held, [...node.childNodes]);
  }
}

function hearsTheSame(held, node) {
  if (!listening.has(held) && !listening.has(node)) return true;
  return held.dataset.key !== undefined && held.dataset.key === node.dataset.key;
}

function takeAttributes(held, node) {
  for (const { name } of [...held.attributes]) {
    if (name !== "open" && !node.hasAttribute(name)) held.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (held.getAttribute(name) === value) continue;
    if (name === "style") held.style.cssText = value; // the policy forbids the attribute
    else held.setAttribute(name, value);
  }
}

/** Texts and numbers as text nodes, arrays laid flat, nothing for null, undefined and false. */
export function nodes(children) {
  const found = [];
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    found.push(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return found;
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) listen(element, name.slice(2), value);
    else if (name === "style") setStyle(element, value);
    else if (name === "href") element.setAttribute(name, safeLink(value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function listen(element, name, handler) {
  element.addEventListener(name, handler);
  listening.add(element);
}

// Set one by one through the object model: the policy forbids style attributes.
function setStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

// Links lead into the explorer, to what this node answers or to a place on this page; no scheme of
// any kind gets in.
function safeLink(target) {
  const text = String(target);
  if (text === "/docs" || /^(\/ui\/|\/v1\/|#)/.test(text)) return text;
  throw new Error(`a link to ${text}`);
}
