"""The benchmark: how fast this jobrunner is on this machine.

A `part` measures one thing, once: it sets up a `stage` (a store, a daemon), yields samples, and
has what it ran looked over by `delivery`, so that no figure is of jobs that were lost or ran
twice. `suite` repeats the parts in rotation; `figures` are medians and ranges of the samples.
`work` is what the jobs do.
"""
