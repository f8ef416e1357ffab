"""Metered sessions: a provider works, a holder checks and signs, tick by tick.

`rules` says what either side may do, as values in and values out; `job` is the work; `frames`,
`tls`, `door`, `provider` and `holder` move it over TLS; `service` keeps the chain informed.
"""
