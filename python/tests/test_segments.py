import errno
import os

import numpy
import pytest

import shmkey


def test_a_segment_stays_until_it_is_removed(name):
    segment = shmkey.Segment.open(name, 100, create=True)
    with segment.attach() as memory:
        memory.data[:5] = b"hello"
    with shmkey.Segment.open(name).attach(read_only=True) as memory:
        assert bytes(memory)[:6] == b"hello\0"
        assert len(memory) == 100
    segment.remove()
    with pytest.raises(FileNotFoundError) as error:
        shmkey.Segment.open(name)
    assert error.value.errno == errno.ENOENT


def test_the_status_names_the_creator(name):
    segment = shmkey.Segment.open(name, 100, create=True, mode=0o640)
    status = segment.status()
    assert (status.size, status.mode, status.cpid, status.nattch) == (100, 0o640, os.getpid(), 0)
    assert status.removed == 0
    segment.set_mode(0o600)
    segment.set_owner(uid=os.getuid())
    with segment.attach():
        assert segment.status().nattch == 1
    assert segment.status().nattch == 0


def test_a_key_is_a_number_with_or_without_a_sign():
    segment = shmkey.Segment.open(-5, 10, create=True)
    try:
        assert shmkey.Segment.open(0xFFFFFFFB) == segment
        assert segment.status().key == -5
    finally:
        segment.remove()
    for key in (1 << 32, -(1 << 31) - 1):
        with pytest.raises(ValueError):
            shmkey.Segment.open(key, 10)


def test_a_segment_is_opened_by_a_file_a_key_or_no_key(tmp_path):
    file = shmkey.File(tmp_path, "x")
    segment = shmkey.Segment.open(file, 10, create=True)
    assert shmkey.Segment.open(shmkey.File(str(tmp_path), 120)) == segment
    assert shmkey.Segment.open(segment.status().key) == segment
    with pytest.raises(FileExistsError):
        shmkey.Segment.open(file, 10, create=True, exclusive=True)
    segment.remove()
    private = shmkey.Segment.open(None, 10)
    assert private.status().key == 0
    private.remove()


def test_errors_have_the_text_of_c_with_the_names_of_python(name):
    with pytest.raises(shmkey.NotFound, match="ENOENT: there is no segment with this key; start .*create=True"):
        shmkey.Segment.open(name)
    with pytest.raises(shmkey.Error, match="EINVAL") as error:
        shmkey.Segment.open(name, 0, create=True)
    assert error.value.errno == errno.EINVAL
    with pytest.raises(ValueError):
        shmkey.Segment.open("with a \0", 10)


def test_an_array_lies_in_the_segment(name):
    segment = shmkey.Segment.open(name, 80, create=True)
    with segment.attach() as memory, segment.attach(read_only=True) as other:
        array = numpy.frombuffer(memory.data, "f8")
        array[:] = range(10)
        there = numpy.frombuffer(other.data, "f8")
        assert list(there) == list(range(10))
        assert not there.flags.writeable
        del array, there


@pytest.mark.parametrize("view_of", [lambda data: data[1:], numpy.array, lambda data: numpy.frombuffer(data, "u1")])
def test_memory_with_a_view_is_not_detached(name, view_of):
    segment = shmkey.Segment.open(name, 8, create=True)
    memory = segment.attach()
    view = view_of(memory.data)
    if isinstance(view, numpy.ndarray) and view.base is None:
        memory.detach()  # a copy is no view
        return
    with pytest.raises(BufferError):
        memory.detach()
    assert segment.status().nattch == 1
    assert view[0] == 0
    del view
    memory.detach()
    memory.detach()
    assert segment.status().nattch == 0
    with pytest.raises(BufferError):
        memory.data


def test_memory_lives_as_long_as_its_views(name):
    segment = shmkey.Segment.open(name, 8, create=True)
    view = segment.attach().data
    assert segment.status().nattch == 1
    view[0] = 7
    assert view[0] == 7
    del view
    assert segment.status().nattch == 0


def test_read_only_memory_cannot_be_written(name):
    segment = shmkey.Segment.open(name, 8, create=True)
    with segment.attach(read_only=True) as memory:
        with pytest.raises(TypeError):
            memory.data[0] = 1


def test_memory_stays_usable_after_a_failed_detach(name):
    memory = shmkey.Segment.open(name, 8, create=True).attach()
    part = memory.data[2:4]
    with pytest.raises(BufferError):
        memory.detach()
    memory.data[2] = 9
    assert part[0] == 9
    part.release()
    memory.detach()
