"""Keys, derivation, coin selection and transaction building on the holder's machine."""
