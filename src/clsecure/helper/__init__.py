"""Root's side: a few verbs on a socketpair. Standard library alone, and nothing else of ours."""
