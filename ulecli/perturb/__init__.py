"""Error-minimising perturbations: one PGD loop and the backends that compute its gradients."""
