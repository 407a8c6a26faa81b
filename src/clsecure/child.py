"""Start a small companion process of the human's: a fork that keeps nothing it was not given."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PR_SET_PDEATHSIG = 1
_KEYBOARD_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)
_HIGHEST_DESCRIPTOR = 1 << 20
_POLL_SECONDS = 0.005


def fork(main: Callable[[], None], *, keep: Sequence[int]) -> int:
    """Run `main` in a child of its own session and return the child's pid.

    The child holds the descriptors in `keep` and no others (0, 1 and 2 are /dev/null unless they
    are kept), has no Python signal handlers, and ignores the keyboard's signals and SIGHUP: it
    ends when `main` returns, or by SIGTERM and SIGKILL. It never returns into the caller's code.
    """
    parent = os.getpid()
    # Blocked, so that no signal finds the child with handlers that are the parent's.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        _reset_signals()
        _keep_only(keep)
        main()
        status = 0
    finally:
        # No traceback, no atexit handler, no flush of buffers which belong to the parent.
        os._exit(status)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when the parent's thread that forked it ends.

    `parent` is the pid that the parent had; where it is gone already, this process ends now.
    The setting is lost at a change of credentials (prctl(2), PR_SET_PDEATHSIG).
    """
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def reap(pid: int, *, seconds: float) -> None:
    """Wait for a child that was told to end; after `seconds` kill it. Returns when it is gone."""
    deadline = time.monotonic() + seconds
    try:
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            time.sleep(_POLL_SECONDS)
    except ChildProcessError:
        return


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in _KEYBOARD_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _keep_only(keep: Sequence[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1, 2} - set(keep):
        os.dup2(null, standard)
    wanted = sorted({0, 1, 2, *keep})
    for low, high in zip(wanted, [*wanted[1:], _HIGHEST_DESCRIPTOR], strict=True):
        os.closerange(low + 1, high)
