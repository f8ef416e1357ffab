// Names that many pages need: issuers by asset, the network's prefix of addresses.

import { get, getFinal } from "./api.js";

let assets = null;

/** Of an asset its issuer; `assetOf(issuer)` goes the other way. Assets are only ever added. */
export async function issuers(signal) {
  assets ??= (await get("assets", { signal })).items;
  const byAsset = new Map(assets.map((item) => [item.asset, item.issuer]));
  const byIssuer = new Map(assets.map((item) => [item.issuer, item.asset]));
  return {
    nameOf: (asset) => byAsset.get(asset) ?? `${asset.slice(0, 8)}…`,
    assetOf: (issuer) => byIssuer.get(issuer) ?? "",
  };
}

/** The constants of the chain. */
export async function params(signal) {
  return getFinal("params", { signal });
}

/** Forget what may have grown: a new licence brings a new asset. */
export function forget() {
  assets = null;
}
