"""Becomes the command it is given, once the kernel has agreed to kill it when its parent goes.

Called as `tether.py PARENT_PID COMMAND…`. Linux only does this; elsewhere it just becomes the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(parent_pid: int) -> None:
    """Ask for SIGKILL on the parent's death; exit at once if it died before we could ask."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit(1)


if __name__ == "__main__":
    tether(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
