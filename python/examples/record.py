"""What write_struct and read_struct share: a structure with a field of every kind, as in c_examples/record.h."""

import numpy

from support import c_string, six_decimals

LAYOUT = "weather record 1"
FIELDS = [
    ("taken", "i8"),
    ("serial", "u8"),
    ("temperature", "f8"),
    ("place", [("latitude", "f8"), ("longitude", "f8")]),
    ("id", "i4"),
    ("pressure", "u4"),
    ("humidity", "f4"),
    ("altitude", "i2"),
    ("wind", "u2"),
    ("earlier", "i2", 3),
    ("trend", "i1"),
    ("battery", "u1"),
    ("name", "u1", 32),
]
# align: the fields have the layout of the struct in C.
RECORD = numpy.dtype(FIELDS, align=True)


def lines(record):
    """Returns the fields by name, as read_struct prints them."""
    place = ", ".join(six_decimals(number) for number in record["place"])
    head = f"id: {record['id']}\ntemperature: {six_decimals(record['temperature'])}\nname: "
    tail = (
        f"\ntaken: {record['taken']}\nserial: {record['serial']}\nplace: {place}\n"
        f"pressure: {record['pressure']}\nhumidity: {six_decimals(record['humidity'])}\n"
        f"altitude: {record['altitude']}\nwind: {record['wind']}\n"
        f"earlier: {', '.join(map(str, record['earlier']))}\ntrend: {record['trend']}\nbattery: {record['battery']}"
    )
    return head.encode() + c_string(record["name"]) + tail.encode()
