"""EDGE: mount points of one process, in a mount namespace of its own.

Where a mount path does not exist on the machine, the nearest directory above it that does is
replaced, for this process alone, by an empty one into which all its entries are bound: so any path
can be a mount point, and nothing on the machine is created or changed.
"""

import ctypes
import os
import stat

__all__ = ["MountError", "bind", "enter_namespace"]

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
ENTRIES_MAX = 4096


class MountError(OSError):
    """A mount that the kernel refuses."""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    done = _libc().mount(
        os.fsencode(source), os.fsencode(target), kind.encode() if kind else None,
        ctypes.c_ulong(flags), None,
    )  # fmt: skip
    if done != 0:
        number = ctypes.get_errno()
        raise MountError(number, f"mount {source} on {target}: {os.strerror(number)}")


def enter_namespace() -> None:
    """Give this process mounts of its own. Raises: MountError where that is not permitted.

    Root needs a mount namespace only. Anyone else needs a user namespace around it, in which
    their own id is mapped to itself.
    """
    uid, gid = os.getuid(), os.getgid()
    libc = _libc()
    if libc.unshare(CLONE_NEWNS) != 0:
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
            number = ctypes.get_errno()
            raise MountError(number, f"unshare: {os.strerror(number)}")
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"),
        ):  # fmt: skip
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    _mount("none", "/", None, MS_REC | MS_PRIVATE)


def bind(source: str, target: str, *, read_only: bool, scratch: str) -> None:
    """Show `source` at `target`, to this process and its children.

    Args:
        target: Absolute. It need not exist.
        scratch: A directory of this process, to keep what a target hides.

    Raises: MountError.
    """
    target = os.path.normpath(target)
    _make_place(target, directory=os.path.isdir(source), scratch=scratch)
    _mount(source, target, None, MS_BIND | MS_REC)
    if read_only:
        # A remount may not drop what the mount below has, in a user namespace.
        have = os.statvfs(target).f_flag
        kept = have & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        _mount("none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def _make_place(target: str, *, directory: bool, scratch: str) -> None:
    if os.path.exists(target):
        if os.path.isdir(target) != directory:
            kind = "a directory" if directory else "a file"
            raise MountError(20, f"{target} is there, and is not {kind}")
        return
    above = os.path.dirname(target)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    _open_up(above, scratch)
    if directory:
        os.makedirs(target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY))


def _open_up(place: str, scratch: str) -> None:
    """Replace a directory, for this process, by a writable one with the same entries.

    The root cannot be covered by a mount: this process gets another root instead.
    """
    number = len(os.listdir(scratch))
    hidden, fresh = place, os.path.join(scratch, f"root-{number}")
    if place != "/":
        hidden, fresh = os.path.join(scratch, f"hidden-{number}"), place
        os.mkdir(hidden)
        _mount(place, hidden, None, MS_BIND | MS_REC)
    else:
        os.mkdir(fresh)
    entries = os.listdir(hidden)
    if len(entries) > ENTRIES_MAX:
        raise MountError(
            28, f"{place} has {len(entries)} entries, over {ENTRIES_MAX}: mount somewhere else"
        )
    mode = stat.S_IMODE(os.stat(hidden).st_mode)
    _mount("tmpfs", fresh, "tmpfs", 0)
    os.chmod(fresh, mode)
    for name in entries:
        old, new = os.path.join(hidden, name), os.path.join(fresh, name)
        if os.path.islink(old):
            os.symlink(os.readlink(old), new)
            continue
        if os.path.isdir(old):
            os.mkdir(new)
        else:
            os.close(os.open(new, os.O_CREAT | os.O_WRONLY))
        _mount(old, new, None, MS_BIND | MS_REC)
    if place == "/":
        os.chroot(fresh)
        os.chdir("/")
