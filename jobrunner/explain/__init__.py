"""Why a job, a cron or a task is as it is: facts in, one plain sentence out. Pure.

`store/facts.py` reads the facts; `cli/render_why.py` makes text and JSON of an explanation.
"""
