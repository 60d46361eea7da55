"""How the load speaks to each system: one interface, an adapter for each."""
