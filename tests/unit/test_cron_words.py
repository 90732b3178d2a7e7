"""Schedules in words."""

import pytest

from jobrunner.crons import describe, parse_cron

WORDS = [
    ("@reboot", "at boot"),
    ("@every 90s", "every 90s"),
    ("@every 1s", "every second"),
    ("@every 5m", "every 5 minutes"),
    ("@every 1h30m", "every 90 minutes"),
    ("@every 1h", "every hour"),
    ("@every 7d", "every 7 days"),
    ("* * * * * *", "every second"),
    ("*/10 * * * * *", "every 10 seconds"),
    ("* * * * *", "every minute"),
    ("*/5 * * * *", "every 5 minutes"),
    ("H/15 * * * *", "every 15 minutes"),
    ("@hourly", "every hour"),
    ("15 * * * *", "every hour at :15"),
    ("5,35 * * * *", "every hour at :05, :35"),
    ("0 */6 * * *", "every 6 hours"),
    ("15 */6 * * *", "every 6 hours at :15"),
    ("0 8-18 * * *", "every hour 08:00–18:00"),
    ("*/5 9 * * *", "every 5 minutes 09:00–09:55"),
    ("*/15 9-17 * * mon-fri", "Mon–Fri every 15 minutes 09:00–17:45"),
    ("0 2 * * *", "daily at 02:00"),
    ("30 0 2 * * *", "daily at 02:00:30"),
    ("0 6,18 * * *", "daily at 06:00, 18:00"),
    ("30 9 * * 1-5", "Mon–Fri at 09:30"),
    ("@weekly", "Sun at 00:00"),
    ("0 12 * * 6,0", "Sat, Sun at 12:00"),
    ("0 0 * * sun,tue,thu", "Tue, Thu, Sun at 00:00"),
    ("@monthly", "1st of the month at 00:00"),
    ("0 0 2,3,11 * *", "2nd, 3rd, 11th of the month at 00:00"),
    ("0 0 L * *", "last day of the month at 00:00"),
    ("0 9 LW * *", "last weekday of the month at 09:00"),
    ("0 9 15W * *", "weekday near the 15th of the month at 09:00"),
    ("0 9 * * 5#2", "2nd Fri of the month at 09:00"),
    ("0 9 * * 5L", "last Fri of the month at 09:00"),
    ("@yearly", "1st of Jan at 00:00"),
    ("0 0 1 2,8 *", "1st of Feb, Aug at 00:00"),
    ("0 3 * 6-8 *", "daily in Jun–Aug at 03:00"),
    ("0 3 * 6 mon", "Mon in Jun at 03:00"),
]

NO_SHORT_WORDS = [
    "*/7 * * * *",
    "0 */7 * * *",
    "*/30 1-3,7 * * *",
    "15 30 * * * *",
    "1,2,3,4 * * * *",
    "0 0 13 * 5",  # the 13th, or Fridays
    "0 0 1-31 * 5",  # every day: one of both is enough
    "0 0 */2 * 5",
    "0 0 * * 1-5,6#1",
    "0 0 1,2,3,4 * *",
    "0 1,2,3 1,2,3 1,3,5,7,9 *",
    "* 5 * * * *",
]


@pytest.mark.parametrize(("expression", "words"), WORDS)
def test_a_schedule_is_told_in_words(expression: str, words: str) -> None:
    assert describe(parse_cron(expression, "UTC", "x")) == words


@pytest.mark.parametrize("expression", NO_SHORT_WORDS)
def test_a_schedule_without_short_words_is_told_by_its_expression(expression: str) -> None:
    assert describe(parse_cron(expression, "UTC", "x")) == expression
