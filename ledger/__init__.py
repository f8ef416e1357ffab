"""Pure rules of the ledger and its only storage. Nothing here waits."""
