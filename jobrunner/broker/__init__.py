"""taskiq's interface to jobrunner, and the only place that knows taskiq; it loads in half a second.

`@task` functions are taken up by `default_broker` at their first `kiq`. Of taskiq it uses the
kicker, the message, dependency injection, events and the middlewares of users; consuming, acks,
results, retries and schedules are jobrunner's own.
"""

from jobrunner.broker.broker import JobBroker, default_broker, take_up
from jobrunner.broker.injection import Injector

__all__ = ["Injector", "JobBroker", "default_broker", "take_up"]
