"""The days of an expression: croniter is asked once for each, however often crons ask."""

from datetime import date, datetime, timedelta
from typing import Any

from croniter import croniter

from jobrunner.crons.calendar import Days

FRIDAY = date(2026, 11, 20)
MONDAY = FRIDAY + timedelta(days=3)
SOME_MONTHS = [FRIDAY + timedelta(days=number) for number in range(90)]


class CountingCroniter(croniter):
    asked = 0

    def get_next(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return super().get_next(*args, **options)


def counting(expression: str) -> CountingCroniter:
    return CountingCroniter(expression, datetime(1970, 1, 1))  # noqa: DTZ001 - wall-clock time


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - wall-clock time


def test_today_and_tomorrow_are_looked_for_once() -> None:
    every = counting("0 0 * * *")
    days = Days([every])

    for _ in range(100):
        assert days.first_from(FRIDAY) == midnight(FRIDAY)
        assert days.first_from(FRIDAY + timedelta(days=1)) == midnight(FRIDAY + timedelta(days=1))

    assert every.asked == 2


def test_the_days_up_to_the_found_one_are_not_looked_for_again() -> None:
    mondays = counting("0 0 * * 1")
    days = Days([mondays])
    weekend = [FRIDAY + timedelta(days=number) for number in (1, 2, 3)]

    found = {days.first_from(day) for day in weekend}

    assert found == {midnight(MONDAY)}
    assert mondays.asked == 1


def test_what_is_remembered_never_answers_for_other_days() -> None:
    expressions = ["0 0 * * 1", "0 0 13,27 * *", "0 0 L * *"]
    remembering = Days([counting(expression) for expression in expressions])
    order = [*SOME_MONTHS, *reversed(SOME_MONTHS), *SOME_MONTHS[::7], *SOME_MONTHS[::-5]]

    for day in order:
        fresh = Days([counting(expression) for expression in expressions])
        assert remembering.first_from(day) == fresh.first_from(day)
