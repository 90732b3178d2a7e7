"""Every key in the store. One hash tag keeps a namespace in one cluster slot."""

import msgspec

from jobrunner.model import Priority


class Keys(msgspec.Struct, frozen=True):
    """The keys of one namespace, `jr:{<name>}:…`."""

    name: str

    def _key(self, rest: str) -> str:
        return f"jr:{{{self.name}}}:{rest}"

    def all(self) -> str:
        """Pattern that every key of the namespace fits, for an audit's SCAN."""
        return self._key("*")

    def job(self, job_id: str) -> str:
        """Hash: the record. Lives until pruned or deleted."""
        return self._key(f"job:{job_id}")

    def queue(self, queue: str, priority: Priority | str) -> str:
        """Stream with the group `GROUP`: one entry per queued or claimed job."""
        return self._key(f"queue:{queue}:{priority}")

    def queues(self) -> str:
        """Set: names of all queues that were ever declared or submitted to."""
        return self._key("queues")

    def scheduled(self) -> str:
        """Zset of job ids by due time (ms): delayed jobs, retries, and woken waiters (now)."""
        return self._key("scheduled")

    def blocked(self) -> str:
        """Zset of job ids by the time (ms) they began to wait for a lock or another job."""
        return self._key("blocked")

    def running(self) -> str:
        """Zset of job ids by start (ms): jobs with a start record."""
        return self._key("running")

    def done(self, state: str) -> str:
        """Zset of job ids by finish (ms), one per terminal state. Pruned by age and count."""
        return self._key(f"done:{state}")

    def task_done(self, task: str) -> str:
        """Zset of job ids by finish (ms), one per task. Pruned with the records."""
        return self._key(f"task:{task}:done")

    def counts(self) -> str:
        """Hash `<state>:<task>` -> number of live jobs in that state."""
        return self._key("counts")

    def tally(self) -> str:
        """List `<second> <what>=<number>,… <task>`: what is not yet folded into `stats`."""
        return self._key("tally")

    def folds(self) -> str:
        """Hash: how often the tally was folded, since when, and how many days are kept."""
        return self._key("folds")

    def stats(self, window: str, bucket: int) -> str:
        """Hash task (and `*` for all) -> packed counts of one bucket of a window. Expires."""
        return self._key(f"stats:{window}:{bucket}")

    def workers(self) -> str:
        """Zset of worker ids by lease end (ms)."""
        return self._key("workers")

    def worker(self, worker: str) -> str:
        """Hash: host, pid, boot id, slots … of a worker process. Dropped once it is rescued."""
        return self._key(f"worker:{worker}")

    def daemons(self) -> str:
        """Zset of daemon ids by lease end (ms)."""
        return self._key("daemons")

    def daemon(self, daemon: str) -> str:
        """Hash: host, pid, manifest, version … of a supervisor. Expires with its lease."""
        return self._key(f"daemon:{daemon}")

    def knowers(self) -> str:
        """Zset of daemon ids by the instant (ms) until which their `known_tasks` are believed."""
        return self._key("knowers")

    def known_tasks(self, daemon: str) -> str:
        """Set: the tasks that a daemon knows. Expires a minute after its last beat."""
        return self._key(f"knows:{daemon}")

    def parked(self) -> str:
        """Zset of job ids by due time (ms): scheduled until a worker claims that knows the task."""
        return self._key("parked")

    def control(self, worker: str) -> str:
        """List: ids of jobs that this worker shall cancel. Expires an hour after the last push."""
        return self._key(f"control:{worker}")

    def cancelling(self) -> str:
        """Set: claimed jobs with an unanswered cancel request; read at each heartbeat."""
        return self._key("cancelling")

    def lock(self, name: str) -> str:
        """Zset of holding job ids by the end (ms) of their lease on the lock."""
        return self._key(f"lock:{name}")

    def lock_waiting(self, name: str) -> str:
        """Zset of job ids that wait for the lock, by the time (ms) they began to wait."""
        return self._key(f"waiting:{name}")

    def locks(self) -> str:
        """Zset of lock names by the earliest lease end (ms): locks that are held or waited for."""
        return self._key("locks")

    def tokens(self) -> str:
        """Counter: fencing tokens of locks. One for all locks, so it grows for each of them."""
        return self._key("tokens")

    def results(self) -> str:
        """Zset of job ids by the end (ms) of their result's life, for tasks with `result_ttl`."""
        return self._key("results")

    def watchers(self, job_id: str) -> str:
        """Set of `job:<id>` and `client:<channel>`: who is told when this job has ended."""
        return self._key(f"watchers:{job_id}")

    def unique(self, key: str) -> str:
        """String: idempotency key -> job id. Lives as long as the job's record."""
        return self._key(f"unique:{key}")

    def cron(self, cron: str) -> str:
        """Hash: last handled fire time, next, paused, last job and its result."""
        return self._key(f"cron:{cron}")

    def cron_boots(self, cron: str) -> str:
        """Set: boot ids of machines for which this `@reboot` cron has fired."""
        return self._key(f"boots:{cron}")

    def manifest(self) -> str:
        """Hash: published tasks and crons, without secrets, for the CLI and clients."""
        return self._key("manifest")

    def log(self, job_id: str) -> str:
        """Stream: output of a job, in chunks of lines. Capped in bytes."""
        return self._key(f"log:{job_id}")

    def server(self) -> str:
        """Hash: `run_id` of the server that serves, and `since` when (ms); 0 for the first one."""
        return self._key("server")

    def full(self) -> str:
        """String: there while the server is nearly full, as a daemon says. Expires."""
        return self._key("full")

    def last_job(self) -> str:
        """Hash task (and `*` for any) -> id of the job submitted last; serves `@last`."""
        return self._key("last")

    def aside(self, key: str) -> str:
        """What stood under another key, as `doctor --repair` has put it aside. Expires."""
        return self._key(f"aside:{key.removeprefix(self._key(''))}")

    def wake_channel(self) -> str:
        """Channel: told that the earliest due time in `scheduled` has moved up."""
        return self._key("wake")

    def client_channel(self, client: str) -> str:
        """Channel of one waiting client: told the id of each watched job that ended."""
        return self._key(f"client:{client}")


GROUP = "workers"  # the consumer group of every queue; consumers are worker ids
