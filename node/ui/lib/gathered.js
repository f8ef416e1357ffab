// Many calls in a short time as one.

import { Problem } from "./api.js";

/** A function that has `work` done once, `ms` after the first call that asks for it. */
export function gathered(ms, work, signal) {
  let timer = 0;
  const run = async () => {
    timer = 0;
    try {
      await work();
    } catch (fault) {
      if (!signal.aborted && !(fault instanceof Problem)) throw fault; // the banner says what is wrong
    }
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    if (!timer && !signal.aborted) timer = setTimeout(run, ms);
  };
}
