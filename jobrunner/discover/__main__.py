"""`python -m jobrunner.discover FD`: the child. Question on stdin, answer into the file FD."""

import faulthandler
import os
import sys

import msgspec

from jobrunner.discover.answer import Discovery, Importing, Question
from jobrunner.discover.guarded import guard_imports
from jobrunner.discover.scan import Scan
from jobrunner.runner.descriptors import close_stdin, keep_descriptors


def main() -> None:
    answer = int(sys.argv[1])
    keep_descriptors()  # a process that a module starts has no use for them
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    close_stdin()
    # Prints where it hangs and ends the process, also when the parent was killed meanwhile.
    faulthandler.dump_traceback_later(question.timeout.total_seconds(), exit=True)
    sys.path.insert(0, question.folder)
    guard_imports(question.guard)

    def say(step: Importing | Discovery) -> None:
        os.write(answer, msgspec.json.encode(step) + b"\n")

    say(Scan(question, say).run())
    # Not sys.exit: threads and exit handlers of user code have no say in when this ends.
    os._exit(0)


if __name__ == "__main__":
    main()
