-- End a job that no worker has; of a claimed one, note that it shall be cancelled.
-- include: clock counts holder tally watchers
-- flags: allow-oom
-- KEYS[1] record hash     KEYS[2] queue stream   KEYS[3] scheduled zset  KEYS[4] blocked zset
-- KEYS[5] counts hash     KEYS[6] done zset of the wanted state          KEYS[7] task's done zset
-- KEYS[8] watchers set    KEYS[9] cancelling set  KEYS[10] tally list
-- KEYS with a lock: its zset, its waiting zset; with a cron: cron hash
-- ARGV[1] group           ARGV[2] id             ARGV[3] wanted terminal state
-- ARGV[4] reason or ''    ARGV[5] detail or ''   ARGV[6] the only state to end it in, or ''
-- ARGV[7] 1 with a lock else ''                  ARGV[8] 1 with a cron else ''
-- Returns {'settled', state before, woken job ids}, {'claimed', worker}, {'terminal', state},
--   {'moved', state} when it is not in the state of ARGV[6], or {'gone'}.
local state, task, entry = unpack(redis.call('HMGET', KEYS[1], 'state', 'task', 'entry'))
if not state then
  return {'gone'}
end
if not LIVE[state] then
  return {'terminal', state}
end
if ARGV[6] ~= '' and state ~= ARGV[6] then
  return {'moved', state}
end
local worker = entry and holder_of(KEYS[2], ARGV[1], entry)
if worker then
  redis.call('SADD', KEYS[9], ARGV[2])
  redis.call('HSET', KEYS[1], 'cancel_requested', ARGV[4] ~= '' and ARGV[4] or 1)
  return {'claimed', worker}
end

local now = now_ms()
local woken = {}
local holders, waiting = ARGV[7] ~= '' and KEYS[11], ARGV[7] ~= '' and KEYS[12]
local cron = ARGV[8] ~= '' and KEYS[#KEYS]
if entry then
  redis.call('XDEL', KEYS[2], entry)
end
local was_due = redis.call('ZREM', KEYS[3], ARGV[2]) == 1
redis.call('ZREM', KEYS[4], ARGV[2])
redis.call('SREM', KEYS[9], ARGV[2])
local was_in_line = waiting and redis.call('ZREM', waiting, ARGV[2]) == 1
-- A job that a worker gave back, or that was taken from a dead one, has its lock still.
local was_holder = holders and redis.call('ZREM', holders, ARGV[2]) == 1
if was_holder or (was_in_line and (was_due or state == 'queued')) then
  -- What it had, or a release had woken it for, is free; the next in line must not sleep on.
  local follower = redis.call('ZRANGE', waiting, 0, 0)[1]
  if follower then
    redis.call('ZADD', KEYS[3], 'NX', now, follower)
    woken[1] = follower
  end
end
-- What an attempt before left must not be read as this outcome.
redis.call('HDEL', KEYS[1], 'reason', 'result', 'error', 'detail')
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'finished_at', now)
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'reason', ARGV[4])
end
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'detail', ARGV[5])
end
if cron then
  -- The next fire time must look at the job that still runs, not at this one, which waited for it.
  local awaits, after = unpack(redis.call('HMGET', KEYS[1], 'awaits', 'after'))
  if awaits == 'end' and redis.call('HGET', cron, 'job') == ARGV[2] then
    redis.call('HSET', cron, 'job', after)
  end
  redis.call('HSET', cron, 'last_id', ARGV[2], 'last_state', ARGV[3], 'last_reason', ARGV[4],
    'last_finished_at', now)
  redis.call('HDEL', cron, 'last_duration_ms')
end
redis.call('ZADD', KEYS[6], now, ARGV[2])
redis.call('ZADD', KEYS[7], now, ARGV[2])
tell_watchers(KEYS[8], ARGV[2], KEYS[3], now, woken)
count(state, task, -1)
tally_of(task)[ARGV[3]] = 1
write_counts(KEYS[5])
write_tally(KEYS[10], now)
return {'settled', state, woken}
