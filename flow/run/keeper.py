"""A small process beside a command's: when the command's process dies in any way, it ends what that left running.

It is run as a file, by an interpreter without packages, and reads lines of its standard input:
``+ N`` and ``- N``: process group N began, and has ended; ``= FOLDER``: the owner's temporary folder.
The end of input, or another parent, means that the owner is dead. Then the groups are killed, all
processes whose environment carries the folder as well (Linux), and the folder is removed.
"""

import os
import select
import shutil
import signal
import sys

MARKED = b"XNOREPLAY_WORK="


def follow(owner: int) -> tuple[set[int], str]:
    """Read lines until the owner is dead; return the groups that still run, and its temporary folder."""
    groups: set[int] = set()
    folder, rest = "", b""
    while os.getppid() == owner:
        if not select.select([0], [], [], 1.0)[0]:
            continue
        read = os.read(0, 4096)
        if not read:
            break
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            kind, _, value = line.partition(b" ")
            if kind == b"+":
                groups.add(int(value))
            elif kind == b"-":
                groups.discard(int(value))
            else:
                folder = os.fsdecode(value)
    return groups, folder


def marked(folder: str) -> list[int]:
    """List the process ids of all that were begun, directly or through others, for the owner of a temporary folder.

    These have XNOREPLAY_WORK=FOLDER in the environment they were begun with. The keeper itself is left out, and so are
    processes whose environment may not be read; where there is no /proc, the list is empty.
    """
    text = MARKED + os.fsencode(folder)
    found = []
    for name in os.listdir("/proc") if folder and os.path.isdir("/proc/self") else ():
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/environ", "rb") as environ:
                    if text in environ.read().split(b"\0"):
                        found.append(int(name))
            except OSError:
                continue  # ended, or another user's
    return found


def kill(send, number: int) -> None:
    """Send SIGKILL with `os.kill` or `os.killpg`; a process or group that has ended is passed over."""
    try:
        send(number, signal.SIGKILL)
    except OSError:
        pass  # it has ended


def main() -> None:
    """Wait for the owner's death, then end what it left and remove its temporary folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups, folder = follow(int(sys.argv[1]))
    for group in groups:
        kill(os.killpg, group)
    for _ in range(3):  # one may have begun another meanwhile
        for pid in (left := marked(folder)):
            kill(os.kill, pid)
        if not left:
            break
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
