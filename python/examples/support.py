"""What several of these programs share: explaining a failure, reading arguments, and stopping at a signal."""

import math
import os
import signal
import sys
import time
from contextlib import contextmanager

import shmkey


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """One of the stop signals has arrived. It ends a wait, too."""


class Failed(Exception):
    """Why the program has failed, in a sentence."""


def run(main):
    """Runs a program, and prints why it failed, if it did. A program that is stopped by a signal has succeeded."""

    def stop(number, frame):
        # Only once: from now on, the program is cleaning up.
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    try:
        main()
    except Stopped:
        pass
    except (Failed, OSError) as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")


def hold_stop_signals():
    """Blocks the stop signals until a `stoppable` block, so that none arrives between opening an object and being ready
    to remove it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


@contextmanager
def stoppable():
    """Lets signals stop this block. Before and after it they are blocked, so that they do not interrupt cleaning up."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        yield
    finally:
        hold_stop_signals()


def repeat_arguments(interval):
    """Reads the arguments [COUNT [INTERVAL_IN_SECONDS]]: by default without end, at this interval."""
    count, interval = (*sys.argv[1:], *(str(sys.maxsize), str(interval))[len(sys.argv) - 1 :])
    return range(int(count)), float(interval)


def say(*parts):
    """Prints a line of bytes at once."""
    sys.stdout.buffer.write(b"".join(map(bytes, parts)) + b"\n")
    sys.stdout.buffer.flush()


def ask_for_line():
    print("Write Data: ", end="", flush=True)
    line = sys.stdin.buffer.readline()
    if not line:
        raise Failed("there is no line to read")
    return line[:-1] if line.endswith(b"\n") else line


def c_string(data):
    """Returns the bytes up to a NUL."""
    return bytes(data).split(b"\0")[0]


def pause(interval):
    if interval:
        time.sleep(interval)


def remove_if_last(segment):
    """Removes the segment if no process has it attached any more. If two processes try at once, one succeeds."""
    try:
        if segment.status().nattch == 0:
            segment.remove()
    except OSError:
        pass


def remove_if_mine(segment):
    """Removes the segment, after a failure, if this process has created it and no process has it attached."""
    status = segment.status()
    if status.cpid == os.getpid() and status.nattch == 0:
        segment.remove()


def six_decimals(number):
    """Returns a number as C's "%.6f" writes it, which distinguishes nan and -nan."""
    number = float(number)
    if math.isnan(number):
        return "-nan" if math.copysign(1, number) < 0 else "nan"
    return f"{number:.6f}"
