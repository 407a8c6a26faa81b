"""Root's side: a few verbs on a socketpair. Standard library alone; imports nothing else of ours."""
