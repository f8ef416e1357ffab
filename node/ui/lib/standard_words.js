// What the standard says: hours of a class as coins, and units of reference jobs.

/** What a unit of the reference jobs is that chains begin with; others are defined by their genesis. */
export const UNITS = {
  training: "a model of 8 billion parameters takes 1,000 tokens forwards and backwards",
  "fine-tuning": "a model of 8 billion parameters takes 1,000 tokens with adapters of rank 16",
  inference: "a model of 8 billion parameters writes 1,000 tokens, many requests at a time",
  hashing: "a small job of some milliseconds on any processor",
};

/** Of a class and workloads the least factor in millionths, as a big number; 0 where none is known. */
export function leastFactor(standard, deviceClass, workloads) {
  const found = standard.factors.filter((item) => item.device_class === deviceClass && workloads.includes(item.workload));
  return BigInt(found.length ? Math.min(...found.map((item) => item.factor)) : 0);
}
