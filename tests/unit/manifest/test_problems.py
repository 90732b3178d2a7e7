"""What a person reads who has made a mistake: what, why, fix, and the place."""

import pytest

from jobrunner.errors import ManifestError
from jobrunner.manifest.load import read_manifest
from tests.unit.manifest.reading import place, problems, read


def test_a_mistyped_key_is_explained_as_promised() -> None:
    (problem,) = problems(
        """
        tasks:
          nightly-report:
            command: report
            tiemout: 5m
        """
    )

    assert str(problem.where) == "/srv/shop/jobs.yaml:5:5"
    assert problem.what == "unknown key 'tiemout' in task 'nightly-report'"
    assert problem.why is not None
    assert problem.why.startswith("a task accepts ack, command, cron, cwd, description, env,")
    assert problem.fix == "rename it to 'timeout'"


# The text; place; what; the beginning of why; fix.
MISTAKES = [
    (
        "tasks: {a: {python: 'm:f', umask: '027'}}",
        "1:28",
        "'umask' has no meaning for the function of task 'a'",
        "functions run in processes that they share",
        "remove it, or make the task a command, e.g. [python, -m, shop.jobs]",
    ),
    (
        "tasks: {a: {command: x, timezone: UTC}}",
        "1:25",
        "unknown key 'timezone' in task 'a'",
        "a task accepts",
        "remove it here; 'timezone' is a key of a cron",
    ),
    (
        "tasks: {a: {command: x, retry: {atempts: 3}}}",
        "1:33",
        "unknown key 'atempts' in retry of task 'a'",
        "retry accepts attempts, backoff, delay,",
        "rename it to 'attempts'",
    ),
    (
        "tasks: {a: {command: x, params: {p: {zzz: 1}}}}",
        "1:38",
        "unknown key 'zzz' in parameter 'p' of task 'a'",
        "a parameter accepts allow_dash, choices,",
        "remove it",
    ),
    (
        "jobs: {}",
        "1:1",
        "unknown key 'jobs' in the manifest",
        "the manifest accepts adhoc,",
        "remove it",
    ),
    (
        "tasks: {a: {command: x, retry: {attempts: many}}}",
        "1:43",
        "'attempts' of retry of task 'a' must be a whole number, not 'many'",
        "attempts: Attempts all in all",
        "write a number such as 3, without a unit",
    ),
    (
        "tasks: {a: {command: x, retry: {attempts: 0}}}",
        "1:43",
        "'attempts' of retry of task 'a' must be at least 1, not 0",
        "attempts:",
        "write 1 or more",
    ),
    (
        "tasks: {a: {command: x, nice: true}}",
        "1:31",
        "'nice' of task 'a' cannot be used: true is not a number",
        "nice:",
        "write a number such as 3",
    ),
    (
        "tasks: {a: {command: x, priority: hihg}}",
        "1:35",
        "'priority' of task 'a' must be one of high, normal, low, not 'hihg'",
        "priority:",
        "write 'high'",
    ),
    (
        "tasks: {a: {command: x, timeout: soon}}",
        "1:34",
        "'timeout' of task 'a' cannot be used: 'soon' is not a duration",
        "timeout:",
        "write e.g. 90s, 5m, 2h, 1d, 1h30m, or a number of seconds",
    ),
    (
        "tasks: {a: {command: x, limits: {memory: big}}}",
        "1:42",
        "'memory' of limits of task 'a' cannot be used: 'big' is not a size",
        "memory:",
        "write e.g. 512M, 1.5G, 64k, or a number of bytes",
    ),
    (
        "tasks: {a: {command: x, umask: 9}}",
        "1:32",
        "'umask' of task 'a' cannot be used: 9 is not a umask",
        "umask:",
        "write octal digits in quotes, e.g. '027'",
    ),
    (
        'tasks: {a: {command: "sh -c \'x"}}',
        "1:22",
        "'command' of task 'a' cannot be used: \"sh -c 'x\" cannot be split into words: "
        "no closing quotation",
        "command:",
        "close the quote, or write the words as a list",
    ),
    (
        "tasks: {a: {command: [echo, ]}, b: [x]}",
        "1:33",
        "task 'b' must be a mapping, not a list",
        None,
        "write 'key: value' lines below it",
    ),
    (
        "tasks: {a: {command: x, success_codes: [0, x]}}",
        "1:44",
        "item 2 of 'success_codes' of task 'a' must be a whole number, not 'x'",
        "success_codes:",
        "write a number such as 3, without a unit",
    ),
    (
        "adhoc: maybe",
        "1:8",
        "'adhoc' must be true or false, not 'maybe'",
        "adhoc:",
        "write true or false",
    ),
    (
        "tasks: {a: {command: x, description: [x]}}",
        "1:25",
        "'description' of task 'a' must be a text, not a list",
        "description:",
        "write one text; put numbers, true and false in quotes",
    ),
    (
        "workers: {processes: 0}",
        "1:22",
        "'processes' of workers cannot be used: 0 is not a number of processes",
        "processes:",
        "write auto, or 1 to 1024",
    ),
    (
        "env: {A: }",
        "1:10",
        "environment variable 'A' cannot be used: it has no value",
        None,
        'write "" for an empty one, or remove the key',
    ),
    (
        "tasks: {a: {command: x, env: {A: {env: X, file: y}}}}",
        "1:31",
        "environment variable 'A' of task 'a' must have exactly one of env, file",
        "a secret is read from",
        "write {env: NAME} or {file: PATH}",
    ),
    (
        "defaults: {env: {A: {}}}",
        "1:18",
        "environment variable 'A' of defaults must have exactly one of env, file",
        "a secret is read from",
        "write {env: NAME} or {file: PATH}",
    ),
    (
        "env: {'A=B': x}",
        "1:7",
        "'A=B' cannot be the name of an environment variable",
        "a name has",
        "write 'NAME: value'",
    ),
    (
        "tasks: {a: {}}",
        "1:9",
        "task 'a' has nothing to do",
        "a task has exactly one of command, shell, python",
        "add one of them",
    ),
    (
        "tasks: {a: {command: x, shell: y}}",
        "1:25",
        "task 'a' has command and shell",
        "a task has exactly one of command, shell, python",
        "keep one of them",
    ),
    (
        "tasks: {a: {python: shop.jobs.cleanup}}",
        "1:21",
        "'python' of task 'a' is 'shop.jobs.cleanup', which names no function",
        "a function is named as",
        "write module:function, e.g. shop.jobs:cleanup",
    ),
    (
        "tasks: {a: {command: ''}}",
        "1:22",
        "'command' of task 'a' is empty",
        None,
        "write a program and its arguments",
    ),
    (
        "tasks: {a: {command: x, lock_ttl: 1m, lock: {name: a}}}",
        "1:25",
        "task 'a' has both lock and lock_ttl",
        "lock_ttl is short",
        "remove lock_ttl and set 'ttl' in lock",
    ),
    (
        "tasks: {a: {command: x, lock: {ttl: 1m}}}",
        "1:25",
        "key 'name' is missing in lock of task 'a'",
        "name: The lock's name",
        "add 'name: …'",
    ),
    (
        "tasks: {a: {command: x, lock: {name: ''}}}",
        "1:38",
        "the lock of task 'a' has no name",
        None,
        "write e.g. 'a'",
    ),
    (
        "tasks: {a: {command: x, lock_ttl: 0.5}}",
        "1:35",
        "'lock_ttl' of task 'a' must be at least one second",
        "a lock is renewed",
        "write e.g. 2m: it is how long a crash blocks, not how long a job may take",
    ),
    (
        "tasks: {a: {command: x, lock: {name: a, ttl: 0}}}",
        "1:46",
        "'ttl' of task 'a' must be at least one second",
        "a lock is renewed",
        "write e.g. 2m: it is how long a crash blocks, not how long a job may take",
    ),
    (
        "tasks: {a: {command: x, timeout: 0}}",
        "1:34",
        "'timeout' of task 'a' must be longer than zero",
        None,
        "write e.g. 30s, or remove the key",
    ),
    (
        "defaults: {timeout: 0s}",
        "1:21",
        "'timeout' of defaults must be longer than zero",
        None,
        "write e.g. 30s, or remove the key",
    ),
    (
        "tasks: {a b: {command: x}}",
        "1:9",
        "task name 'a b' is not allowed",
        "a name has up to 64",
        "rename it, e.g. to 'a-b'",
    ),
    (
        "name: Our shop",
        "1:7",
        "name 'Our shop' is not allowed",
        "a name has up to 64",
        "write e.g. 'Our-shop'",
    ),
    (
        "tasks: {a: {command: x, queue: a/b}}",
        "1:32",
        "queue name 'a/b' is not allowed",
        "a name has up to 64",
        "write e.g. 'a-b'",
    ),
    (
        "defaults: {queue: a/b}",
        "1:19",
        "queue name 'a/b' is not allowed",
        "a name has up to 64",
        "write e.g. 'a-b'",
    ),
    (
        "tasks: {a: {command: x, queue: web}}\nworkers: {queues: [wbe]}",
        "2:20",
        "no task uses queue 'wbe'",
        "the queues of this manifest are default, web",
        "write 'web'",
    ),
    (
        "store: {url: 'http://u:pw@host'}",
        "1:14",
        "'url' of store begins with 'http://'",
        "a store is reached by redis://, rediss://, unix://",
        "write e.g. redis://localhost:6379/0, or leave it out for an embedded server",
    ),
    (
        "store: {url: localhost}",
        "1:14",
        "'url' of store is no URL",
        "a store is reached by",
        "write e.g. redis://localhost:6379/0, or leave it out for an embedded server",
    ),
    (
        "imports: [shop/jobs.py]",
        "1:11",
        "'shop/jobs.py' is not the name of a module",
        "imports lists Python modules, not files",
        "write e.g. shop.jobs for shop/jobs.py",
    ),
    # Parameters
    (
        "tasks: {a: {command: x, params: {a-b: {}}}}",
        "1:34",
        "parameter name 'a-b' is not allowed",
        "a parameter becomes",
        "rename it, e.g. with '_' for '-'",
    ),
    (
        "tasks: {a: {command: 'x {dya}', params: {day: {}}}}",
        "1:22",
        "{dya} in 'command' of task 'a' is no parameter",
        "its parameters are day",
        "write {day}",
    ),
    (
        "tasks: {a: {command: [x, 'y', '{b}']}}",
        "1:31",
        "{b} in 'command' of task 'a' is no parameter",
        "the task declares no parameters",
        "declare 'b' in params, or write {{b}} for the text itself",
    ),
    (
        "tasks: {a: {shell: x, cwd: '/{b}'}}",
        "1:28",
        "{b} in 'cwd' of task 'a' is no parameter",
        "the task declares no parameters",
        "declare 'b' in params, or write {{b}} for the text itself",
    ),
    (
        "tasks: {a: {shell: x, lock: {name: 'x-{b}'}}}",
        "1:36",
        "{b} in 'lock' of task 'a' is no parameter",
        "the task declares no parameters",
        "declare 'b' in params, or write {{b}} for the text itself",
    ),
    (
        "tasks: {a: {command: x, params: {p: {type: dat}}}}",
        "1:44",
        "'type' of parameter 'p' of task 'a' must be one of string, integer, number, boolean, "
        "date, datetime, any, not 'dat'",
        "type:",
        "write 'date'",
    ),
    (
        "tasks: {a: {command: x, params: {p: {type: integer, default: five}}}}",
        "1:62",
        "the default of parameter 'p' of task 'a' must be a whole number, not 'five'",
        None,
        "correct the default",
    ),
    (
        "tasks: {a: {command: x, params: {p: {choices: [a], default: b}}}}",
        "1:61",
        "the default of parameter 'p' of task 'a' must be one of a, not 'b'",
        None,
        "correct the default",
    ),
    (
        "tasks: {a: {command: x, params: {p: {type: date, choices: [2026-01-01, soon]}}}}",
        "1:72",
        "a choice of parameter 'p' of task 'a' must be a date such as 2026-11-21, or today, "
        "not 'soon'",
        "its type is date",
        "correct the choice, or the type",
    ),
    (
        "tasks: {a: {command: x, params: {p: {choices: []}}}}",
        "1:38",
        "'choices' of parameter 'p' of task 'a' is empty",
        "no value could fit",
        "add one, or remove it",
    ),
    (
        "tasks: {a: {command: x, params: {p: {pattern: '['}}}}",
        "1:47",
        "'pattern' of parameter 'p' of task 'a' cannot be used",
        "unclosed character class",
        "correct it, or remove the key",
    ),
    (
        "tasks: {a: {command: x, params: {p: {min: 5}}}}",
        "1:43",
        "'min' of parameter 'p' of task 'a' has no meaning",
        "its type is string",
        "remove it, or set type: integer",
    ),
    (
        "tasks: {a: {command: x, params: {p: {type: integer, pattern: x}}}}",
        "1:62",
        "'pattern' of parameter 'p' of task 'a' has no meaning",
        "its type is integer",
        "remove it, or set type: string",
    ),
    (
        "tasks: {a: {command: x, params: {p: {type: integer, min: 5, max: 1}}}}",
        "1:58",
        "'min' of parameter 'p' of task 'a' is greater than its 'max'",
        "no value could fit",
        "exchange the two",
    ),
    # Crons
    (
        "crons: {c: {task: bakcup, every: 5m}}\ntasks: {backup: {command: x}}",
        "1:19",
        "cron 'c' asks for task 'bakcup', which does not exist",
        "the tasks are backup",
        "write 'backup'",
    ),
    (
        "crons: {c: {task: backup, every: 5m}}",
        "1:19",
        "cron 'c' asks for task 'backup', which does not exist",
        "no task is declared",
        "declare 'backup' under tasks",
    ),
    (
        "crons: {c: {every: 5m}}",
        "1:9",
        "key 'task' is missing in cron 'c'",
        "task: Name of the task.",
        "add 'task: …'",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a}}",
        "2:9",
        "cron 'c' has no time to fire",
        "a cron has exactly one of cron, every",
        'add e.g. cron: "0 2 * * *" or every: 90s',
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, cron: '@daily', every: 5m}}",
        "2:38",
        "cron 'c' has cron and every",
        "a cron has exactly one of cron, every",
        "keep one of them",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, every: 500ms}}",
        "2:29",
        "'every' of cron 'c' must be at least one second",
        None,
        "write e.g. 90s",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, every: 5m, timezone: europe/berln}}",
        "2:43",
        "time zone 'europe/berln' of cron 'c' is unknown",
        "zones are named as in the time zone database",
        "write 'Europe/Berlin'",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, every: 5m, timezone: GMT+2}}",
        "2:43",
        "time zone 'GMT+2' of cron 'c' is unknown",
        "zones are named as in the time zone database",
        "write a place, e.g. 'Europe/Berlin', or 'Etc/GMT-2', which is UTC+2",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, every: 5m, timezone: ../UTC}}",
        "2:43",
        "time zone '../UTC' of cron 'c' is unknown",
        "zones are named as in the time zone database",
        "write 'UTC'",
    ),
    (
        "tasks: {a: {command: x, params: {n: {type: integer}}}}\n"
        "crons: {c: {task: a, every: 5m, params: {n: five}}}",
        "2:33",
        "cron 'c': parameter 'n' of task 'a' must be a whole number, not 'five'",
        "'n' is declared as integer",
        "give 'n' a whole number such as 3",
    ),
    (
        "tasks: {a: {command: x, params: {n: {}}}}\ncrons: {c: {task: a, every: 5m}}",
        "2:9",
        "cron 'c': parameter 'n' of task 'a' is missing",
        "'n' is required and has no default",
        "give 'n' a text",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {c: {task: a, every: 5m, lock_ttl: 0}}",
        "2:43",
        "'lock_ttl' of cron 'c' must be at least one second",
        "a lock is renewed",
        "write e.g. 2m: it is how long a crash blocks, not how long a job may take",
    ),
    (
        "tasks: {a: {command: x, cron: '@daily'}}\ncrons: {a: {task: a, every: 5m}}",
        "1:31",
        "cron 'a' is declared twice",
        "it was first declared at /srv/shop/jobs.yaml:2:9",
        "remove this one, or rename the other",
    ),
    (
        "tasks: {a: {command: x}}\ncrons: {'c!': {task: a, every: 5m}}",
        "2:9",
        "cron name 'c!' is not allowed",
        "a name has up to 64",
        "rename it, e.g. to 'c'",
    ),
]


