"""The root program of `clsecure setup`: installs and removes root's own copy of the helper."""
