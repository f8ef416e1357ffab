// The only place that makes elements. Text becomes text nodes, never markup, so that a memo or a
// name of somebody else's can hold anything and do nothing.

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
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") setStyle(element, value);
    else if (name === "href") element.setAttribute(name, safeLink(value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

// Set one by one through the object model: the policy forbids style attributes.
function setStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

// Links lead into the explorer or to a place on this page; no scheme of any kind gets in.
function safeLink(target) {
  const text = String(target);
  if (text.startsWith("/ui/") || text.startsWith("/v1/") || text.startsWith("#")) return text;
  throw new Error(`a link to ${text}`);
}
