"""The page that a results file makes: pure functions of the JSON."""
