// What a transaction does beside moving coins, in words; and what each operation brings in or takes.

import { coins, listed, plural, utc } from "./format.js";

const hours = (microhours) => `${coins(microhours)} hours a period`;
const order = (op) => `order ${op.order.slice(0, 12)}…`;
const verdict = (op) => (op.upheld ? "upheld" : "dismissed");

const WORDS = {
  mint: (op) => `${op.issuer} mints ${coins(op.amount)} coins within its reserve`,
  burn: (op) => `burns ${coins(op.amount)} coins`,
  redeem: (op) => `redeems ${coins(op.amount)} coins of ${op.issuer}: ${op.workload} on ${op.commitment}`,
  "cancel-redemption": (op) => `the holder cancels ${order(op)} of ${op.issuer}`,
  "accept-redemption": (op) => `${op.issuer} accepts ${order(op)}`,
  "ready-redemption": (op) => `${op.issuer} has machines ready for ${order(op)}`,
  "post-receipt": (op) => `receipt ${op.receipt.number} of ${order(op.receipt)}: ${coins(op.receipt.delivered)} coins of ${op.issuer} delivered`,
  "close-redemption": (op) => `closes ${order(op)} of ${op.issuer}`,
  "dispute-redemption": (op) => `disputes ${order(op)} of ${op.issuer}, and claims ${coins(op.claimed)} coins`,
  "rule-redemption": (op) => `${op.attestor} rules on ${order(op)}: ${verdict(op)}`,
  commit: ({ terms }) => `${terms.issuer} promises ${hours(terms.microhours)} of ${terms.device_class} in ${terms.region} as ${terms.id}, for ${listed(terms.workloads)}`,
  "pledge-devices": (op) => `${op.issuer} pledges ${plural(op.devices.length, "machine")} to ${op.commitment}`,
  amend: (op) => `${op.issuer} amends ${op.commitment} to ${hours(op.microhours)} until ${utc(op.to_ms)}`,
  attest: (op) => `${op.attestor} vouches for ${hours(op.microhours)} of ${op.commitment} of ${op.issuer}, until ${utc(op.until_ms)}`,
  challenge: (op) => `challenges ${op.commitment} of ${op.issuer}, with ${coins(op.amount)} coins as a deposit`,
  rule: (op) => `${op.attestor} rules on the challenge of ${op.commitment} of ${op.issuer}: ${verdict(op)}`,
  "seal-nonce": (op) => `${op.attestor} seals its number for the audit of period ${op.period}`,
  "reveal-nonce": (op) => `${op.attestor} reveals its number for the audit of period ${op.period}`,
  "open-devices": (op) => `${op.issuer} opens ${plural(op.devices.length, "machine")} for the audit of period ${op.period}`,
  "deposit-bond": (op) => `puts ${coins(op.amount)} coins into the bond of ${op.issuer}`,
  "withdraw-bond": (op) => `takes ${coins(op.amount)} coins from the bond of ${op.issuer}`,
  freeze: (op) => `freezes ${plural(op.targets.length, "address", "addresses")} until ${utc(op.until_ms)}, by order ${op.order}`,
  "renew-order": (op) => `renews order ${op.order} until ${utc(op.until_ms)}`,
  "lift-order": (op) => `lifts order ${op.order}`,
  admit: (op) => `admits ${op.grant.name} (${op.grant.id})`,
  apply: (op) => `${op.grant.name} (${op.grant.id}) applies for a licence`,
  remove: (op) => `takes the seat of ${op.licence} away`,
  suspend: (op) => `suspends ${op.licence}`,
  revoke: (op) => `revokes the licence of ${op.licence}`,
  reinstate: (op) => `reinstates ${op.licence}`,
  "wind-down": (op) => `${op.licence} begins to wind down`,
  "rotate-key": (op) => `${op.licence} changes its ${op.role} key`,
  "validator-ready": (op) => `${op.licence} says that it is ready for its seat`,
  "end-epoch": (op) => `ends epoch ${op.epoch}`,
  evidence: (op) => `shows that ${op.licence} signed two votes at height ${op.first.height}`,
  "rotate-regulator": (op) => `changes the keys of the regulator: ${op.keys.needed} of ${op.keys.keys.length}`,
  "admit-attestor": (op) => `admits the attestor ${op.attestor.name} (${op.attestor.id})`,
  "remove-attestor": (op) => `removes the attestor ${op.attestor}`,
  "propose-standard": (op) => `proposes standard ${op.version}`,
  "withdraw-standard": (op) => `withdraws the step of the standard of ${utc(op.since_ms)}`,
};

/** One operation in words; of a kind that is not known here, its name. */
export function describe(operation) {
  return WORDS[operation.type]?.(operation) ?? operation.type.replaceAll("-", " ");
}

/**
 * What an operation brings into its transaction, as {asset, amount, name}, negative where it takes
 * it out; null for most. `assetOf(issuer)` gives an issuer's asset.
 */
export function flow(operation, assetOf) {
  const { type, amount } = operation;
  if (type === "mint") return { asset: assetOf(operation.issuer), amount: BigInt(amount), name: "minted" };
  if (type === "withdraw-bond") return { asset: operation.asset, amount: BigInt(amount), name: "from the bond" };
  if (type === "burn") return { asset: operation.asset, amount: -BigInt(amount), name: "burned" };
  if (type === "redeem") return { asset: assetOf(operation.issuer), amount: -BigInt(amount), name: "held for redemption" };
  if (type === "deposit-bond") return { asset: operation.asset, amount: -BigInt(amount), name: "into the bond" };
  if (type === "challenge" || type === "dispute-redemption") {
    return { asset: operation.asset, amount: -BigInt(amount), name: "deposited" };
  }
  return null;
}
