"""End-to-end tests: the program as a person uses it."""
