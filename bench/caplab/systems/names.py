"""What the two systems are called in matrix, results and report."""

ETCD, OURS = "etcd", "ours"
SYSTEMS = (ETCD, OURS)
