"""Publishes a whole structure as the newest one: write_struct [ID TEMPERATURE NAME [KEY_FILE]]"""

import os
import sys
import time

import numpy
import shmkey
from record import LAYOUT, RECORD
from support import run


def main():
    given = sys.argv[1:]
    number, temperature, name = given[:3] or ("7", "21.5", "thermometer")
    record = numpy.zeros((), RECORD)
    record["taken"] = int(time.time())
    record["serial"] = 18_000_000_000_000_000_000
    record["temperature"] = float(temperature)
    record["place"] = 52.520008, 13.404954
    record["id"] = int(number)
    record["pressure"], record["humidity"], record["altitude"], record["wind"] = 101325, 0.625, -28, 315
    record["earlier"] = 2125, 1990, -40
    record["trend"], record["battery"] = -1, 200
    text = os.fsencode(name)
    record["name"][: len(text)] = list(text)
    key_file = given[3] if len(given) > 3 else "/tmp/shmfile"
    with shmkey.Latest.open(shmkey.File(key_file, "R"), RECORD, layout=LAYOUT) as latest:
        latest.publish(record)


run(main)
