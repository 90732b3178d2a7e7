-- Write the start record of claimed jobs, and take their locks.
-- include: clock counts returned schedule token
-- flags: allow-oom
-- KEYS[1] running zset  KEYS[2] counts hash     KEYS[3] cancelling set  KEYS[4] locks zset
-- KEYS[5] tokens counter                        KEYS[6] blocked zset    KEYS[7] scheduled zset
-- KEYS[8] workers zset  KEYS[9] server hash
-- KEYS per job: record hash, queue stream; with a lock: lock zset, its waiting zset
-- ARGV[1] group         ARGV[2] worker          ARGV[3] wake channel    ARGV[4] number of jobs
-- ARGV[5] for how long after the server's return no lock has ended, milliseconds
-- ARGV per job: id, task, entry, attempt, elapsed ms, lock slots or 0, lock name, ttl ms, conflict
-- Returns per job {what, detail}: 'started' and the lock's token or 0; 'stale'; 'cancelled';
--   'locked' or 'blocked' and the id of a job that has the lock; 'damaged' when nobody can have it.
local now = now_ms()

-- Returns the token, or nil and the id of a job that is in the way, nil for a lock that is damaged.
local function take_lock(id, record, holders, waiting, lock, slots, ttl)
  -- While workers are neither renewed nor buried, their locks are theirs: after a clock was set
  -- forward all leases have ended, also those of jobs that run.
  if redis.call('ZCOUNT', KEYS[8], '-inf', '(' .. now) == 0
    and redis.call('ZCOUNT', holders, '-inf', '(' .. now) > 0
    and ms_since_return(KEYS[9], now) >= tonumber(ARGV[5]) then
    redis.call('ZREMRANGEBYSCORE', holders, '-inf', '(' .. now)
  end
  -- Its own earlier attempt, taken from a dead worker, is no conflict: the job keeps its lock.
  local is_holder = redis.call('ZSCORE', holders, id)
  local held = redis.call('ZCARD', holders)
  local before = redis.call('ZRANK', waiting, id) or redis.call('ZCARD', waiting)
  if not is_holder and held + before >= slots then
    local first = redis.call('ZRANGE', waiting, 0, 0)[1]
    if first and held < slots then
      -- A holder's time was up just now, and nobody else will tell the one whose turn it is.
      schedule(KEYS[7], first, now, ARGV[3])
    end
    return nil, redis.call('ZRANGE', holders, 0, 0)[1] or first
  end
  local added = redis.call('ZADD', holders, now + ttl, id)
  if added == 0 and not is_holder then
    -- What is not on record keeps nobody out: of a damaged lock nobody gets a slot.
    return nil, nil
  end
  local token = next_token(KEYS[5], now)
  redis.call('ZREM', waiting, id)
  redis.call('ZADD', KEYS[4], redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')[2], lock)
  redis.call('HSET', record, 'lock', lock, 'lock_token', token, 'lock_ttl', ttl)
  -- More slots may be free than the last release knew of: the next in line tries, too.
  local follower = not is_holder and held + 1 < slots and redis.call('ZRANGE', waiting, 0, 0)[1]
  if follower then
    schedule(KEYS[7], follower, now, ARGV[3])
  end
  return token
end

local function block(id, task, state, record, stream, entry, waiting, lock, holder)
  redis.call('XACK', stream, ARGV[1], entry)
  redis.call('XDEL', stream, entry)
  -- A growing number and not the time: jobs of one millisecond keep their order.
  redis.call('ZADD', waiting, 'NX', next_token(KEYS[5], now), id)
  redis.call('ZADD', KEYS[6], 'NX', now, id)
  if state == 'running' then
    -- A start repeated after a lost reply, and the lock has gone to others meanwhile.
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', record, 'started_at', 'worker')
  end
  count(state, task, -1)
  count('blocked', task, 1)
  redis.call('HSET', record, 'state', 'blocked', 'lock', lock, 'detail', holder)
end

local function write_start(id, task, state, record, attempt, elapsed)
  count(state, task, -1)
  count('running', task, 1)
  redis.call('HSET', record, 'state', 'running', 'started_at', now - elapsed,
    'attempt', attempt, 'worker', ARGV[2])
  redis.call('ZADD', KEYS[1], now - elapsed, id)
end

local replies = {}
local key_at, arg_at = 10, 6
for _ = 1, tonumber(ARGV[4]) do
  local id, task, entry, attempt, elapsed, slots, lock, ttl, conflict =
    unpack(ARGV, arg_at, arg_at + 8)
  arg_at = arg_at + 9
  slots = tonumber(slots)
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  key_at = key_at + 2
  local holders, waiting
  if slots > 0 then
    holders, waiting = KEYS[key_at], KEYS[key_at + 1]
    key_at = key_at + 2
  end

  local what, token, holder = 'started', 0, nil
  local state, current = unpack(redis.call('HMGET', record, 'state', 'entry'))
  if current ~= entry or (state ~= 'queued' and state ~= 'running') then
    what = 'stale'
    if not state then
      -- It is nobody's: no rescue and no finish would ever take it out of the queue.
      redis.call('XACK', stream, ARGV[1], entry)
      redis.call('XDEL', stream, entry) -- without a record
    end
  elseif redis.call('SISMEMBER', KEYS[3], id) == 1 then
    what = 'cancelled'
  elseif slots > 0 then
    token, holder = take_lock(id, record, holders, waiting, lock, slots, ttl)
    if not token then
      what = holder and 'locked' or 'damaged'
      if holder and conflict == 'wait' then
        what = 'blocked'
        block(id, task, state, record, stream, entry, waiting, lock, holder)
      end
    end
  end
  if what == 'started' then
    write_start(id, task, state, record, attempt, elapsed)
  end
  replies[#replies + 1] = {what, holder or token or 0}
end
write_counts(KEYS[2])
return replies
