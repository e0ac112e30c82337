"""Arguments that are wrong or extreme: a Python exception that names them, and never another object."""

import pathlib

import numpy
import pytest

import shmkey


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan"), float("-inf")])
def test_a_negative_time_is_a_value_error(names, timeout):
    ring, mutex = shmkey.Ring.open(names(), 64), shmkey.Mutex.open(names(), "q")
    changed, name = shmkey.Condvar.open(names()), names()
    ring.send(b"a message that is there")
    with mutex as guard:
        for call in (
            lambda: ring.recv(timeout=timeout),
            lambda: ring.peek(timeout=timeout),
            lambda: changed.wait(guard, timeout=timeout),
            lambda: changed.wait_for(guard, lambda: False, timeout=timeout),
            lambda: shmkey.wait_any([ring], timeout=timeout),
            lambda: shmkey.Ring.open(name, 64, wait=timeout),
        ):
            with pytest.raises(ValueError, match="seconds"):
                call()
    assert ring.recv(timeout=0) == b"a message that is there"


@pytest.mark.parametrize("time", [float("inf"), 1e300, 1e10, None])
def test_a_time_can_be_without_limit(name, time):
    with shmkey.Ring.open(name, 64, wait=time) as ring:
        ring.send(b"x", timeout=time)
        assert ring.recv(timeout=time) == b"x"


@pytest.mark.parametrize("mode", [-1, 0o1000, 0o10600, 1 << 18, 1 << 40])
def test_a_mode_has_permission_bits_only(name, mode):
    with pytest.raises(ValueError, match="mode"):
        shmkey.Broadcast.open(name, 64, mode=mode)
    for place in (name, None):
        with pytest.raises(ValueError, match="mode"):
            shmkey.Segment.open(place, 64, create=True, mode=mode)


@pytest.mark.parametrize("owner", [-1, 1 << 32])
def test_an_owner_is_the_id_of_a_user(name, owner):
    with pytest.raises(ValueError, match="owner"):
        shmkey.Semaphore.open(name, owner=owner)


@pytest.mark.parametrize("number", [0, 256, -1, "€", "ab", ""])
def test_a_project_id_is_a_character_or_1_to_255(tmp_path, number):
    place = shmkey.File(tmp_path, number)
    for call in (lambda: shmkey.Semaphore.open(place), lambda: shmkey.Segment.open(place, 8, create=True)):
        with pytest.raises(ValueError, match="project id"):
            call()


@pytest.mark.parametrize("place", [5, None, pathlib.Path("a name"), ["a name"]])
def test_a_place_is_a_name_a_file_or_within_a_segment(place):
    with pytest.raises(TypeError, match="place"):
        shmkey.Ring.open(place, 64)


@pytest.mark.parametrize("offset", [-64, 1 << 64])
def test_an_offset_is_0_or_more_bytes(offset):
    with pytest.raises(ValueError, match="offset"):
        shmkey.Ring.open(shmkey.Within(0, offset), 64)


def test_a_type_is_what_struct_or_numpy_understands(name):
    with pytest.raises(ValueError, match=r'numpy.dtype\("f8"\)'):
        shmkey.Latest.open(name, "f8")
    with pytest.raises(ValueError, match="0 or more bytes"):
        shmkey.Latest.open(name, -5)
    with pytest.raises(TypeError, match="not None"):
        shmkey.Latest.open(name, None)


def test_an_array_has_the_shape_of_the_type(name):
    latest = shmkey.Latest.open(name, numpy.dtype("(2,3)i4"))
    latest.publish([[1, 2, 3], [4, 5, 6]])
    for wrong in (numpy.zeros((3, 2)), numpy.zeros(6), 1):
        with pytest.raises(ValueError, match="shape"):
            latest.publish(wrong)
    assert latest.read().tolist() == [[1, 2, 3], [4, 5, 6]]
