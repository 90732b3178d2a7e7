-- Delete finished jobs with all that belongs to them.
-- What is no finished job has no place in the done zsets, and leaves them: else the oldest there
-- would be the same at each prune, for ever.
-- flags: allow-oom
-- KEYS[1..4] done zsets: completed, failed, skipped, cancelled   KEYS[5] results zset
-- KEYS per job: record hash, log stream, task's done zset, watchers set, unique string
-- ARGV: ids of the jobs
-- Returns per job: 'deleted', 'gone', or the live state that forbids it.
local DONE = {completed = 1, failed = 2, skipped = 3, cancelled = 4}
local replies = {}
for index, id in ipairs(ARGV) do
  local at = 1 + index * 5
  local record, log, task_done, watchers, unique = unpack(KEYS, at, at + 4)
  local state = redis.call('HGET', record, 'state')
  if not DONE[state or ''] then
    for done = 1, 4 do
      redis.call('ZREM', KEYS[done], id)
    end
    replies[index] = state or 'gone'
  else
    redis.call('ZREM', KEYS[DONE[state]], id)
    redis.call('ZREM', KEYS[5], id)
    redis.call('ZREM', task_done, id)
    -- The key may belong to a later job by now.
    if redis.call('GET', unique) == id then
      redis.call('DEL', unique)
    end
    -- The memory of a long output is given back by a thread of the server's.
    redis.call('UNLINK', record, log, watchers)
    replies[index] = 'deleted'
  end
end
return replies
