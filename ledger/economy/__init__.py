"""The compute coin: one file per concept, a typed object and pure transitions each."""
