-- Move due jobs from scheduled or blocked to their queues.
-- include: clock counts
-- KEYS[1] scheduled zset  KEYS[2] blocked zset  KEYS[3] counts hash
-- KEYS per job: record hash, queue stream
-- ARGV: ids of the jobs
-- Returns per job 1 if it was promoted, else 0 (not due any more, or gone).
local now = now_ms()
local replies = {}
for index, id in ipairs(ARGV) do
  local record, stream = KEYS[2 + index * 2], KEYS[3 + index * 2]
  local due = redis.call('ZSCORE', KEYS[1], id)
  replies[index] = 0
  if due and tonumber(due) <= now then
    redis.call('ZREM', KEYS[1], id)
    local state, task, message, attempt, lost, fence, base = unpack(redis.call('HMGET', record,
      'state', 'task', 'message', 'attempt', 'lost', 'fence', 'base'))
    if state == 'scheduled' or state == 'blocked' then
      redis.call('ZREM', KEYS[2], id)
      local entry = redis.call('XADD', stream, '*', 'id', id, 'm', message, 'n', attempt or 0,
        'l', lost or 0, 'f', (fence or 0) + 1, 'b', base or 0)
      redis.call('HSET', record, 'state', 'queued', 'entry', entry, 'fence', (fence or 0) + 1)
      count(state, task, -1)
      count('queued', task, 1)
      replies[index] = 1
    end
  end
end
write_counts(KEYS[3])
return replies
