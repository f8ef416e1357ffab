// Whose coins a transaction spends, and what of it reaches others: the rest is change.

import { getFinal, inParallel } from "./api.js";
import { hex, lockOf } from "./codec.js";
import { sum } from "./format.js";

const ORIGINS_MAX = 12; // inputs whose origin is asked for
const AT_ONCE = 6;

/**
 * The lock of each input's coin, null where it is not known. A witness reveals the conditions of
 * all spent coins; where it is one, it is that of every input. Else the transactions that made the
 * coins tell, if `mayAsk`.
 */
export async function ownersOf({ body, witness }, { signal, mayAsk = true } = {}) {
  if (witness.conditions.length === 1) {
    const lock = hex(await lockOf(witness.conditions[0]));
    return body.inputs.map(() => lock);
  }
  if (!mayAsk) return body.inputs.map(() => null);
  return inParallel(body.inputs, AT_ONCE, async (item, at) => {
    if (at >= ORIGINS_MAX) return null;
    try {
      const { transaction } = await getFinal(`transactions/${item.txid}?proof=false`, { signal });
      return transaction?.body.outputs[item.index]?.lock ?? null;
    } catch {
      return null; // the page says less, and nothing wrong
    }
  });
}

/** What goes to others than the owners, or all where nothing does: {totals: [[asset, units]], places}. */
export function movedBy(body, owners) {
  const senders = new Set(owners.filter(Boolean));
  const given = body.outputs.filter((item) => !senders.has(item.lock));
  const totals = new Map();
  for (const item of given.length ? given : body.outputs) {
    totals.set(item.asset, sum([totals.get(item.asset) ?? "0", item.amount]));
  }
  return { totals: [...totals], places: new Set(given.map((item) => item.lock)).size };
}
