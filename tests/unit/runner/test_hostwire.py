"""Frames between a worker and a function host, whatever their size."""

import time

import pytest

from jobrunner.runner.hostwire import BrokenFrame, FrameReader, Returned, decode_reply, frame

PIECE = 64 << 10


def test_messages_come_whole_whatever_their_pieces() -> None:
    sent = [Returned(b"x" * size, 0.0, has_output=False) for size in (0, 1, 70_000, 3)]
    stream = b"".join(map(frame, sent))

    for piece in (1, 3, 1000, len(stream)):
        reader = FrameReader()
        pieces = (stream[at : at + piece] for at in range(0, len(stream), piece))
        got = [decode_reply(body) for data in pieces for body in reader.feed(data)]
        assert got == sent


def test_a_long_message_costs_time_that_grows_with_its_size_only() -> None:
    stream = frame(Returned(b"x" * (100 << 20), 0.0, has_output=False))
    reader = FrameReader()
    began = time.process_time()

    bodies = [
        b for at in range(0, len(stream), PIECE) for b in reader.feed(stream[at : at + PIECE])
    ]

    assert len(bodies) == 1
    assert time.process_time() - began < 2  # it took 40 s


def test_a_frame_that_is_longer_than_any_message_is_refused_at_once() -> None:
    with pytest.raises(BrokenFrame):
        FrameReader(longest=100).feed(b"\x00\x00\x00\x65")
