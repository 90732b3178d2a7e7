"""jobrunner and its peers, measured side by side: `python -m benchmarks`, or `make bench`.

Each peer performs the same no-op jobs with one worker process, on a server of the same program and
settings, fresh for each run. `peers/` are the programs, run in virtual environments that
`environments` makes from `pins.toml`; `trial` measures one run of one peer from outside;
`commands` are those that start processes; `required` are the ratios that jobrunner must reach,
`report` tells them and writes the table of docs/performance.md.
"""
