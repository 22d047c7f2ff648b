"""Differential privacy of clients: noise, accounting, the ledger, and what the loop sees of them."""
