"""Short ways to read a manifest and to see what is wrong with it."""

from collections.abc import Mapping
from textwrap import dedent

import pytest

from jobrunner.errors import ManifestError, Problem
from jobrunner.manifest.load import LoadedManifest, read_manifest

FILE = "/srv/shop/jobs.yaml"

# The example of the design, with its comments.
EXAMPLE = """\
name: shop                        # namespace; default: the folder's name
imports: [shop.jobs]              # modules with @task functions
store: {url: "${REDIS_URL}", durability: everysec}          # omit: embedded server
workers: {processes: auto, slots: 64, drain: 30s}
defaults: {timeout: 10m, retry: {attempts: 3, delay: 5s, max_delay: 5m}}
tasks:
  backup:
    description: Dump the shop database
    command: [pg_dump, --format=custom, --file=/backups/{day}.dump, shop]   # argv, no shell
    params: {day: {type: date, default: today}}
    timeout: 2h
    kill_grace: 20s
    lock_ttl: 10m
  warm-cache:
    shell: |                      # /bin/sh -eu; parameters arrive as environment variables only
      curl --fail "$SHOP_URL/warm?region=$REGION"
    params: {region: {type: string, choices: [eu, us]}}
    env: {SHOP_URL: "https://shop.example"}
    retry: {attempts: 5, delay: 2s, backoff: exponential, max_delay: 1m, exit_codes: [7, 22, 28]}
    queue: web
    priority: high
  cleanup:
    python: shop.jobs:cleanup_expired
crons:
  nightly-backup: {task: backup, cron: "0 2 * * *", timezone: Europe/Berlin, misfire: once}
  cleanup: {task: cleanup, cron: "*/5 * * * *", lock_ttl: 120, jitter: 20s}
"""

# Every key there is.
EVERYTHING = """\
name: shop
imports: []
include: []
store: {url: "redis://localhost", durability: always, server: /usr/bin/valkey-server}
workers: {processes: 2, slots: 8, drain: 1m, queues: [web]}
retention: {completed: 1d, failed: 2d, jobs: 10, logs: 1h}
bounds: {arguments: 1M, result: 2M}
adhoc: true
timezone: Europe/Berlin
env: {A: 1, B: 1.10, C: true, D: {env: TOKEN}, E: {file: /run/secret}}
env_file: shop.env
defaults:
  interpreter: bash
  cwd: /tmp
  env: {F: x}
  env_file: [a.env, b.env]
  inherit_env: false
  user: shop
  group: shop
  umask: 027
  nice: 5
  limits: {memory: 1G, cpu: 5m, files: 100}
  timeout: 1h
  kill_grace: 5s
  success_codes: [0, 3]
  fail_when: {output: ^ERROR}
  retry: &retry
    attempts: 3
    delay: 1s
    backoff: linear
    max_delay: 1m
    jitter: false
    exit_codes: [1]
    exceptions: [OSError]
  max_lost: 2
  queue: web
  priority: low
  ack: each
  record: eager
  output: {max_bytes: 64k}
  result_ttl: 1d
tasks:
  all:
    description: Everything
    command: "echo '{s} {i}'"
    params:
      s: {type: string, default: a, required: false, choices: [a, b], pattern: "[ab]"}
      i: {type: integer, default: 5, min: 1, max: 9, secret: true, description: A number}
      n: {type: number, default: 2.5}
      b: {type: boolean, default: false}
      d: {type: date, default: today}
      t: {type: datetime, default: now}
      j: {type: any, default: [1, 2]}
    cwd: "/srv/{s}"
    env: {G: y}
    env_file: c.env
    inherit_env: [LC_ALL]
    user: root
    group: root
    umask: "022"
    nice: -5
    limits: {memory: 512M}
    timeout: 90
    kill_grace: 1
    success_codes: [0]
    fail_when: {stderr: true}
    retry: {<<: *retry, attempts: 2}
    max_lost: 1
    lock: {name: "all-{s}", ttl: 1m, slots: 2, conflict: wait}
    queue: web
    priority: high
    ack: batch
    record: lazy
    output: {max_bytes: 1000}
    result_ttl: 1h
    cron: "@daily"
  script: {shell: "true", interpreter: [bash, -eu], lock_ttl: 5m}
  function: {python: "shop.jobs:work"}
crons:
  six: {task: script, cron: "0 0 2 * * *", timezone: Asia/Kolkata, description: Six fields}
  often:
    task: all
    every: 90s
    params: {s: b}
    misfire: all
    grace: 2m
    catch_up: {window: 6h, count: 5}
    overlap: queue
    jitter: 10s
    lock_ttl: 3m
    enabled: false
"""


def read(
    text: str, environ: Mapping[str, str] | None = None, *, file: str = FILE
) -> LoadedManifest:
    return read_manifest(dedent(text), file, environ or {})


def problems(
    text: str, environ: Mapping[str, str] | None = None, *, file: str = FILE
) -> list[Problem]:
    with pytest.raises(ManifestError) as caught:
        read(text, environ, file=file)
    return caught.value.problems


def place(problem: Problem) -> str:
    """`line:column`."""
    assert problem.where is not None
    return f"{problem.where.line}:{problem.where.column}"
