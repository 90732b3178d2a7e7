"""The fault suite: it kills, stops and starves a daemon of its own under load, then proves what
was promised from an independent history of what really happened.

`history` is the append-only file that jobs and faults write to. `work` is what the jobs do.
`invariants` holds a history against what clients were told (`evidence`) and what the store says:
rules I1 to I7, pure functions. `site` is a daemon under test, `load` are its clients, `proxy`
stands between the processes and their store. An `arena` has all of them for one round of a
scenario; `scenarios` are the faults, by family; `suite` performs rounds and `report` tells.
"""
