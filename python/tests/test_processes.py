import multiprocessing
import os
import pickle
import signal
import subprocess
import sys

import pytest

import shmkey

METHODS = ("fork", "spawn", "forkserver")


def answer(questions, answers, count, mutex):
    for question in questions:
        answers.send(question.upper())
        count.post()
        with mutex as guard:
            guard.value += 1


@pytest.mark.parametrize("method", METHODS)
def test_handles_pass_to_processes(method, names):
    context = multiprocessing.get_context(method)
    questions, answers = (shmkey.Ring.open(names(), 4096) for _ in range(2))
    count, mutex = shmkey.Semaphore.open(names()), shmkey.Mutex.open(names(), "q", layout="a count")
    child = context.Process(target=answer, args=(questions, answers, count, mutex))
    child.start()
    questions.send(b"one")
    questions.send(b"two")
    questions.end_sending()
    assert [answers.recv(60), answers.recv(60)] == [b"ONE", b"TWO"]
    child.join()
    assert child.exitcode == 0
    assert count.value == 2 and mutex.lock().value == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_program_leaves_nothing_and_warns_of_nothing(method, name, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import multiprocessing, shmkey

def work(ring):
    ring.send(b"from a child")

if __name__ == "__main__":
    multiprocessing.set_start_method({method!r})
    ring = shmkey.Ring.open({name!r}, 4096)
    child = multiprocessing.Process(target=work, args=(ring,))
    child.start()
    assert ring.recv(60) == b"from a child"
    child.join()
    memory = ring.segment.attach()
    ring.remove()
    print(ring.id)
"""
    )
    command = [sys.executable, "-W", "error", "-X", "dev", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    with pytest.raises(OSError):
        shmkey.Segment(int(ended.stdout)).status()


def test_a_child_has_no_role_lock_or_message_of_its_parent(names):
    ring, mutex = shmkey.Ring.open(names(), 4096), shmkey.Mutex.open(names(), 8)
    ring.send(b"hello")
    message, guard = ring.peek(), mutex.lock()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            for call in (message.release, guard.unlock):
                with pytest.raises(shmkey.NotOwner):
                    call()
            for call in (lambda: ring.send(b"x"), lambda: ring.recv(0)):
                with pytest.raises(shmkey.Busy):
                    call()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert message.data == b"hello"
    message.release()
    guard.unlock()


def test_the_death_of_a_holder_is_noticed(names):
    ring, mutex = shmkey.Ring.open(names(), 4096), shmkey.Mutex.open(names(), "q")
    child = os.fork()
    if child == 0:
        guard = mutex.lock()
        guard.value = 7
        ring.send(b"locked")
        signal.pause()
    assert ring.recv() == b"locked"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(shmkey.PeerDied):
        ring.recv()
    with mutex as guard:
        assert guard.owner_died and guard.value == 7
        guard.mark_consistent()
    with mutex as guard:
        assert not guard.owner_died
    assert multiprocessing  # the child used none of it


def test_a_value_that_is_not_repaired_is_lost(name):
    mutex = shmkey.Mutex.open(name, "q")
    child = os.fork()
    if child == 0:
        guard = mutex.lock()
        os._exit(0)
    os.waitpid(child, 0)
    with mutex as guard:
        assert guard.owner_died
    with pytest.raises(shmkey.NotRecoverable):
        mutex.lock()


def test_a_pickled_handle_opens_the_same_object(names):
    latest = shmkey.Latest.open(names(), "<2d", layout="degrees")
    latest.publish((1, 2))
    assert pickle.loads(pickle.dumps(latest)).read() == (1, 2)
    for handle in (
        shmkey.Broadcast.open(names(), 256, lossy=True),
        shmkey.RwLock.open(names(), "q"),
        shmkey.Condvar.open(names()),
        shmkey.Semaphore.open(names()),
    ):
        copy = pickle.loads(pickle.dumps(handle))
        assert type(copy) is type(handle) and copy.id == handle.id
