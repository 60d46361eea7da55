"""The laboratory: the same workload and the same faults against a real etcd and against ours."""
