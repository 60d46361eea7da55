"""The agent of a machine: Pods as real processes, their logs and figures, and Services' ports."""
