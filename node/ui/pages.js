// Every page: its path below /ui/, the module that draws it, and its place in the menu. A page
// without `group` is not in the menu; `under` names the entry that is marked while it is open.

export const PAGES = [
  { path: "", name: "Overview", group: "Chain", load: () => import("./pages/home.js") },
  { path: "blocks", name: "Blocks", group: "Chain", load: () => import("./pages/blocks.js") },
  { path: "block/:at", under: "blocks", load: () => import("./pages/block.js") },
  { path: "tx/:txid", under: "blocks", load: () => import("./pages/transaction.js") },
  { path: "address/:address", under: "blocks", load: () => import("./pages/address.js") },
  { path: "mempool", name: "Waiting", group: "Chain", load: () => import("./pages/mempool.js") },
  { path: "issuers", name: "Issuers", group: "Backing", load: () => import("./pages/issuers.js") },
  { path: "issuer/:issuer", under: "issuers", load: () => import("./pages/issuer.js") },
  { path: "reserve", name: "Reserve audit", group: "Backing", load: () => import("./pages/reserve.js") },
  { path: "redemptions", name: "Redemptions", group: "Backing", load: () => import("./pages/redemptions.js") },
  { path: "redemption/:order", under: "redemptions", load: () => import("./pages/redemption.js") },
  { path: "standard", name: "Standard", group: "Backing", load: () => import("./pages/standard.js") },
  { path: "validators", name: "Validators", group: "Network", load: () => import("./pages/validators.js") },
  { path: "consensus", name: "Consensus", group: "Network", load: () => import("./pages/consensus.js") },
  { path: "network", name: "Nodes", group: "Network", load: () => import("./pages/network.js") },
];
