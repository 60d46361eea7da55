"""EDGE: runs one command where a container's process is: its mounts, directory and user.

For probes and hooks. Arguments: a JSON object {pid, cwd, uid, gid, groups, argv, env}.
"""

import ctypes
import json
import os
import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Enter the namespaces of the process, and become the command."""
    given = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    root = os.open(f"/proc/{given['pid']}/root", os.O_RDONLY | os.O_DIRECTORY)
    for name in ("user", "mnt"):
        place = f"/proc/{given['pid']}/ns/{name}"
        if os.readlink(place) == os.readlink(f"/proc/self/ns/{name}"):
            continue
        fd = os.open(place, os.O_RDONLY)
        if libc.setns(fd, 0) != 0:
            sys.exit(f"setns {name}: {os.strerror(ctypes.get_errno())}")
    os.fchdir(root)
    if not os.path.samestat(os.stat("."), os.stat("/")):
        os.chroot(".")  # It may have another root in the same namespace.
    os.close(root)
    os.chdir(given["cwd"])
    if given["uid"] is not None or given["gid"] is not None:
        gid = os.getgid() if given["gid"] is None else given["gid"]
        os.setgroups(given["groups"] or [gid])
        os.setgid(gid)
        os.setuid(os.getuid() if given["uid"] is None else given["uid"])
    try:
        os.execvpe(given["argv"][0], given["argv"], given["env"])
    except OSError as error:
        sys.exit(f'exec: "{given["argv"][0]}": {error.strerror}')
