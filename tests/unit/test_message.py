"""What a job carries, and what of it may be shown."""

from jobrunner import message
from jobrunner.message import Message


def test_the_arguments_that_a_message_calls_secret_are_masked() -> None:
    body = Message("t", {"day": "x", "token": "sesame"}, secrets=["token"])

    assert message.decode(message.encode(body)).shown_arguments() == {"day": "x", "token": "***"}


def test_where_a_message_does_not_say_what_is_secret_all_arguments_are_masked() -> None:
    body = message.decode('["t", {"day": "x", "token": "sesame"}]')

    assert body.shown_arguments() == {"day": "***", "token": "***"}


def test_that_nothing_is_secret_is_kept_with_the_arguments() -> None:
    body = message.decode(message.encode(Message("t", {"day": "x"}, secrets=[])))

    assert body.shown_arguments() == {"day": "x"}


def test_a_job_without_arguments_carries_no_more_than_its_task() -> None:
    assert message.encode(Message("t", secrets=[])) == b'["t",{}]'
