"""A deterministic world to break the shipping peer in: see docs/simulator.md."""
