"""Arithmetic with known errors: below everything else, imports NumPy and the BLAS kernels only."""
