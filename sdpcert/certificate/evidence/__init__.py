"""What shows that the matrix of a stacked condition is positive semidefinite: one kind of evidence a file."""
