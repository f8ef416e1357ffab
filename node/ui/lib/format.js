// How amounts, moments and names are written. Pure functions over values of the API.

const UNITS = 1_000_000n;
const DECIMALS = 6;

/** A string of base units as coins with six decimals: "1234500000" is "1,234.500000". */
export function coins(units) {
  const { sign, whole, decimals } = coinParts(units);
  return `${sign}${whole}.${decimals}`;
}

/** The same in parts, to set the decimals apart. */
export function coinParts(units) {
  const value = BigInt(units);
  const size = value < 0n ? -value : value;
  return {
    sign: value < 0n ? "−" : "",
    whole: grouped((size / UNITS).toString()),
    decimals: (size % UNITS).toString().padStart(DECIMALS, "0"),
  };
}

/** The sum of strings of base units, as such a string. */
export function sum(amounts) {
  return amounts.reduce((total, item) => total + BigInt(item), 0n).toString();
}

/** An integer with separators between thousands. */
export function count(number) {
  return number < 0 ? `−${grouped(String(-number))}` : grouped(String(number));
}

/** "1 block", "1,204 blocks". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Parts in a million as per cent with two decimals: 12977769 is "1,297.77 %". */
export function percent(ppm) {
  const hundredths = BigInt(ppm) / 100n;
  return `${grouped((hundredths / 100n).toString())}.${pad(hundredths % 100n)} %`;
}

/** Bytes in the unit that keeps the figure short. */
export function bytes(size) {
  if (size < 1024) return `${count(size)} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** A length of time: "40 ms", "4.2 s", "3 min", "2 h", "9 days". */
export function duration(ms) {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${count(Math.round(seconds / 86_400))} days`;
}

/** How long before `now` (both milliseconds since 1970) a moment is, or how long after. */
export function relative(timeMs, now) {
  const past = now - timeMs;
  if (Math.abs(past) < 1_000) return "now";
  const seconds = Math.abs(past) < 90_000 ? `${Math.round(Math.abs(past) / 1_000)} s` : null;
  const length = seconds ?? duration(Math.abs(past));
  return past < 0 ? `in ${length}` : `${length} ago`;
}

/** "2026-11-29 19:09:25 UTC". */
export function utc(timeMs) {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** The ends of a long name; what stands between is in the title and on the clipboard. */
export function short(text, head = 8, tail = 6) {
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** Hex of a memo as text where it is UTF-8, else null. */
export function textOfHex(hex) {
  const data = Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    return null;
  }
}

/** "a", "a and b", "a, b and c". */
export function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

/** Small numbers as words, for sentences. */
export function word(number) {
  return ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"][number]
    ?? count(number);
}

/** A reason of the node as a sentence. */
export function sentence(text) {
  return /[.?!…]$/.test(text) ? capital(text) : `${capital(text)}.`;
}

/** The first letter large. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ",");
}

function pad(hundredths) {
  return hundredths.toString().padStart(2, "0");
}
