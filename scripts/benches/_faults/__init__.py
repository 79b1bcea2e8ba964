"""The faults that `scripts/benches/faults.py` inflicts: one module for each group, one function for each kind."""
