-- End a job that no worker has; of a claimed one, note that it shall be cancelled.
-- include: clock counts holder watchers
-- KEYS[1] record hash     KEYS[2] queue stream   KEYS[3] scheduled zset  KEYS[4] blocked zset
-- KEYS[5] counts hash     KEYS[6] done zset of the wanted state          KEYS[7] task's done zset
-- KEYS[8] watchers set    KEYS[9] cancelling set KEYS[10] waiting zset of its lock, if it has one
-- ARGV[1] group           ARGV[2] id             ARGV[3] wanted terminal state
-- ARGV[4] reason or ''    ARGV[5] detail or ''
-- Returns {'settled', state before, woken job ids}, {'claimed', worker}, {'terminal', state}
--   or {'gone'}.
local state, task, entry = unpack(redis.call('HMGET', KEYS[1], 'state', 'task', 'entry'))
if not state then
  return {'gone'}
end
if not LIVE[state] then
  return {'terminal', state}
end
local worker = entry and holder_of(KEYS[2], ARGV[1], entry)
if worker then
  redis.call('SADD', KEYS[9], ARGV[2])
  redis.call('HSET', KEYS[1], 'cancel_requested', 1)
  return {'claimed', worker}
end

local now = now_ms()
local woken = {}
if entry then
  redis.call('XDEL', KEYS[2], entry)
end
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZREM', KEYS[4], ARGV[2])
if KEYS[10] then
  redis.call('ZREM', KEYS[10], ARGV[2])
  -- It may have been the one just woken by a release; the next in line must not sleep on.
  local follower = redis.call('ZRANGE', KEYS[10], 0, 0)[1]
  if follower then
    redis.call('ZADD', KEYS[3], 'NX', now, follower)
    woken[1] = follower
  end
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'finished_at', now)
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'reason', ARGV[4])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'detail', ARGV[5])
end
redis.call('ZADD', KEYS[6], now, ARGV[2])
redis.call('ZADD', KEYS[7], now, ARGV[2])
tell_watchers(KEYS[8], ARGV[2], KEYS[3], now, woken)
count(state, task, -1)
write_counts(KEYS[5])
return {'settled', state, woken}
