-- End attempts: each job becomes terminal, or is scheduled for its retry. The ack is the fence.
-- include: clock counts schedule watchers
-- KEYS[1] running zset     KEYS[2] counts hash   KEYS[3] scheduled zset  KEYS[4] cancelling set
-- KEYS[5] locks zset       KEYS[6] results zset (by the end of their life)
-- KEYS[7..10] done zsets: completed, failed, skipped, cancelled
-- KEYS per job: record hash, queue stream, task's done zset, watchers set; with a lock: lock zset,
--   its waiting zset; with a cron: cron hash
-- ARGV[1] group            ARGV[2] wake channel  ARGV[3] worker          ARGV[4] number of jobs
-- ARGV per job: id, entry, state, reason, result, error, detail, attempt, duration ms,
--   retry delay ms or '', result's life ms or '', lock slots or 0, lock name, 1 with a cron else ''
-- Returns {list of results per job, list of woken job ids}; a result is the state written,
--   or '' when the attempt no longer belongs to the caller.
local now = now_ms()
local DONE = {completed = 7, failed = 8, skipped = 9, cancelled = 10}
local has_cancelling = redis.call('EXISTS', KEYS[4]) == 1
local results, woken = {}, {}
local key_at, arg_at = 11, 5

local function release_lock(holders, waiting, lock, slots, id)
  redis.call('ZREM', holders, id)
  redis.call('ZREMRANGEBYSCORE', holders, '-inf', '(' .. now)
  redis.call('ZREM', waiting, id)
  local free = slots - redis.call('ZCARD', holders)
  local next_ids = free > 0 and redis.call('ZRANGE', waiting, 0, free - 1) or {}
  for _, waiter in ipairs(next_ids) do
    redis.call('ZADD', KEYS[3], 'NX', now, waiter)
    woken[#woken + 1] = waiter
  end
  if #next_ids == 0 and redis.call('EXISTS', holders) == 0 then
    redis.call('ZREM', KEYS[5], lock)
  end
end

for _ = 1, tonumber(ARGV[4]) do
  local id, entry, state, reason, result, error_text, detail, attempt, duration, retry_delay,
    result_life, slots, lock, has_cron = unpack(ARGV, arg_at, arg_at + 13)
  arg_at = arg_at + 14
  local record, stream, task_done, watchers = unpack(KEYS, key_at, key_at + 3)
  key_at = key_at + 4
  slots = tonumber(slots)
  local holders, waiting, cron
  if slots > 0 then
    holders, waiting = KEYS[key_at], KEYS[key_at + 1]
    key_at = key_at + 2
  end
  if has_cron ~= '' then
    cron = KEYS[key_at]
    key_at = key_at + 1
  end

  local is_ours = redis.call('XACK', stream, ARGV[1], entry) == 1
  local before, task
  if is_ours then
    redis.call('XDEL', stream, entry)
    before, task = unpack(redis.call('HMGET', record, 'state', 'task'))
  end
  if not before then
    results[#results + 1] = ''
  else
    count(before, task, -1)
    local fields = {'attempt', attempt, 'duration_ms', duration, 'worker', ARGV[3]}
    local function set(name, value)
      if value ~= '' then
        fields[#fields + 1] = name
        fields[#fields + 1] = value
      end
    end
    if before == 'running' then
      redis.call('ZREM', KEYS[1], id)
    elseif state == 'completed' or state == 'failed' then
      set('started_at', now - duration)
    end
    local is_cancelling = has_cancelling and redis.call('SREM', KEYS[4], id) == 1
    if retry_delay ~= '' and is_cancelling then
      state, reason, retry_delay = 'cancelled', '', ''
    end
    if attempt ~= '0' and attempt ~= '1' then
      -- What the attempt before left must not be read as the outcome of this one.
      redis.call('HDEL', record, 'reason', 'result', 'error', 'detail')
    end
    if retry_delay ~= '' then
      state = 'scheduled'
      local due = now + tonumber(retry_delay)
      set('due_at', due)
      schedule(KEYS[3], id, due, ARGV[2])
      count('scheduled', task, 1)
      redis.call('HDEL', record, 'progress')
    else
      set('finished_at', now)
      redis.call('ZADD', KEYS[DONE[state]], now, id)
      redis.call('ZADD', task_done, now, id)
      tell_watchers(watchers, id, KEYS[3], now, woken)
      if cron then
        redis.call('HSET', cron, 'last_id', id, 'last_state', state, 'last_reason', reason,
          'last_finished_at', now, 'last_duration_ms', duration)
      end
      if result_life ~= '' and result ~= '' then
        redis.call('ZADD', KEYS[6], now + tonumber(result_life), id)
      end
    end
    set('state', state)
    set('reason', reason)
    set('result', result)
    set('error', error_text)
    set('detail', detail)
    redis.call('HSET', record, unpack(fields))
    if slots > 0 then
      release_lock(holders, waiting, lock, slots, id)
    end
    results[#results + 1] = state
  end
end
write_counts(KEYS[2])
return {results, woken}
