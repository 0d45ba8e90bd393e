"""1-Lipschitz torch layers, feasible by construction."""
