"""The systems under test, as processes."""
