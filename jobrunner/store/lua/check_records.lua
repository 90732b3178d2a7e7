-- Find jobs that their queue, the index of their state or their waker has lost; mend them if asked.
-- include: clock counts entry holder schedule
-- flags: allow-oom
-- KEYS[1] workers zset     KEYS[2] scheduled zset  KEYS[3] blocked zset    KEYS[4] running zset
-- KEYS[5] counts hash      KEYS[6] locks zset
-- KEYS[7..10] done zsets: completed, failed, skipped, cancelled
-- KEYS per job: record hash, queue stream, task's done zset, zset and waiting zset of its lock,
--   watchers set of the job it awaits
-- ARGV[1] 1 to mend else ''   ARGV[2] wake channel  ARGV[3] group
-- ARGV per job: id, lock whose waiting zset was given or ''
-- Returns per job a list of {fault, state}: the faults found or, with ARGV[1], those mended.
-- A job that a worker with a lease has is never queued again: its end will be written.
local mends = ARGV[1] ~= ''
local now = now_ms()
local INDEX = {scheduled = KEYS[2], blocked = KEYS[3], running = KEYS[4], completed = KEYS[7],
  failed = KEYS[8], skipped = KEYS[9], cancelled = KEYS[10]}

local function has_entry(stream, entry, id)
  local found = entry and redis.call('XRANGE', stream, entry, entry)[1]
  if not found then
    return false
  end
  return found[2][2] == id
end

local function is_alive(worker)
  return worker and redis.call('ZSCORE', KEYS[1], worker)
end

local function queue_again(id, state, record, stream, current)
  local task, message, worker, attempt, lost, fence, base = unpack(redis.call('HMGET', record,
    'task', 'message', 'worker', 'attempt', 'lost', 'fence', 'base'))
  -- The claim outlives its entry, and tells of jobs whose start was not written yet.
  local holder = current and holder_of(stream, ARGV[3], current)
  if is_alive(holder) or (state == 'running' and is_alive(worker)) then
    return false
  end
  lost = number_of(lost, 0) + (state == 'running' and 1 or 0)
  local next_fence = number_of(fence, 1) + 1
  local entry = add_again(stream, id, message, number_of(attempt, 0), lost, next_fence,
    number_of(base, 0))
  if not entry then
    return false
  end
  redis.call('ZREM', KEYS[4], id)
  redis.call('HSET', record, 'state', 'queued', 'entry', entry, 'fence', next_fence, 'lost', lost)
  redis.call('HDEL', record, 'started_at', 'worker', 'progress')
  count(state, task, -1)
  count('queued', task, 1)
  return true
end

local function add_to_indexes(id, state, record, task_done)
  local due, started, finished, created = unpack(redis.call('HMGET', record,
    'due_at', 'started_at', 'finished_at', 'created_at'))
  if state == 'scheduled' then
    schedule(KEYS[2], id, number_of(due, now), ARGV[2])
  elseif LIVE[state] then
    redis.call('ZADD', INDEX[state], number_of(state == 'running' and started or created, now), id)
  else
    redis.call('ZADD', INDEX[state], number_of(finished, now), id)
    redis.call('ZADD', task_done, number_of(finished, now), id)
  end
  return true
end

local function is_indexed(id, state, task_done)
  if state == 'queued' then
    return true
  end
  return redis.call('ZSCORE', INDEX[state], id)
    and (LIVE[state] or redis.call('ZSCORE', task_done, id))
end

-- A promotion is about to look at it; or it is told by the job it awaits; or it waits in the line of
-- its lock, which somebody looks after, and if it is the first, then a holder will wake it.
local function has_waker(id, record, holders, waiting, watchers, line)
  if redis.call('ZSCORE', KEYS[2], id) or redis.call('SISMEMBER', watchers, 'job:' .. id) == 1 then
    return true
  end
  local lock, awaits = unpack(redis.call('HMGET', record, 'lock', 'awaits'))
  if awaits or (lock or '') == '' then
    return false
  end
  if lock ~= line then
    return true -- it began to wait since the caller looked
  end
  local place = redis.call('ZRANK', waiting, id)
  return place and redis.call('ZSCORE', KEYS[6], lock)
    and (place > 0 or redis.call('EXISTS', holders) == 1)
end

local replies = {}
local key_at = 11
for arg_at = 4, #ARGV, 2 do
  local id, line = ARGV[arg_at], ARGV[arg_at + 1]
  local record, stream, task_done, holders, waiting, watchers = unpack(KEYS, key_at, key_at + 5)
  key_at = key_at + 6
  local state, entry, message = unpack(redis.call('HMGET', record, 'state', 'entry', 'message'))
  local faults = {}
  local function note(fault, mend, ...)
    if not mends or (mend and mend(id, state, record, ...)) then
      faults[#faults + 1] = {fault, state or ''}
    end
  end

  if state and (LIVE[state] or INDEX[state]) and (message or not LIVE[state]) then
    if (state == 'queued' or state == 'running') and not has_entry(stream, entry, id) then
      note('no_entry', queue_again, stream, entry)
    elseif not is_indexed(id, state, task_done) then
      note('not_indexed', add_to_indexes, task_done)
    end
    if state == 'blocked' and not has_waker(id, record, holders, waiting, watchers, line) then
      note('asleep', function()
        schedule(KEYS[2], id, now, ARGV[2])
        return true
      end)
    end
  elseif redis.call('EXISTS', record) == 1 then
    note('no_state')
  end
  replies[#replies + 1] = faults
end
write_counts(KEYS[5])
return replies
