"""Ids of jobs: long enough, and of letters that nobody mistakes for another."""

from collections import Counter

from jobrunner.model import ID_ALPHABET, ID_LENGTH, new_job_id


def test_an_id_has_its_length_and_no_other_letters() -> None:
    ids = {new_job_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert {len(job_id) for job_id in ids} == {ID_LENGTH}
    assert set("".join(ids)) == set(ID_ALPHABET)


def test_all_letters_are_as_likely() -> None:
    counts = Counter("".join(new_job_id() for _ in range(8000)))

    # 3000 of each are expected, and one in 10^8 times a letter is 6 deviations (of 54) off.
    assert all(abs(counts[letter] - 3000) < 6 * 54 for letter in ID_ALPHABET)
