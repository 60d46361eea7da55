"""The Kubernetes resource API of one peer, so that unmodified clients work against it."""
