"""What a transfer costs one node, in µs: the measurement of the ceiling, by one process alone.

Run: PYTHONPATH=. .venv/bin/python bench/transfer.py
It uses nothing but what older commits have too: `bench/compare.py` runs it in two work trees.
"""

from __future__ import annotations

import tempfile

from cli import bench_ceiling
from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint
from ledger import genesis

TRANSACTIONS = 6_000
BLOCK_TRANSACTIONS = 500
ACCOUNTS = 500


def main() -> None:
    plan = Blueprint(bytes(32), SEEDED_TIME_MS)
    with tempfile.TemporaryDirectory() as directory:
        setting = bench_ceiling.Setting(
            genesis=genesis.dump(plan.genesis),
            faucet_seed=plan.holders[-1].seed,
            transactions=TRANSACTIONS,
            block_transactions=BLOCK_TRANSACTIONS,
            accounts=ACCOUNTS,
            directory=directory,
        )
        print(f"{bench_ceiling.measure(setting, 1) * 1e6:.2f}")


if __name__ == "__main__":
    main()
