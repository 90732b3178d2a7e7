-- Renew a worker's lease and the locks its jobs hold; tell what shall be cancelled.
-- Called by the worker, or for it by its supervisor: what was taken back is refused to both.
-- A full server renews, too: jobs that run must not be stopped for want of room.
-- include: clock
-- flags: allow-oom
-- KEYS[1] workers zset  KEYS[2] worker hash  KEYS[3] cancelling set  KEYS[4] locks zset
-- KEYS per lock: lock zset, record hash of the holding job
-- ARGV[1] worker        ARGV[2] lease ttl ms ARGV[3] process groups as JSON, or '' for those
--   on record            ARGV[4] busy slots
-- ARGV[5] number of locks
-- ARGV per lock: name, job id, token, ttl ms
-- Returns {1 if the lease was renewed, 0 if it had been ended by others; ids of jobs whose lock is
--   lost; ids of jobs to cancel}.
local now = now_ms()
-- An error is no burial: of a key of another type `orphans` makes a new one.
if not redis.pcall('ZSCORE', KEYS[1], ARGV[1]) then
  return {0, {}, {}}
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], 'groups', ARGV[3], 'busy', ARGV[4], 'renewed_at', now)
end
redis.call('EXPIRE', KEYS[2], 86400)

local lost = {}
for index = 1, tonumber(ARGV[5]) do
  local name, id, token, ttl = unpack(ARGV, 2 + index * 4, 5 + index * 4)
  local holders, record = KEYS[3 + index * 2], KEYS[4 + index * 2]
  local is_holder = redis.call('ZSCORE', holders, id)
  if is_holder and redis.call('HGET', record, 'lock_token') == token then
    redis.call('ZADD', holders, now + ttl, id)
    redis.call('ZADD', KEYS[4], redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')[2], name)
  else
    lost[#lost + 1] = id
  end
end
return {1, lost, redis.call('SMEMBERS', KEYS[3])}
