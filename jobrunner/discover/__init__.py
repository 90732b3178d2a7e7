"""What the modules of a manifest declare, found by a child process that lives only for this.

The daemon never imports user code: a module that hangs, leaks, prints, forks or ends its process
costs a child, and the next discovery sees fresh code. The child imports the modules and writes
its answer, as JSON, into a file that the parent has opened for it; so whatever user code prints,
starts or leaves behind, nothing is waited for but the child's own end, and never beyond `timeout`.
"""

from jobrunner.discover.answer import Discovery, ModuleProblem
from jobrunner.discover.process import discover

__all__ = ["Discovery", "ModuleProblem", "discover"]
