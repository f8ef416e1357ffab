// A transaction's proof, checked here instead of believed. Each step is one thing that holds or does
// not; the first that fails ends the check. What is not checked is said in the last sentence.
//
//   bytes of the transaction -> txid, leaf -> Merkle path -> tx_root in the header -> header's hash
//   -> signatures of a quorum of the set that the header names -> that set, back to the first one

import { bigEndian, hex, pack, taggedHash, unhex, unpack } from "./codec.js";
import { get, getFinal, inParallel } from "./api.js";
import { listed, plural } from "./format.js";

const COMMIT = 2;
const CHANGES_MAX = 200; // of the validators, each some signatures

const HEADER_FIELDS = [
  ["version"], ["chain_id", unhex], ["epoch"], ["height"], ["parent_hash", unhex], ["tx_root", unhex],
  ["evidence_root", unhex], ["receipts_root", unhex], ["state_root", unhex], ["validators_hash", unhex],
  ["next_validators_hash", unhex], ["time_ms"], ["proposer", unhex],
];

/** Why a proof does not hold, as a sentence. */
export class Refuted extends Error {}

/**
 * Check the proof of `txid`, which the page shows as `body`. `onStep(text)` hears of each step that
 * holds. Resolves to the last words; rejects with Refuted, or with a Problem where the node does
 * not answer. Throws NoEd25519 where the browser cannot check signatures.
 */
export async function checkProof({ txid, body, proof, chainId, signal, onStep }) {
  await checkEd25519();
  const { leaf } = await checkBytes(txid, body, proof);
  onStep("The transaction's bytes hash to this txid, and say what this page shows: inputs, outputs, fee and memo.");
  const { header, inclusion } = proof;
  const top = await climb(await taggedHash("merkle/leaf", leaf), inclusion);
  const root = await taggedHash("merkle/root", bigEndian(inclusion.count, 8), top);
  need(hex(root) === header.tx_root, "the path does not lead to the block's list of transactions");
  onStep(inclusion.count === 1
    ? "It is the only transaction of its block: its hash leads to the header's root."
    : `It is number ${inclusion.index + 1} of ${inclusion.count} in its block: ${plural(inclusion.path.length, "hash", "hashes")} lead to the header's root.`);
  return checkHeader({ header, certificate: proof.certificate, chainId, signal, onStep });
}

/**
 * Check that a header is final: its hash, the signatures of a quorum, and that those validators
 * follow from the first ones. As `checkProof`; a transaction or the reserve hangs on it.
 */
export async function checkHeader({ header, certificate, chainId, signal, onStep }) {
  need(header.chain_id === chainId, "the header is of another chain");
  need(hex(await headerHash(header)) === header.hash, "the header does not hash to the block's hash");
  onStep(`The header of block ${header.height} hashes to ${header.hash.slice(0, 16)}…, and so cannot be another.`);
  const members = await membersOf(header, signal);
  const signers = await checkCertificate(certificate, header, members);
  onStep(`${listed(signers)} signed it: ${signers.length} of ${members.length} validators, and ${quorum(members.length)} are a quorum.`);
  const changes = await checkChanges(header, signal);
  onStep(changes
    ? `These validators follow from the first ones by ${plural(changes, "change")}, each signed by a quorum of those before.`
    : "These are the validators that the chain began with.");
  const first = await getFinal("epochs/0/validators", { signal });
  return { chainId, firstSet: first.hash };
}

/** This browser has no Ed25519. */
export class NoEd25519 extends Error {}

/** Throws NoEd25519 where signatures cannot be checked. */
export async function checkEd25519() {
  // Also where the page came over plain HTTP from another machine: there is no crypto.subtle then.
  if (!globalThis.crypto?.subtle) throw new NoEd25519("This page did not come from a secure place (https, or this machine), so the browser lends it no cryptography.");
  try {
    await crypto.subtle.importKey("raw", new Uint8Array(32).fill(9), "Ed25519", true, ["verify"]);
  } catch (fault) {
    if (fault.name === "NotSupportedError") throw new NoEd25519("This browser cannot check Ed25519 signatures. Current versions of Chromium, Firefox and Safari can.");
  }
}

async function checkBytes(txid, body, proof) {
  const data = unhex(proof.transaction);
  need(data[0] === 1 && data[1] === 1, "these are not the bytes of a transaction");
  const [bodyPart, witnessPart] = readSealed(data.subarray(2));
  const found = await taggedHash("txid", bodyPart.bytes);
  need(hex(found) === txid, "the bytes hash to another txid");
  compareBody(bodyPart.items, body);
  const leaf = await taggedHash("wtxid", found, await taggedHash("witness", witnessPart.bytes));
  return { leaf };
}

function readSealed(data) {
  try {
    const { items } = unpack(data);
    need(items.length === 2 && items.every((item) => item.bytes) && items[0].items.length === 8, "they are of another shape");
    return items;
  } catch (fault) {
    throw new Refuted(`the bytes cannot be read: ${fault.message}`);
  }
}

