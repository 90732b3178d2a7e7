"""What the benchmark finds wrong with jobs that were lost or performed twice."""

from jobrunner.bench.delivery import Record, count_problems, record_problems


def test_calls_with_each_number_once_per_process_are_right() -> None:
    assert count_problems(['"7-1"', '"7-0"', '"8-0"']) == []


def test_a_job_that_was_performed_twice_leaves_a_gap() -> None:
    assert count_problems(['"7-0"', '"7-2"']) == ["call 1 of process 7 is no job's result"]


def test_a_call_on_two_records_is_found() -> None:
    assert count_problems(['"7-0"', '"7-0"']) == [
        "call 0 of process 7 is the result of several jobs"
    ]


def test_a_result_of_something_else_is_found() -> None:
    assert count_problems(["null"]) == ["a result is 'null', not the number of a call"]


def test_a_job_must_have_completed_at_its_first_attempt() -> None:
    records = [
        Record("good", "completed", "1", ""),
        Record("again", "completed", "2", ""),
        Record("bad", "failed", "1", ""),
        Record("gone", "", "", ""),
    ]

    assert record_problems(records) == [
        "job again is completed, attempt 2",
        "job bad is failed, attempt 1",
        "job gone is not there, attempt 0",
    ]
