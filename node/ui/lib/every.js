// Do something again and again while a page is looked at.

import { Problem } from "./api.js";

/**
 * Call `work` each `ms` after it ended, while the page is open and in sight. Where the node does
 * not answer, the banner says so, and the next turn tries again.
 */
export function every(ms, work, signal) {
  let timer = 0;
  const turn = async () => {
    if (!document.hidden) {
      try {
        await work();
      } catch (fault) {
        if (!signal.aborted && !(fault instanceof Problem)) throw fault;
      }
    }
    if (!signal.aborted) timer = setTimeout(turn, ms);
  };
  timer = setTimeout(turn, ms);
  signal.addEventListener("abort", () => clearTimeout(timer));
}
