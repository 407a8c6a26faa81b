"""The doors for git and for GitHub's program: the human's own ones run outside."""
