// A button that checks a proof in the browser: what holds, step by step, and what is left to trust.

import { h, put } from "./dom.js";
import * as format from "./format.js";
import { name, notice } from "./parts.js";
import { NoEd25519, Refuted } from "./proof.js";

/**
 * `check(onStep)` is one of the checks of lib/proof.js and its like; `command` checks the same
 * without a browser.
 */
export function checker({ button: text, check, command, signal }) {
  const steps = h("ol", { class: "steps", "aria-live": "polite" });
  const verdict = h("div", { "aria-live": "polite" });
  const button = h("button", { type: "button", class: "primary", onclick: run }, text);
  async function run() {
    button.disabled = true;
    put(steps);
    put(verdict);
    try {
      put(verdict, holds(await check((step) => steps.append(h("li", null, step))), command));
    } catch (fault) {
      if (signal.aborted) return;
      put(verdict, failed(fault, command));
    }
    button.disabled = false;
  }
  return h("div", { class: "proof" }, h("p", null, button), steps, verdict);
}

function holds({ chainId, firstSet }, command) {
  return notice("good", "The proof holds",
    h("p", null, "One thing is left to you: this node itself named the chain and its first validators. Compare both with your genesis file, or use ", h("code", null, command), ", which does."),
    h("p", null, "Chain id ", name(chainId, "chain id"), h("br"), "First validators ", name(firstSet, "hash of the first validators")));
}

function failed(fault, command) {
  if (fault instanceof NoEd25519) return notice("warn", "Not checked", h("p", null, `${fault.message} The command ${command} checks it without a browser.`));
  if (fault instanceof Refuted) return notice("bad", "The proof does not hold", h("p", null, `${format.sentence(fault.message)} Do not rely on this node; ask another one.`));
  return notice("warn", "Not checked to the end", h("p", null, format.sentence(String(fault.message))));
}
