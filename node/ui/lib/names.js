// Names that many pages need: issuers by asset, the network's prefix of addresses.

import { get, getFinal } from "./api.js";

const KEPT_MS = 60_000; // a new licence brings a new asset

let assets = [];
let readAt = 0;

/** {nameOf(asset), assetOf(issuer)}; of an asset that is not known its first digits. */
export async function issuers(signal) {
  if (Date.now() > readAt + KEPT_MS) {
    assets = (await get("assets", { signal })).items;
    readAt = Date.now();
  }
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
