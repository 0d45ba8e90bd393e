"""Published results on Lipschitz networks, one a file: statement, source, proof, numbers, wrong versions."""

#: The order in which the results build on each other.
ORDER = ["condition", "spectral", "cpl", "orthogonal", "aol", "sll"]
