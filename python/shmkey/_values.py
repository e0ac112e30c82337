"""The types of values, and their conversion to and from bytes."""

import struct
from typing import Any, Callable, NamedTuple, Union

# A number of bytes, a format of the module struct, or a NumPy dtype (or what numpy.dtype() takes).
ValueType = Union[int, str, Any]


class Codec(NamedTuple):
    size: int
    encode: Callable[[Any], Any]
    decode: Callable[[bytes], Any]


def codec(type: ValueType) -> Codec:
    """Returns the size of a type, and the functions that convert its values to and from bytes.

    A number is a number of bytes: a value is bytes. A string is a format of ``struct``: a value is a tuple, or the
    field itself if there is only one. Everything else is a NumPy dtype: a value is a scalar of it. A structured dtype
    that was made with ``align=True`` has the layout of the struct in C and Rust.
    """
    if isinstance(type, int):
        if type < 0:
            raise ValueError("a type that is a number is 0 or more bytes")
        return Codec(type, lambda value: value, lambda data: data)
    if isinstance(type, str):
        try:
            return _of_struct(struct.Struct(type))
        except struct.error as error:
            raise ValueError(f'"{type}" is no format of struct: {error}; for NumPy, give numpy.dtype("{type}")')
    if type is None:
        # NumPy takes None for a float.
        raise TypeError("a type is a number of bytes, a format of struct, or a NumPy dtype, not None")
    return _of_numpy(type)


def _of_struct(form: struct.Struct) -> Codec:
    if len(form.unpack(bytes(form.size))) == 1:
        return Codec(form.size, form.pack, lambda data: form.unpack(data)[0])
    return Codec(form.size, lambda value: form.pack(*value), form.unpack)


def _of_numpy(type: Any) -> Codec:
    import numpy

    dtype = numpy.dtype(type)
    if dtype.hasobject:
        raise TypeError("a value in shared memory cannot contain Python objects")
    if dtype.shape:
        base, shape = dtype.subdtype

        def encode(value: Any) -> bytes:
            array = numpy.asarray(value, base)
            if array.shape != shape:
                raise ValueError(f"the value has the shape {array.shape}, and the type {shape}")
            return array.tobytes()

        return Codec(
            dtype.itemsize,
            encode,
            lambda data: numpy.frombuffer(data, base).reshape(shape),
        )
    return Codec(
        dtype.itemsize,
        lambda value: numpy.asarray(value, dtype).tobytes(),
        lambda data: numpy.frombuffer(data, dtype)[0],
    )
