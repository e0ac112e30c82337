"""Publishes a headline every second, without end. It begins when there are three readers; each of them receives every
headline: news [COUNT [INTERVAL]]"""

import shmkey
from support import hold_stop_signals, pause, remove_if_last, repeat_arguments, run, stoppable

READERS = 3


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    news = shmkey.Broadcast.open(shmkey.File(".", "N"), 1024)
    segment = news.segment
    try:
        with news, stoppable():
            news.begin_publishing()
            # A reader receives what is published after it has subscribed.
            while news.subscribers < READERS:
                pause(0.01)
            for number in count:
                # When there is no room, this waits for the slowest reader, and drops it if it has died.
                news.publish(b"Headline %d" % (number + 1))
                pause(interval)
    finally:
        remove_if_last(segment)


run(main)
