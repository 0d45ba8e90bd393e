"""Torch modules: the base of the toolkit's own layers, and the reader of all others."""
