"""Prints every headline that is published from now on, until the publisher ends: news_reader [COUNT [INTERVAL]]"""

import shmkey
from support import Failed, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, say, stoppable


def main():
    count, interval = repeat_arguments(0)
    hold_stop_signals()
    news = shmkey.Broadcast.open(shmkey.File(".", "N"), 1024)
    segment = news.segment
    try:
        with news, stoppable():
            news.subscribe()
            for _, headline in zip(count, news):
                say(b"Read: ", headline)
                pause(interval)
    except shmkey.PeerDied:
        raise Failed("the publisher was killed; all that it had published was received")
    finally:
        remove_if_last(segment)


run(main)
