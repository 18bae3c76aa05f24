"""The state directory and its files are for this user alone. What is not so already is refused, never put right here.

A directory that others could write to may hold what they put there, and its mode may be somebody's intention.
"""

import errno
import os
import stat
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make a directory that nobody else can enter, with its parents; what is there already must be one.

    Raises:
        OSError: it cannot be made, or others can use it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_private(path)


def require_private(path: Path) -> None:
    """Return when a file or directory is this user's and nobody else's, or is not there.

    Raises:
        OSError: others can use it; says what mends it.
    """
    if os.name != "posix":
        return  # no such mode bits there: a user's own directory is protected by its permissions
    try:
        about = path.stat()
    except FileNotFoundError:
        return
    if about.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{path} belongs to another user; choose another directory")
    if about.st_mode & 0o077:
        mode = stat.S_IMODE(about.st_mode)
        right = 700 if stat.S_ISDIR(about.st_mode) else 600
        raise PermissionError(
            errno.EPERM, f"others can use {path}, its mode is {mode:04o}; if they should not, chmod {right} it"
        )
