"""Control groups of Linux: the kernel's own list of the processes of a job.

`folder` reads, writes, kills and removes one group. `discovery` finds out, once as the daemon
starts, what this machine lets it make. `groups` has those of one worker and of one job.

    <what the daemon was started in>/jobrunner-<mark of the state folder>/
        main                    the daemon itself, where version 2 allows no process above groups
        <worker>/own            the worker, its function hosts and plain commands
        <worker>/<n>.<job id>   a job with a user of its own, or with limits
"""