@pytest.mark.parametrize(("text", "where", "what", "why", "fix"), MISTAKES)
def test_a_mistake_is_explained(
    text: str, where: str, what: str, why: str | None, fix: str
) -> None:
    (problem,) = problems(text)

    assert problem.what == what
    assert place(problem) == where
    assert (problem.why or "").startswith(why or "")
    assert (problem.why is None) == (why is None)
    assert problem.fix == fix


def test_all_problems_are_reported_in_the_order_of_the_file() -> None:
    found = problems(
        """
        nmae: x
        store: {durability: sometimes}
        tasks:
          a:
            comand: x
            shell: echo ${HOME}
            cwd: /x/{day}
            env: {X: "${GONE}"}
          b: {command: x, params: {p: {type: foo}, q: {default: 5, type: date}}}
          a: {command: y}
        crons:
          c: {task: aa, every: 5m, misfire: never}
        """
    )

    assert [place(problem) for problem in found] == [
        "2:1",
        "3:21",
        "6:5",
        "8:10",
        "9:14",
        "10:38",
        "10:57",
        "11:3",
        "13:13",
        "13:37",
    ]


def test_a_faulty_part_causes_no_further_problem() -> None:
    found = problems(
        """
        tasks:
          a: {command: [x, "{p}"], params: {p: {type: foo}}}
          b: {command: "'", lock: 5}
          c: {python: 5.5.5, params: 7}
          d: 5
        crons:
          a: {task: a, every: 5m, params: {p: 1}}
          d: {task: d, every: often, params: {p: 1}}
        """
    )

    assert [place(problem) for problem in found] == [
        "3:47",
        "4:16",
        "4:27",
        "5:15",
        "5:30",
        "6:6",
        "9:23",
    ]


