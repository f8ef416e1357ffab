// A way of states as steps in a row, or one below the other where there is no room.

import { h } from "./dom.js";

/** `steps` are {name, why, kind, isHere, isBad}; kinds: past, here, ahead. `label` names it aloud. */
export function way(label, steps) {
  return h("ol", { class: "way", "aria-label": label }, steps.map(({ name, why, kind, isHere, isBad }) =>
    h("li", { class: isBad ? `${kind} bad` : kind, "aria-current": isHere ? "step" : null },
      h("span", { class: "way-name" }, name), h("span", { class: "way-why" }, why))));
}
