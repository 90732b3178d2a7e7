-- Put a claimed job aside for a growing time: another worker knows its task. No attempt counts.
-- include: clock counts schedule
-- flags: allow-oom
-- KEYS[1] scheduled zset  KEYS[2] counts hash    KEYS[3] parked zset     KEYS[4] cancelling set
-- KEYS[5] record hash     KEYS[6] queue stream
-- ARGV[1] group           ARGV[2] wake channel   ARGV[3] id              ARGV[4] entry
-- ARGV[5] first delay ms  ARGV[6] longest ms     ARGV[7] reason          ARGV[8] detail
-- Returns 'parked'; 'stale' when the job has another entry by now, or none; 'cancelling' when nothing
--   was done since the user cancels it: the caller finishes it as cancelled.
if redis.call('SISMEMBER', KEYS[4], ARGV[3]) == 1 then
  return 'cancelling'
end
local state, task, current = unpack(redis.call('HMGET', KEYS[5], 'state', 'task', 'entry'))
if current == ARGV[4] and state == 'running' then
  -- It was begun: without its entry nobody could take it back.
  return 'stale'
end
redis.call('XACK', KEYS[6], ARGV[1], ARGV[4])
redis.call('XDEL', KEYS[6], ARGV[4])
if current ~= ARGV[4] or state ~= 'queued' then
  return 'stale'
end

local now = now_ms()
local before = math.min(redis.call('HINCRBY', KEYS[5], 'parked', 1) - 1, 30)
local due = now + math.min(ARGV[5] * 2 ^ before, tonumber(ARGV[6]))
redis.call('HSET', KEYS[5], 'state', 'scheduled', 'due_at', due, 'reason', ARGV[7],
  'detail', ARGV[8])
schedule(KEYS[1], ARGV[3], due, ARGV[2])
-- Who was due is parked no more: it was promoted, or is about to be.
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], due, ARGV[3])
count(state, task, -1)
count('scheduled', task, 1)
write_counts(KEYS[2])
return 'parked'
