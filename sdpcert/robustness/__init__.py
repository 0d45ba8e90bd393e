"""How far inputs may move before a classifier's answer changes: proved radii, and certified accuracy."""
