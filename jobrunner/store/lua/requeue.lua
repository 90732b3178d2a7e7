-- Take entries back from a worker, given back by itself (drain) or taken as it died (rescue).
-- include: counts entry
-- flags: allow-oom
-- KEYS[1] running zset  KEYS[2] counts hash  KEYS[3] cancelling set
-- KEYS per entry: record hash, queue stream
-- ARGV[1] group         ARGV[2] 1 if the attempts count as lost, else 0   ARGV[3] number of entries
-- ARGV per entry: id, entry, message, attempts before, lost before, fence, base
-- Returns per entry: 'queued'; 'stale' when the job has another entry by now, or none, or its queue
--   is damaged: then nothing was done; 'cancelling' when nothing was done since the user cancels it:
--   the caller finishes it as cancelled.
local lost = tonumber(ARGV[2])
local replies = {}
local key_at, arg_at = 4, 4
for _ = 1, tonumber(ARGV[3]) do
  local id, entry, message, attempts, losses, fence, base = unpack(ARGV, arg_at, arg_at + 6)
  arg_at = arg_at + 7
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  key_at = key_at + 2

  local reply = 'stale'
  if redis.call('SISMEMBER', KEYS[3], id) == 1 then
    reply = 'cancelling'
  else
    local before, task, current = unpack(redis.call('HMGET', record, 'state', 'task', 'entry'))
    local is_own = current == entry and (before == 'queued' or before == 'running')
    -- First: in a queue that takes no more, the job keeps the entry that it has.
    local added = is_own
      and add_again(stream, id, message, attempts + lost, losses + lost, fence + 1, base)
    if added or not is_own then
      redis.call('XACK', stream, ARGV[1], entry)
      redis.call('XDEL', stream, entry)
    end
    if added then
      reply = 'queued'
      if before == 'running' then
        redis.call('ZREM', KEYS[1], id)
      end
      count(before, task, -1)
      count('queued', task, 1)
      redis.call('HSET', record, 'state', 'queued', 'entry', added, 'attempt', attempts + lost,
        'lost', losses + lost, 'fence', fence + 1)
      redis.call('HDEL', record, 'started_at', 'worker', 'progress')
    end
  end
  replies[#replies + 1] = reply
end
write_counts(KEYS[2])
return replies
