-- Make the one job of each fire time, or record why it was skipped. The first daemon wins.
-- include: clock counts fields handled made schedule tally
-- KEYS[1] counts hash     KEYS[2] queues set      KEYS[3] last-job hash
-- KEYS[4] scheduled zset  KEYS[5] blocked zset    KEYS[6] skipped jobs' done zset
-- KEYS[7] cancelling set
-- KEYS per fire time: cron hash, record hash, queue stream, task's done zset; to skip it: a spare
--   record hash; else with a previous job, unless overlap allows both: its record hash, its
--   watchers set
-- KEYS last two: string that says that the server is nearly full, tally list
-- ARGV[1] number of fire times  ARGV[2] wake channel
-- ARGV per fire time: id, task, message, queue, priority, cron, fire time (ms), delay ms (jitter),
--   overlap policy, id of the previous job or '', reason to skip it or '', detail or '', the spare
--   id, first fire time (ms) of the skipped row or '', the fire time (ms) that must be handled
--   before it, or ''
-- Returns per fire time: {'queued'|'scheduled'|'blocked'|'skipped', previous job or ''}, {'handled'}
--   when another was first, {'paused'}, {'changed', previous job}: look again, the previous job is
--   another one, {'moved', last handled fire time}: decide again from there, {'early'}: this clock,
--   by which all daemons go, has not reached it, {'taken', id}: a job that is not this cron's has
--   the fire time's id; it is to be proposed again as skipped, or {'set_back', instant}: what was handled, so far
--   ahead of this clock, is now; as with 'handled', nothing is left to do. {'damaged', key}: what the
--   fire time needs is of another type, and nothing was made. Or, if any job or record was to be
--   made, an OOM error from a server that is nearly full: none was.
local now = now_ms()
local created_at = string.format('%d', now) -- once: Lua makes text of a number slowly
local full = KEYS[#KEYS - 1]
local key_at, arg_at = 8, 3

local function next_keys(number)
  key_at = key_at + number
  return unpack(KEYS, key_at - number, key_at - 1)
end

-- A row that was skipped by a clock that was ahead tells of fire times that come now after all.
local function drop_row(record, task_done, id, reason)
  local state, why, created = unpack(redis.call('HMGET', record, 'state', 'reason', 'created_at'))
  if reason ~= '' or state ~= 'skipped' or why ~= 'misfire' or (instant_of(created) or 0) <= now then
    return false
  end
  redis.call('DEL', record)
  redis.call('ZREM', KEYS[6], id)
  redis.call('ZREM', task_done, id)
  return true
end

local function fire()
  local cron, record, stream, task_done = next_keys(4)
  local id, task, message, queue, priority, cron_name, fire_time, delay, overlap, known, reason,
    detail, spare_id, first, after = unpack(ARGV, arg_at, arg_at + 14)
  arg_at = arg_at + 15
  local spare, before, watchers
  if reason ~= '' then
    spare = next_keys(1)
  elseif known ~= '' and overlap ~= 'allow' then
    before, watchers = next_keys(2)
  end

  local at = tonumber(fire_time)
  if at > now then
    return {'early'}
  end
  local known_of = redis.pcall('HMGET', cron,
    'handled', 'since', 'paused', 'job', 'made_after', 'made_until')
  if known_of.err then
    return {'damaged', cron}
  end
  local handled, since, paused, previous, made_after, made_until = unpack(known_of)
  previous = previous or ''
  local set_back_from
  handled, set_back_from = handled_of(cron, now, handled, since)
  -- A damaged one must not stop the crons that come after it; its job's record is a fence, too.
  handled = handled or 0
  if set_back_from then
    return {'set_back', tostring(set_back_from)}
  elseif handled >= at then
    return {'handled'}
  end
  -- A slow caller's row may tell of fire times whose jobs others made meanwhile; and what follows a
  -- refused row must not jump over it.
  if (first ~= '' and handled >= tonumber(first))
    or (after ~= '' and handled < tonumber(after)) then
    return {'moved', tostring(handled)}
  end
  if paused then
    redis.call('HSET', cron, 'handled', fire_time, 'since', fire_time)
    return {'paused'}
  end
  if made_until then
    if at > (instant_of(made_until) or 0) then
      redis.call('HDEL', cron, 'made_after', 'made_until')
    elseif reason == '' and at > (instant_of(made_after) or LATEST) then
      -- It had its job while the clock was ahead, be its record pruned by now.
      redis.call('HSET', cron, 'handled', at)
      return {'handled'}
    end
  end
  -- A record of skipped ones looks at no job; sent again after its followers it would be too late.
  if reason == '' and previous ~= known then
    return {'changed', previous}
  end
  -- Both by one command, since most often neither is there.
  local is_there = redis.call('EXISTS', record, full) > 0
  if is_there and redis.call('EXISTS', full) == 1 then
    return nil
  end
  if is_there and not drop_row(record, task_done, id, reason) then
    -- Its job was made by a backfill. A row that ends with it still has others to tell of.
    if reason == '' then
      local owner, made_for = unpack(redis.call('HMGET', record, 'cron', 'fire_time'))
      if owner ~= cron_name or made_for ~= fire_time then
        return {'taken', id}
      end
      redis.call('HSET', cron, 'handled', fire_time)
      return {'handled'}
    end
    id, record = spare_id, spare
  end

  local state, entry = 'queued', nil
  if before and LIVE[redis.call('HGET', before, 'state')] then
    if overlap == 'skip' then
      reason, detail = 'overlap', previous
    else
      state = 'blocked'
    end
    if overlap == 'replace' then
      -- The caller cancels it next; should that be cut off, its worker's heartbeat finds the wish
      -- here, or a rescuer when it has no worker.
      redis.call('SADD', KEYS[7], previous)
      redis.call('HSET', before, 'cancel_requested', 'replaced')
    end
  end

  if state == 'queued' and reason == '' and tonumber(delay) == 0 then
    -- Before all that is written: of a damaged queue no fire time is lost.
    entry = redis.pcall('XADD', stream, '*', 'id', id, 'm', message)
    if type(entry) == 'table' then
      return is_damage(entry.err) and {'damaged', stream} or error(entry)
    end
  end

  fields = {'task', task, 'queue', queue, 'priority', priority, 'created_at', created_at,
    'message', message, 'cron', cron_name, 'fire_time', fire_time}
  local sums = tally_of(task)
  if reason ~= '' then
    state = 'skipped'
    set('reason', reason)
    set('detail', detail)
    set('finished_at', created_at)
    sums.skipped = (sums.skipped or 0) + 1
    redis.call('ZADD', KEYS[6], created_at, id)
    redis.call('ZADD', task_done, created_at, id)
    redis.call('HSET', cron, 'handled', fire_time, 'last_id', id, 'last_state', state,
      'last_reason', reason, 'last_finished_at', created_at)
    if first ~= '' then
      redis.call('HSET', cron, 'since', fire_time) -- those of the row have no records of their own
    end
    redis.call('HDEL', cron, 'last_duration_ms')
  else
    if state == 'blocked' then
      set('after', previous)
      set('awaits', 'end')
      redis.call('ZADD', KEYS[5], created_at, id)
      redis.call('SADD', watchers, 'job:' .. id)
    elseif tonumber(delay) > 0 then
      state = 'scheduled'
      set('due_at', now + delay)
      schedule(KEYS[4], id, now + delay, ARGV[2])
    else
      set('entry', entry)
    end
    redis.call('HSET', cron, 'handled', fire_time, 'job', id)
    note_made(id, task, queue)
    count(state, task, 1)
    sums.submitted = (sums.submitted or 0) + 1
  end
  set('state', state)
  redis.call('HSET', record, unpack(fields))
  return {state, previous}
end

local replies = {}
for at = 1, tonumber(ARGV[1]) do
  replies[at] = fire()
  if not replies[at] then
    return redis.error_reply('OOM nearly all of maxmemory is used')
  end
end
write_made(KEYS[2], KEYS[3])
write_counts(KEYS[1])
write_tally(KEYS[#KEYS], now)
return replies
