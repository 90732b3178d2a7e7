-- Write the start record of claimed jobs, and take their locks.
-- include: clock counts holder
-- KEYS[1] running zset  KEYS[2] counts hash     KEYS[3] cancelling set
-- KEYS[4] locks zset    KEYS[5] tokens counter  KEYS[6] blocked zset
-- KEYS per job: record hash, queue stream; with a lock: lock zset, its waiting zset
-- ARGV[1] group         ARGV[2] worker          ARGV[3] number of jobs
-- ARGV per job: id, task, entry, attempt, fence, elapsed ms, lock name or '', slots, ttl ms, conflict
-- Returns per job {what, detail}: 'started' and the lock's token or 0; 'stale'; 'cancelled';
--   'locked' or 'blocked' and the id of a job that has the lock.
local now = now_ms()
local replies = {}
local key_at, arg_at = 7, 4
for _ = 1, tonumber(ARGV[3]) do
  local id, task, entry, attempt, fence, elapsed, lock, slots, ttl, conflict =
    unpack(ARGV, arg_at, arg_at + 9)
  arg_at = arg_at + 10
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  key_at = key_at + 2
  local holders, waiting
  if lock ~= '' then
    holders, waiting = KEYS[key_at], KEYS[key_at + 1]
    key_at = key_at + 2
  end

  local what, detail = 'started', 0
  if holder_of(stream, ARGV[1], entry) ~= ARGV[2] then
    what = 'stale'
  elseif redis.call('SISMEMBER', KEYS[3], id) == 1 then
    what = 'cancelled'
  elseif holders then
    redis.call('ZREMRANGEBYSCORE', holders, '-inf', '(' .. now)
    -- Its own earlier attempt, taken from a dead worker, is no conflict: the job keeps its lock.
    local is_holder = redis.call('ZSCORE', holders, id)
    local before = redis.call('ZRANK', waiting, id) or redis.call('ZCARD', waiting)
    if is_holder or redis.call('ZCARD', holders) + before < tonumber(slots) then
      detail = redis.call('INCR', KEYS[5])
      redis.call('ZADD', holders, now + ttl, id)
      redis.call('ZREM', waiting, id)
      redis.call('ZADD', KEYS[4], 'GT', now + ttl, lock)
      redis.call('HSET', record, 'lock', lock, 'lock_token', detail)
    else
      detail = redis.call('ZRANGE', holders, 0, 0)[1] or redis.call('ZRANGE', waiting, 0, 0)[1]
      what = 'locked'
      if conflict == 'wait' then
        what = 'blocked'
        redis.call('XACK', stream, ARGV[1], entry)
        redis.call('XDEL', stream, entry)
        redis.call('ZADD', waiting, 'NX', now, id)
        redis.call('ZADD', KEYS[4], 'NX', now, lock)
        redis.call('ZADD', KEYS[6], 'NX', now, id)
        count(redis.call('HGET', record, 'state'), task, -1)
        count('blocked', task, 1)
        redis.call('HSET', record, 'state', 'blocked', 'lock', lock, 'detail', detail)
        redis.call('HDEL', record, 'entry')
      end
    end
  end

  if what == 'started' then
    local state = redis.call('HGET', record, 'state')
    if state ~= 'running' then
      count(state, task, -1)
      count('running', task, 1)
    end
    redis.call('HSET', record, 'state', 'running', 'started_at', now - elapsed,
      'attempt', attempt, 'fence', fence, 'worker', ARGV[2])
    redis.call('HDEL', record, 'detail')
    redis.call('ZADD', KEYS[1], now - elapsed, id)
  end
  replies[#replies + 1] = {what, detail}
end
write_counts(KEYS[2])
return replies
