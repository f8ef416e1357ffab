// Supply and reserve of all coins, checked here instead of believed:
//
//   rows of the page -> leaves -> supply root -> state root in the header -> signatures of a quorum
//
// The root counts its leaves, so that no issuer's row can be left out or put in.

import { bigEndian, hex, pack, taggedHash, unhex, unpack } from "./codec.js";
import { plural } from "./format.js";
import { Refuted, checkEd25519, checkHeader } from "./proof.js";

const ROOTS = ["outputs_root", "outputs_count", "spent_root", "objects_root", "supply_root"];

/** Check an answer of GET /v1/reserve; as `checkProof` of lib/proof.js. */
export async function checkReserve({ reserve, chainId, signal, onStep }) {
  await checkEd25519();
  const roots = await openRoots(reserve);
  onStep("The header's state root opens into its five parts: outputs, their number, what is spent, objects, and supply.");
  const root = await supplyRoot(reserve.issuers);
  if (root !== hex(roots.supply_root)) throw new Refuted("these figures are not those of the supply root");
  onStep(`Coins out, reserve, coverage and what falls due of ${plural(reserve.issuers.length, "issuer")} are all that the supply root counts: none is left out, and no figure is another.`);
  return checkHeader({ header: reserve.header, certificate: reserve.certificate, chainId, signal, onStep });
}

/** The five parts of a state root, by name, from the canonical bytes that open it. */
export async function openRoots({ roots, header }) {
  let items;
  try {
    ({ items } = unpack(unhex(roots)));
  } catch (fault) {
    throw new Refuted(`the roots cannot be read: ${fault.message}`);
  }
  if (items?.length !== ROOTS.length) throw new Refuted("these are not five roots");
  const parts = items.map((item) => (item instanceof Uint8Array ? item : bigEndian(item, 8)));
  if (hex(await taggedHash("state", ...parts)) !== header.state_root) throw new Refuted("the roots are not those of the header");
  return Object.fromEntries(ROOTS.map((name, at) => [name, items[at]]));
}

async function supplyRoot(issuers) {
  const rows = [...issuers].sort((one, other) => (one.asset < other.asset ? -1 : 1));
  let level = await Promise.all(rows.map(leaf));
  while (level.length > 1) level = await Promise.all(pairs(level));
  return hex(await taggedHash("merkle/root", bigEndian(rows.length, 8), ...level));
}

async function leaf(item) {
  const line = [unhex(item.asset), BigInt(item.outstanding), BigInt(item.reserve), item.coverage_ppm, item.deliverability_ppm];
  return taggedHash("merkle/leaf", await taggedHash("supply", pack(line)));
}

// The last one alone moves up as it is.
function pairs(level) {
  const above = [];
  for (let at = 0; at < level.length; at += 2) {
    above.push(at + 1 < level.length ? taggedHash("merkle/node", level[at], level[at + 1]) : level[at]);
  }
  return above;
}
