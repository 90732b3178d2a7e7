-- Write new jobs, each as queued, scheduled or blocked; a repeated id or key changes nothing.
-- include: clock counts fields made named schedule tally
-- KEYS[1] counts hash     KEYS[2] queues set       KEYS[3] last-job hash
-- KEYS[4] scheduled zset  KEYS[5] blocked zset
-- KEYS per lot: queue stream; per job of it: record hash; with a key: unique string; with an
--   upstream job: its record hash, its watchers set
-- KEYS last two: string that says that the server is nearly full, tally list
-- ARGV[1] number of lots  ARGV[2] wake channel
-- ARGV per lot, which is jobs in a row that are alike: task, queue, priority, number of jobs
-- ARGV per job of it: id, message, number of options; per option: name, value
--   due: '+<ms>' from now, or milliseconds since the epoch; not together with after
--   key, after, cron, fire_time (milliseconds since the epoch)
-- Returns per job: its state if this call made it, else {id, state} of the earlier one, the state
--   '' for a known key; {id, 'no_upstream'} or {id, 'damaged'}, its queue or record: nothing was made.
--   Or, if any was to be made, an OOM error from a server that is nearly full: none was.
local now = now_ms()
local full = KEYS[#KEYS - 1]
local replies = {}
local key_at, arg_at = 6, 3

-- Returns whether it has to wait for it.
local function schedule_due(id, due)
  local delay = string.match(due, '^%+(%d+)$')
  local due_at = delay and now + tonumber(delay) or tonumber(due)
  set('due_at', due_at)
  if due_at > now then
    schedule(KEYS[4], id, due_at, ARGV[2])
    return true
  end
end

local function block(id, after, upstream, watchers)
  set('after', after)
  set('awaits', 'completed')
  redis.call('ZADD', KEYS[5], now, id)
  local upstream_state = redis.call('HGET', upstream, 'state')
  if LIVE[upstream_state] then
    redis.call('SADD', watchers, 'job:' .. id)
  else
    -- The promotion decides by how the upstream job ended, as it does for a later end.
    schedule(KEYS[4], id, now, ARGV[2])
  end
end

for _ = 1, tonumber(ARGV[1]) do
  local task, queue, priority, number = unpack(ARGV, arg_at, arg_at + 3)
  local stream = KEYS[key_at]
  key_at, arg_at = key_at + 1, arg_at + 4
  local made, last = {}, nil
  for _ = 1, tonumber(number) do
    local id, message, more = unpack(ARGV, arg_at, arg_at + 2)
    local options
    options, arg_at = named(more, arg_at + 3)
    local record = KEYS[key_at]
    key_at = key_at + 1
    local unique_key, upstream, watchers
    if options.key then
      unique_key = KEYS[key_at]
      key_at = key_at + 1
    end
    if options.after then
      upstream, watchers = KEYS[key_at], KEYS[key_at + 1]
      key_at = key_at + 2
    end

    -- Both by one command, since most often neither is there.
    local known, is_full = false, false
    if redis.call('EXISTS', record, full) > 0 then
      known = redis.pcall('HGET', record, 'state')
      if type(known) == 'table' then
        known = 'damaged'
      end
      is_full = not known and redis.call('EXISTS', full) == 1
    end
    local first_id = unique_key and not known and redis.call('GET', unique_key)
    if known then
      replies[#replies + 1] = {id, known}
    elseif first_id then
      replies[#replies + 1] = {first_id, ''}
    elseif upstream and redis.call('EXISTS', upstream) == 0 then
      replies[#replies + 1] = {id, 'no_upstream'}
    elseif is_full then
      return redis.error_reply('OOM nearly all of maxmemory is used')
    else
      local state = 'queued'
      -- A field is looked for from the front, and the state most often.
      fields = {'state', state, 'task', task, 'queue', queue, 'priority', priority,
        'created_at', now, 'message', message}
      set('cron', options.cron)
      set('fire_time', options.fire_time)
      if unique_key then
        redis.call('SET', unique_key, id)
        set('key', options.key)
      end
      if options.due and schedule_due(id, options.due) then
        state = 'scheduled'
      end
      if upstream then
        state = 'blocked'
        block(id, options.after, upstream, watchers)
      end
      local entry = state == 'queued' and redis.pcall('XADD', stream, '*', 'id', id, 'm', message)
      if type(entry) == 'table' then
        if not is_damage(entry.err) then
          return entry
        end
        if unique_key then
          redis.call('DEL', unique_key)
        end
        replies[#replies + 1] = {id, 'damaged'}
      else
        set('entry', entry)
        fields[2] = state
        redis.call('HSET', record, unpack(fields))
        made[state], last = (made[state] or 0) + 1, id
        replies[#replies + 1] = state
      end
    end
  end
  if last then
    local sums, submitted = tally_of(task), 0
    for state, by in pairs(made) do
      count(state, task, by)
      submitted = submitted + by
    end
    sums.submitted = (sums.submitted or 0) + submitted
    note_made(last, task, queue)
  end
end
write_made(KEYS[2], KEYS[3])
write_counts(KEYS[1])
write_tally(KEYS[#KEYS], now)
return replies
