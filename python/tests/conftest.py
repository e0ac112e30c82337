import itertools
import os

import pytest

import shmkey

_numbers = itertools.count()


@pytest.fixture
def names():
    """Makes names that no other test has; what they stand for is removed at the end."""
    made = []

    def make():
        made.append(f"python test {os.getpid()} {next(_numbers)}")
        return made[-1]

    yield make
    for name in made:
        try:
            shmkey.Segment.open(name).remove()
        except shmkey.NotFound:
            pass


@pytest.fixture
def name(names):
    return names()