def test_a_faulty_key_that_must_be_there_causes_no_further_problem() -> None:
    found = problems(
        """
        tasks: {a: {command: x}}
        crons:
          c: {task: {}, cron: "@daily"}
          d: {task: b, cron: "@daily"}
        """
    )

    assert [place(problem) for problem in found] == ["4:7", "5:13"]


def test_no_argument_is_held_against_a_faulty_pattern() -> None:
    (found,) = problems(
        """
        tasks: {a: {command: x, params: {p: {pattern: "[a"}}}}
        crons: {c: {task: a, cron: "@daily", params: {p: x}}}
        """
    )

    assert found.what == "'pattern' of parameter 'p' of task 'a' cannot be used"


def test_values_of_env_and_the_url_are_never_shown() -> None:
    found = problems(
        "store: {url: [hunter2]}\nenv: {A: [hunter2], B: {env: [hunter2]}}\n"
        "tasks: {a: {command: x, env: {C: [hunter2]}}}"
    )

    assert len(found) == 4
    assert not [problem for problem in found if "hunter2" in str(problem)]


def test_a_duplicate_key_is_reported_beside_other_problems() -> None:
    first, second = problems("tasks:\n  a: {command: x}\n  a: {command: y}\nfoo: 1\n")

    assert (first.what, second.what) == (
        "key 'a' is given twice",
        "unknown key 'foo' in the manifest",
    )


def test_a_syntax_error_is_reported_with_its_excerpt() -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifest("tasks:\n  a: *\n", "jobs.yaml", {})

    (problem,) = caught.value.problems
    assert problem.excerpt == "  a: *\n     ^"


def test_braces_of_other_programs_are_no_placeholders() -> None:
    task = read("tasks: {a: {command: \"find . -exec rm {} ';' awk '{print $1}' {{.Names}}\"}}")

    assert task.manifest.tasks["a"].command is not None


def test_a_long_list_of_names_is_cut_short() -> None:
    tasks = "".join(f"  t{number:02}: {{command: x}}\n" for number in range(50))

    (problem,) = problems(f"tasks:\n{tasks}crons: {{c: {{task: x, every: 5m}}}}")

    assert problem.why is not None
    assert problem.why.endswith("t18, t19, … (50 in all)")
