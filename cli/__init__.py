"""The command `marsa`: thin commands over the HTTP API of a node."""