// Field by field, so that the node cannot show one transaction and prove another.
function compareBody(fields, body) {
  const [version, chainId, inputs, outputs, fee, operations, expires, memo] = fields;
  const same = (shown, held) => need(String(shown) === String(held), "the bytes say something else than this page");
  same(body.version, version);
  same(body.chain_id, hex(chainId));
  same(body.expires_at_ms, expires);
  same(body.memo, hex(memo));
  same(`${body.fee.asset} ${body.fee.amount}`, `${hex(fee.items[0])} ${fee.items[1]}`);
  same(body.operations.length, operations.items.length);
  same(body.inputs.map((item) => `${item.txid} ${item.index} ${item.asset} ${item.amount}`),
    inputs.items.map(({ items }) => `${hex(items[0])} ${items[1]} ${hex(items[2])} ${items[3]}`));
  same(body.outputs.map((item) => `${item.asset} ${item.amount} ${item.lock}`),
    outputs.items.map(({ items }) => `${hex(items[0])} ${items[1]} ${hex(items[2])}`));
}

/** The top of a tree of `count` leaves whose leaf `index` is `leaf`; a last odd node moves up. */
export async function climb(leaf, { index, count, path }) {
  need(Number.isSafeInteger(index) && index >= 0 && index < count, "no such place in the list");
  const siblings = path.map(unhex);
  let top = leaf;
  for (let at = index, last = count - 1; last > 0; at = Math.floor(at / 2), last = Math.floor(last / 2)) {
    if (at % 2 === 0 && at === last) continue;
    const sibling = siblings.shift();
    need(sibling?.length === 32, "the path is too short");
    top = at % 2 ? await taggedHash("merkle/node", sibling, top) : await taggedHash("merkle/node", top, sibling);
  }
  need(siblings.length === 0, "the path is too long");
  return top;
}

/** H("header", fields in their order). */
export async function headerHash(header) {
  return taggedHash("header", pack(HEADER_FIELDS.map(([name, read]) => (read ? read(header[name]) : header[name]))));
}

/** The members of the set that a header names, in the order of their index. */
async function membersOf(header, signal) {
  const { members } = await getFinal(`epochs/${header.epoch}/validators`, { signal });
  need(hex(await setHash(header.epoch, members)) === header.validators_hash, "the node names other validators than the header");
  return members;
}

async function setHash(epoch, members) {
  return taggedHash("validators", pack([epoch, members.map((item) => [unhex(item.key), item.licence])]));
}

function quorum(n) {
  return Math.floor((n + Math.floor((n - 1) / 3) + 2) / 2);
}

/** A quorum of `members` signed the COMMIT of this header: their licences. */
async function checkCertificate(certificate, header, members) {
  const { epoch, phase, view, height, block_hash: block, signers } = certificate;
  need(phase === COMMIT && epoch === header.epoch && height === header.height && block === header.hash,
    "the certificate is of another block");
  need(signers.length === quorum(members.length), "the certificate has not a quorum of signatures");
  need(signers.every((item, at) => at === 0 || item.index > signers[at - 1].index), "a signer is named twice");
  const vote = await taggedHash("vote", unhex(header.chain_id), pack([epoch, phase, view, height, unhex(block)]));
  await inParallel(signers, 8, async ({ index, signature }) => {
    const member = members[index];
    need(member !== undefined, "a signer is no validator");
    const key = await crypto.subtle.importKey("raw", unhex(member.key), "Ed25519", false, ["verify"]);
    need(await crypto.subtle.verify("Ed25519", key, unhex(signature), vote), `the signature of ${member.licence} is wrong`);
  });
  return signers.map(({ index }) => members[index].licence);
}

/** Every change of the validators up to a header's epoch is signed by those before; how many. */
async function checkChanges(header, signal) {
  let before = (await getFinal("epochs/0/validators", { signal })).members;
  let checked = 0;
  for (let start = 0; start !== null && start < header.epoch;) {
    const page = await get(`epochs/changes?start=${start}`, { signal });
    for (const change of page.items.filter((item) => item.header.epoch < header.epoch)) {
      need(checked < CHANGES_MAX, `the validators changed more than ${CHANGES_MAX} times; use marsa tx verify-proof`);
      await checkChange(change, before);
      before = change.members;
      checked += 1;
    }
    start = page.next_epoch;
  }
  const named = hex(await setHash(header.epoch, before));
  need(named === header.validators_hash, "the validators do not follow from the first ones");
  return checked;
}

async function checkChange({ header, certificate, members }, before) {
  need(hex(await headerHash(header)) === header.hash, "a change of validators has a wrong header");
  need(hex(await setHash(header.epoch, before)) === header.validators_hash, "a change of validators starts from others");
  await checkCertificate(certificate, header, before);
  need(hex(await setHash(header.epoch + 1, members)) === header.next_validators_hash, "a change of validators leads to others");
}

function need(holds, why) {
  if (!holds) throw new Refuted(why);
}
