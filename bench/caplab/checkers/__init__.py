"""What a history says: pure functions, each with planted violations in its tests."""
