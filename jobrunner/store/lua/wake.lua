-- Wake the first waiter of a lock with a holder that vanished; forget a lock that nobody wants.
-- include: clock returned
-- flags: allow-oom
-- KEYS[1] lock zset  KEYS[2] waiting zset  KEYS[3] locks zset  KEYS[4] scheduled zset
-- KEYS[5] server hash
-- KEYS[6] record hash of the first waiter that the caller saw (may be missing)
-- ARGV[1] lock name  ARGV[2] id of that waiter or ''
-- ARGV[3] for how long after the server's return no lock has ended, milliseconds
-- Returns the id of the woken job or ''.
local now = now_ms()
local vanished = 0
if ms_since_return(KEYS[5], now) >= tonumber(ARGV[3]) then
  vanished = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
end
local next_end = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if next_end then
  redis.call('ZADD', KEYS[3], next_end, ARGV[1])
  if vanished == 0 then
    return ''
  end
end
if KEYS[6] then
  local state = redis.call('HGET', KEYS[6], 'state')
  if state ~= 'blocked' and state ~= 'queued' then
    -- It ended without ever having the lock; its place in the line must not hold up the others.
    redis.call('ZREM', KEYS[2], ARGV[2])
  elseif state == 'blocked' then
    redis.call('ZADD', KEYS[4], 'NX', now, ARGV[2])
    return ARGV[2]
  end
end
if not next_end and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[3], ARGV[1])
end
return ''
