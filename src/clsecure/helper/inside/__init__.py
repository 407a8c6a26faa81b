"""Programs that run inside the box as the worker; each file stands alone."""
