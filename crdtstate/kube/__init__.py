"""Kubernetes semantics as pure functions: schemas, ownership of fields, objects as cells."""
