"""The ledger seen from outside: vectors, properties, tampering, and the separate verifier."""
