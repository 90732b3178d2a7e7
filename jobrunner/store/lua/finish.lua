-- End attempts: each job becomes terminal, or is scheduled for its retry. The entry is the fence.
-- include: clock counts fields named schedule tally watchers
-- flags: allow-oom
-- KEYS[1] running zset     KEYS[2] counts hash   KEYS[3] scheduled zset  KEYS[4] cancelling set
-- KEYS[5] locks zset       KEYS[6] results zset (by the end of their life)
-- KEYS[7..10] done zsets: completed, failed, skipped, cancelled
-- KEYS[11..] the jobs' watchers sets, one each
-- KEYS per lot: queue stream, task's done zset; per job of it: record hash; with a lock: lock zset,
--   its waiting zset; with a cron: cron hash
-- KEYS last: tally list
-- ARGV[1] group            ARGV[2] wake channel  ARGV[3] worker
-- ARGV[4] number of jobs   ARGV[5] number of lots
-- ARGV per lot, which is jobs in a row that end alike: state, attempt, number of jobs
-- ARGV per job of it: id, entry, duration ms, number of what else there is to tell; then the name
--   and value of each: reason, result, error, detail, stderr, retry_delay (ms), result_life (ms),
--   cron (1), lock (its name) with slots, usage, left. A short function that completed has none.
-- Returns {list of results per job, list of woken job ids}; a result is the state written,
--   or '' when the attempt no longer belongs to the caller.
local now = now_ms()
local number = tonumber(ARGV[4])
local DONE = {completed = KEYS[7], failed = KEYS[8], skipped = KEYS[9], cancelled = KEYS[10]}
-- Failed jobs whose attempt never began, or ended nobody knows when.
local UNTIMED = {locked = true, unknown_task = true, invalid_arguments = true, lost = true}
local has_cancelling = redis.call('EXISTS', KEYS[4]) == 1
local has_watchers = redis.call('EXISTS', unpack(KEYS, 11, 10 + number)) > 0
local results, woken = {}, {}
-- What can wait is summed up, and written by one command per key: a command costs more than what
-- it does for one job.
local entries, done = {}, {}

local function list_at(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end

local function add_done(key, id)
  local list = list_at(done, key)
  list[#list + 1] = now
  list[#list + 1] = id
end

local function release_lock(holders, waiting, lock, slots, id)
  local freed = redis.call('ZREM', holders, id)
  redis.call('ZREM', waiting, id)
  -- Who ends the job of a dead worker does not know the slots; what was freed is free in any case.
  local free = math.max(freed, slots - redis.call('ZCARD', holders))
  local next_ids = free > 0 and redis.call('ZRANGE', waiting, 0, free - 1) or {}
  for _, waiter in ipairs(next_ids) do
    redis.call('ZADD', KEYS[3], 'NX', now, waiter)
    woken[#woken + 1] = waiter
  end
  if #next_ids == 0 and redis.call('EXISTS', holders) == 0 then
    redis.call('ZREM', KEYS[5], lock)
  end
end

local key_at, arg_at = 11 + number, 6
local job = 0

for _ = 1, tonumber(ARGV[5]) do
  local wanted, attempt, in_lot = unpack(ARGV, arg_at, arg_at + 2)
  local stream, task_done = KEYS[key_at], KEYS[key_at + 1]
  key_at, arg_at = key_at + 2, arg_at + 3
  local acks = list_at(entries, stream)
  for _ = 1, tonumber(in_lot) do
    local id, entry, duration, more = unpack(ARGV, arg_at, arg_at + 3)
    local also
    also, arg_at = named(more, arg_at + 4)
    local state, reason, retry_delay = wanted, also.reason, also.retry_delay
    local record = KEYS[key_at]
    job, key_at = job + 1, key_at + 1
    local holders, waiting, cron
    if also.lock then
      holders, waiting = KEYS[key_at], KEYS[key_at + 1]
      key_at = key_at + 2
    end
    if also.cron then
      cron = KEYS[key_at]
      key_at = key_at + 1
    end

    -- A late finish finds its entry acked and deleted already.
    acks[#acks + 1] = entry
    local before, current, task, fence =
      unpack(redis.call('HMGET', record, 'state', 'entry', 'task', 'fence'))
    if current ~= entry or (before ~= 'queued' and before ~= 'running') then
      results[job] = ''
    else
      count(before, task, -1)
      local sums = tally_of(task)
      if state == 'completed' or (state == 'failed' and not UNTIMED[reason]) then
        local began = now - duration
        if before == 'running' then
          -- Results are kept while the store is away: then this call is long after the end.
          began = number_of(redis.call('HGET', record, 'started_at'), began)
        end
        tally_attempt(sums, entry, began, duration)
      end
      fields = {'state', state, 'attempt', attempt, 'duration_ms', duration, 'worker', ARGV[3]}
      if before == 'running' then
        redis.call('ZREM', KEYS[1], id)
      elseif state == 'completed' or state == 'failed' then
        set('started_at', now - duration)
      end
      local is_cancelling = has_cancelling and redis.call('SREM', KEYS[4], id) == 1
      if retry_delay and is_cancelling then
        state, reason, retry_delay = 'cancelled', nil, nil
      end
      if state == 'cancelled' then
        -- The wish says why, unless it was a user's.
        local wish = redis.call('HGET', record, 'cancel_requested')
        reason = wish and wish ~= '1' and wish or reason
      end
      if fence then
        -- It was handed out before, or it waited: what that left must not be read as this outcome.
        redis.call('HDEL', record, 'reason', 'result', 'error', 'detail', 'usage', 'left')
      end
      if retry_delay then
        state = 'scheduled'
        local due = now + tonumber(retry_delay)
        set('due_at', due)
        schedule(KEYS[3], id, due, ARGV[2])
        count('scheduled', task, 1)
        redis.call('HDEL', record, 'progress')
      else
        set('finished_at', now)
        sums[state] = (sums[state] or 0) + 1
        add_done(DONE[state], id)
        add_done(task_done, id)
        if has_watchers then
          tell_watchers(KEYS[10 + job], id, KEYS[3], now, woken)
        end
        if cron then
          redis.call('HSET', cron, 'last_id', id, 'last_state', state, 'last_reason', reason or '',
            'last_finished_at', now, 'last_duration_ms', duration)
        end
        if also.result_life and also.result then
          redis.call('ZADD', KEYS[6], now + tonumber(also.result_life), id)
        end
      end
      fields[2] = state
      set('reason', reason)
      set('result', also.result)
      set('error', also.error)
      set('detail', also.detail)
      set('stderr', also.stderr)
      set('usage', also.usage)
      set('left', also.left)
      redis.call('HSET', record, unpack(fields))
      if holders then
        release_lock(holders, waiting, also.lock, tonumber(also.slots), id)
      end
      results[job] = state
    end
  end
end
for stream, acks in pairs(entries) do
  redis.call('XACK', stream, ARGV[1], unpack(acks))
  redis.call('XDEL', stream, unpack(acks))
end
for key, members in pairs(done) do
  redis.call('ZADD', key, unpack(members))
end
write_counts(KEYS[2])
write_tally(KEYS[#KEYS], now)
return {results, woken}
