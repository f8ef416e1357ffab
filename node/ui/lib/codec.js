// Bytes as the chain has them: MessagePack, tagged hashes, addresses. Enough to check a proof
// without trusting the node that gives it. The rules are those of docs/PROTOCOL.md.

const ITEMS_MAX = 4_096; // of one array: far above what 16 KiB of a transaction hold
const CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const BECH32M = 0x2bc830a3;
const text = new TextEncoder();

/** Bytes of strict lower-case hex; throws for anything else. */
export function unhex(hex) {
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw new Error("not hex");
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Bytes as hex. */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** All parts in one. */
export function join(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** SHA-256 over a tag and parts, each after its length: H(name, part, …). */
export async function taggedHash(name, ...parts) {
  const tag = text.encode(`marsa/1/${name}`);
  const data = [Uint8Array.of(tag.length), tag];
  for (const part of parts) data.push(bigEndian(part.length, 4), part);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...data)));
}

/** A whole number in so many bytes, the highest first. */
export function bigEndian(number, size) {
  const bytes = new Uint8Array(size);
  let left = BigInt(number);
  for (let at = size - 1; at >= 0; at -= 1) {
    bytes[at] = Number(left & 255n);
    left >>= 8n;
  }
  return bytes;
}

/** The shortest MessagePack of whole numbers, texts, bytes and arrays of them. */
export function pack(value) {
  if (value instanceof Uint8Array) return packBytes(value);
  if (Array.isArray(value)) {
    const head = value.length < 16 ? Uint8Array.of(0x90 | value.length) : join(Uint8Array.of(0xdc), bigEndian(value.length, 2));
    return join(head, ...value.map(pack));
  }
  if (typeof value === "string") {
    const bytes = text.encode(value);
    const head = bytes.length < 32 ? Uint8Array.of(0xa0 | bytes.length) : Uint8Array.of(0xd9, bytes.length);
    return join(head, bytes);
  }
  return packNumber(BigInt(value));
}

/**
 * Read MessagePack as far as transactions use it. Arrays become {items, bytes}, where `bytes` is
 * what was read; numbers become BigInt. Throws for other types and for bytes that are left.
 */
export function unpack(bytes) {
  const reader = { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at: 0 };
  const value = read(reader, 0);
  if (reader.at !== bytes.length) throw new Error("bytes are left");
  return value;
}

/** The address of a lock on the network whose addresses begin with `prefix`. */
export function address(lock, prefix) {
  const data = regroup(join(Uint8Array.of(0), lock));
  const expanded = [...text.encode(prefix)].map((byte) => byte >> 5).concat(0, [...text.encode(prefix)].map((byte) => byte & 31));
  const sum = polymod([...expanded, ...data, 0, 0, 0, 0, 0, 0]) ^ BECH32M;
  const check = [0, 1, 2, 3, 4, 5].map((at) => (sum >>> (5 * (5 - at))) & 31);
  return `${prefix}1${[...data, ...check].map((value) => CHARSET[value]).join("")}`;
}

const TAGS = { key: 1, threshold: 2, after: 3, before: 4, hash: 5, all: 6, any: 7 };

/** The lock of a spending condition as the API writes it: H("lock", condition). */
export async function lockOf(condition) {
  return taggedHash("lock", pack(conditionFields(condition)));
}

function conditionFields(item) {
  const tag = TAGS[item.type];
  if (item.type === "key") return [tag, unhex(item.key)];
  if (item.type === "threshold") return [tag, item.needed, item.keys.map(unhex)];
  if (item.type === "hash") return [tag, unhex(item.digest)];
  if (item.type === "all" || item.type === "any") return [tag, item.parts.map(conditionFields)];
  return [tag, item.unit, item.value];
}

function packBytes(value) {
  const size = value.length;
  if (size < 256) return join(Uint8Array.of(0xc4, size), value);
  return join(Uint8Array.of(0xc5), bigEndian(size, 2), value);
}

function packNumber(number) {
  if (number < 0n) throw new Error("no number here is negative");
  if (number < 128n) return Uint8Array.of(Number(number));
  for (const [head, size] of [[0xcc, 1], [0xcd, 2], [0xce, 4], [0xcf, 8]]) {
    if (number < 1n << BigInt(8 * size)) return join(Uint8Array.of(head), bigEndian(number, size));
  }
  throw new Error("a number of more than 64 bits");
}

function read(reader, depth) {
  if (depth > 32) throw new Error("nested too deep");
  const start = reader.at;
  const head = take(reader, 1)[0];
  if (head < 0x80) return BigInt(head);
  if (head >= 0x90 && head < 0xa0) return readArray(reader, head & 15, start, depth);
  if (head >= 0xa0 && head < 0xc0) return new TextDecoder("utf-8", { fatal: true }).decode(take(reader, head & 31));
  switch (head) {
    case 0xc2: return false;
    case 0xc3: return true;
    case 0xc4: return take(reader, number(reader, 1));
    case 0xc5: return take(reader, number(reader, 2));
    case 0xcc: return readUint(reader, 1);
    case 0xcd: return readUint(reader, 2);
    case 0xce: return readUint(reader, 4);
    case 0xcf: return readUint(reader, 8);
    case 0xd9: return new TextDecoder("utf-8", { fatal: true }).decode(take(reader, number(reader, 1)));
    case 0xda: return new TextDecoder("utf-8", { fatal: true }).decode(take(reader, number(reader, 2)));
    case 0xdc: return readArray(reader, number(reader, 2), start, depth);
    default: throw new Error(`a value that no transaction has: ${head.toString(16)}`);
  }
}

function readArray(reader, length, start, depth) {
  if (length > ITEMS_MAX) throw new Error("too many items");
  const items = [];
  for (let at = 0; at < length; at += 1) items.push(read(reader, depth + 1));
  return { items, bytes: reader.bytes.subarray(start, reader.at) };
}

function readUint(reader, size) {
  return take(reader, size).reduce((total, byte) => (total << 8n) | BigInt(byte), 0n);
}

function number(reader, size) {
  return Number(readUint(reader, size));
}

function take(reader, size) {
  if (reader.at + size > reader.bytes.length) throw new Error("bytes are missing");
  reader.at += size;
  return reader.bytes.subarray(reader.at - size, reader.at);
}

function regroup(bytes) {
  const groups = [];
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held & 31) << 8) | byte; // below five bits are left over from the byte before
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      groups.push((held >> bits) & 31);
    }
  }
  if (bits) groups.push((held << (5 - bits)) & 31);
  return groups;
}

function polymod(values) {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    GENERATOR.forEach((generator, at) => {
      if ((top >>> at) & 1) sum ^= generator;
    });
  }
  return sum >>> 0;
}
