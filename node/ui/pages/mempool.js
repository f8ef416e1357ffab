// Does anything wait, and how long has it waited?

import { get } from "../lib/api.js";
import { h, renew } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { params } from "../lib/names.js";
import { amount, facts, figures, head, meter, section } from "../lib/parts.js";
import { every } from "../lib/every.js";

const ASK_MS = 1_000;

export default async function mempool(context) {
  const { signal } = context;
  const [first, constants] = await Promise.all([get("mempool", { signal }), params(signal)]);
  const lede = h("p", { class: "lede" });
  const numbers = h("div");
  const room = h("div");
  const draw = (pool) => {
    renew(lede, ledeOf(pool));
    renew(numbers, figures([
      { name: "Waiting", value: format.count(waiting(pool)), note: pool.free || pool.resent ? `${format.count(pool.free)} pay no fee, ${format.count(pool.resent)} were sent again by validators` : waiting(pool) === 1 ? "transaction" : "transactions" },
      { name: "The oldest waits", value: waiting(pool) ? format.duration(pool.oldest_pending_ms) : "–", note: "since it came to this node" },
      { name: "Size", value: format.bytes(pool.size_bytes), note: "of those that pay" },
    ]));
    renew(room, facts([
      ["Transactions", share(pool.transactions, pool.transactions_max)],
      ["Bytes", share(pool.size_bytes, pool.size_bytes_max, format.bytes)],
      ["Operations", share(pool.operations, pool.operations_max)],
    ]));
  };
  draw(first);
  context.render("Waiting",
    h("header", { class: "head" }, h("h1", { tabindex: "-1" }, "Waiting transactions"), lede),
    numbers,
    section("Room", "A node holds so much and no more; what does not fit is refused with a reason, and may be sent again.", room),
    section("What it costs", "The fee is paid in the coin that is sent. An operation of a licence holder alone is free, and few of them may wait.", facts([
      ["A byte", amount(constants.fees.per_byte, "coins")],
      ["A signature", amount(constants.fees.per_signature, "coins")],
      ["An output more than inputs", amount(constants.fees.per_new_output, "coins")],
      ["A transfer of two outputs", amount(typical(constants.fees), "coins"), "about, of one issuer's coin with one signature"],
    ])));
  every(ASK_MS, async () => draw(await get("mempool", { signal })), signal);
}

function waiting(pool) {
  return pool.transactions + pool.free + pool.resent;
}

function ledeOf(pool) {
  const count = waiting(pool);
  if (!count) return "Nothing waits. A payment that is sent now goes into the next block.";
  if (pool.oldest_pending_ms > 10_000) return `${format.capital(format.plural(count, "transaction"))} ${count === 1 ? "waits" : "wait"}, the oldest for ${format.duration(pool.oldest_pending_ms)}: blocks do not come as they should.`;
  return `${format.capital(format.plural(count, "transaction"))} ${count === 1 ? "waits" : "wait"} for a final block.`;
}

function share(value, most, write = format.count) {
  return h("span", { class: "share" }, h("span", null, `${write(value)} of ${write(most)}`), meter(value, most, `${write(value)} of ${write(most)} used`));
}

// One input and two outputs with one signature are some 470 bytes.
function typical(fees) {
  return (BigInt(fees.per_byte) * 470n + BigInt(fees.per_signature) + BigInt(fees.per_new_output)).toString();
}
