// Paths under /ui/ and the pages that answer them. A page is a module whose default export takes a
// context and fills the main part; what it began ends with the context's signal.

import { Problem } from "./api.js";
import { h, put } from "./dom.js";
import { failure, head } from "./parts.js";

const BASE = "/ui/";

let pages = [];
let leaving = null;
let moved = null;

/** `found` is the list of pages; `onMove(page, path)` hears of every way. */
export function start(found, onMove) {
  pages = found;
  moved = onMove;
  document.addEventListener("click", followLink);
  window.addEventListener("popstate", () => show());
  show({ isFirst: true });
}

/** Go to a path such as "/ui/block/5". */
export function go(path) {
  if (path !== location.pathname + location.search) history.pushState(null, "", path);
  show();
}

/** Draw the present page again. */
export function again() {
  show({ isFirst: true });
}

/** The page for a path below /ui/ and the names in it, or null. */
export function match(list, path) {
  const parts = path.split("/").filter(Boolean);
  for (const page of list) {
    const wanted = page.path.split("/").filter(Boolean);
    if (wanted.length !== parts.length) continue;
    const names = {};
    const fits = wanted.every((part, at) => {
      if (part.startsWith(":")) names[part.slice(1)] = parts[at];
      return part.startsWith(":") || part === parts[at];
    });
    if (fits) return { page, names };
  }
  return null;
}

async function show({ isFirst = false } = {}) {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const main = document.getElementById("main");
  const path = decodeURIComponent(location.pathname.slice(BASE.length));
  const found = match(pages, path);
  moved(found?.page ?? null, path);
  if (!isFirst) window.scrollTo(0, 0);
  const context = makeContext(main, found?.names ?? {}, signal, isFirst);
  if (!found) {
    context.render("No such page", head("No such page", "Nothing is at this address. Use the menu, or look for a height, hash or address above."));
    return;
  }
  main.setAttribute("aria-busy", "true");
  try {
    const module = await found.page.load();
    if (!signal.aborted) await module.default(context);
  } catch (fault) {
    if (signal.aborted) return;
    if (!(fault instanceof Problem)) console.error(fault);
    context.render("Nothing to show", failure(fault, again));
  } finally {
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

function makeContext(main, names, signal, isFirst) {
  let isDrawn = false;
  return {
    names,
    query: new URLSearchParams(location.search),
    signal,
    /** Show `children` under a window title; draws over what was there. */
    render(title, ...children) {
      if (signal.aborted) return;
      document.title = title ? `${title} · Marsa` : "Marsa";
      put(main, h("div", { class: "page" }, ...children));
      // A reader hears where a link led; the first page is read from its beginning anyway.
      if (!isDrawn && !isFirst) main.querySelector("h1")?.focus();
      isDrawn = true;
    },
  };
}

function followLink(event) {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.("a[href]");
  if (!link || link.target || !link.getAttribute("href").startsWith(BASE)) return;
  event.preventDefault();
  go(link.getAttribute("href"));
}
