"""The Kubernetes resource API over one peer's store."""
