-- Record entries of a queue that are no jobs as failed ones, so that they are seen and not lost.
-- include: clock tally
-- flags: allow-oom
-- KEYS[1] failed jobs' done zset   KEYS[2] task's done zset   KEYS[3] tally list
-- KEYS per entry: record hash, queue stream
-- ARGV[1] group  ARGV[2] worker    ARGV[3] task     ARGV[4] reason
-- ARGV per entry: id for its record, entry, queue, priority, error
-- Returns per entry 1 if it was recorded, 0 if it was acked before.
local now = now_ms()
local replies = {}
local key_at = 4
for arg_at = 5, #ARGV, 5 do
  local id, entry, queue, priority, error_text = unpack(ARGV, arg_at, arg_at + 4)
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  key_at = key_at + 2
  local acked = redis.call('XACK', stream, ARGV[1], entry)
  if acked == 1 then
    redis.call('XDEL', stream, entry)
    redis.call('HSET', record, 'task', ARGV[3], 'queue', queue, 'priority', priority,
      'state', 'failed', 'reason', ARGV[4], 'error', error_text, 'worker', ARGV[2],
      'created_at', now, 'finished_at', now)
    redis.call('ZADD', KEYS[1], now, id)
    redis.call('ZADD', KEYS[2], now, id)
    local sums = tally_of(ARGV[3])
    sums.failed = (sums.failed or 0) + 1
  end
  replies[#replies + 1] = acked
end
write_tally(KEYS[3], now)
return replies
