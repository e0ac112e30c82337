"""Prints the structure that write_struct left, and removes the segment: read_struct [KEY_FILE]"""

import struct
import sys

import shmkey
from support import c_string, run, say, six_decimals

RECORD = struct.Struct("id32s")


def main():
    key_file = sys.argv[1] if len(sys.argv) > 1 else "/tmp/shmfile"
    # With this size, a segment that is too small for the structure is an error before anything is read.
    segment = shmkey.Segment.open(shmkey.File(key_file, "R"), RECORD.size)
    with segment.attach() as shared:
        number, temperature, name = RECORD.unpack_from(shared.data)
    text = f"id: {number}\ntemperature: {six_decimals(temperature)}\nname: "
    say(text.encode(), c_string(name))
    segment.remove()


run(main)
