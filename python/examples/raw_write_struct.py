"""Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]]"""

import os
import struct
import sys

import shmkey
from support import run

# struct record of c_examples/sysv/record.h, with the gap that C leaves behind the first field.
RECORD = struct.Struct("id32s")


def main():
    given = sys.argv[1:]
    number, temperature, name = given[:3] or ("7", "21.5", "thermometer")
    key_file = given[3] if len(given) > 3 else "/tmp/shmfile"
    segment = shmkey.Segment.open(shmkey.File(key_file, "R"), RECORD.size, create=True)
    with segment.attach() as shared:
        RECORD.pack_into(shared.data, 0, int(number), float(temperature), os.fsencode(name))


run(main)
