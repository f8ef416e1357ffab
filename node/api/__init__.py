"""The HTTP API of a node: routes by topic over typed structs."""
