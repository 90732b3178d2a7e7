"""`make mutate`: every mutation must make a test fail. Give names of scripts to try only theirs."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

from tests.mutation.mutants import Mutation, copy_package, read_mutations

AT_A_TIME = 2
TESTS_FAILED = 1  # pytest's exit status; others tell of a broken run
LONGEST_S = 300  # a mutation that makes a loop endless is noticed, too


class Outcome(StrEnum):
    KILLED = "killed"
    SURVIVED = "SURVIVED"
    BROKEN = "BROKEN"  # the tests did not run


def main(scripts: Sequence[str]) -> int:
    """Try the mutations; 1 when one survives."""
    mutations = [one for one in read_mutations() if not scripts or one.script in scripts]
    if _run_tests(sorted({path for one in mutations for path in one.tests})) != 0:
        print("the tests fail without a mutation: nothing can be judged", file=sys.stderr)
        return 1
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = []
        for mutation, outcome in zip(mutations, pool.map(_try, mutations), strict=True):
            print(f"{outcome:8} {mutation.script:16} {mutation.drops}", flush=True)
            outcomes.append(outcome)
    killed = outcomes.count(Outcome.KILLED)
    print(f"{killed} of {len(outcomes)} mutations were killed")
    return 0 if killed == len(outcomes) else 1


def _try(mutation: Mutation) -> Outcome:
    status = _run_tests(mutation.tests, mutation)
    if status == 0:
        return Outcome.SURVIVED
    return Outcome.KILLED if status == TESTS_FAILED else Outcome.BROKEN


def _run_tests(paths: Sequence[str], mutation: Mutation | None = None) -> int:
    """In a copy of the package, where only who asks for failures is served."""
    with tempfile.TemporaryDirectory(prefix="jr-mutant-") as folder:
        copy_package(Path(folder))
        if mutation is not None:
            mutation.make(Path(folder))
        command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        environ = os.environ | {"MODEL_FAST": "1"}
        try:
            ended = subprocess.run(
                [*command, *paths],
                cwd=folder,
                env=environ,
                capture_output=True,
                check=False,
                timeout=LONGEST_S,
            )
        except subprocess.TimeoutExpired:
            return TESTS_FAILED
        return ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
