-- Write new jobs, each as queued, scheduled or blocked; a repeated id or key changes nothing.
-- include: clock counts made schedule tally
-- KEYS[1] counts hash     KEYS[2] queues set       KEYS[3] last-job hash
-- KEYS[4] scheduled zset  KEYS[5] blocked zset
-- KEYS per job: record hash, queue stream; with a key: unique string; with an upstream job:
--   its record hash, its watchers set
-- KEYS last: tally list
-- ARGV[1] number of jobs  ARGV[2] wake channel
-- ARGV per job: id, task, message, queue, priority, number of options; per option: name, value
--   due: '+<ms>' from now, or milliseconds since the epoch; not together with after
--   key, after, cron, fire_time (milliseconds since the epoch)
-- Returns per job: its state if this call made it, else {id, state} of the earlier one, the state
--   '' for a known key; {id, 'no_upstream'}: nothing was made.
local now = now_ms()
local replies = {}
local no_options = {}
local key_at, arg_at = 6, 3
for _ = 1, tonumber(ARGV[1]) do
  local id, task, message, queue, priority, more = unpack(ARGV, arg_at, arg_at + 5)
  arg_at = arg_at + 6
  local options = no_options
  if more ~= '0' then
    options = {}
    for _ = 1, tonumber(more) do
      options[ARGV[arg_at]] = ARGV[arg_at + 1]
      arg_at = arg_at + 2
    end
  end
  local due, unique, after = options.due, options.key, options.after
  local record, stream = KEYS[key_at], KEYS[key_at + 1]
  key_at = key_at + 2
  local unique_key, upstream, watchers
  if unique then
    unique_key = KEYS[key_at]
    key_at = key_at + 1
  end
  if after then
    upstream, watchers = KEYS[key_at], KEYS[key_at + 1]
    key_at = key_at + 2
  end

  local known = redis.call('HGET', record, 'state')
  local first_id = unique_key and not known and redis.call('GET', unique_key)
  if known then
    replies[#replies + 1] = {id, known}
  elseif first_id then
    replies[#replies + 1] = {first_id, ''}
  elseif upstream and redis.call('EXISTS', upstream) == 0 then
    replies[#replies + 1] = {id, 'no_upstream'}
  else
    local state = 'queued'
    local fields = {'task', task, 'queue', queue, 'priority', priority, 'created_at', now,
      'message', message}
    if options.cron then
      fields[#fields + 1] = 'cron'
      fields[#fields + 1] = options.cron
    end
    if options.fire_time then
      fields[#fields + 1] = 'fire_time'
      fields[#fields + 1] = options.fire_time
    end
    if unique_key then
      redis.call('SET', unique_key, id)
      fields[#fields + 1] = 'key'
      fields[#fields + 1] = unique
    end
    if due then
      local delay = string.match(due, '^%+(%d+)$')
      local due_at = delay and now + tonumber(delay) or tonumber(due)
      fields[#fields + 1] = 'due_at'
      fields[#fields + 1] = due_at
      if due_at > now then
        state = 'scheduled'
        schedule(KEYS[4], id, due_at, ARGV[2])
      end
    end
    if upstream then
      state = 'blocked'
      fields[#fields + 1] = 'after'
      fields[#fields + 1] = after
      fields[#fields + 1] = 'awaits'
      fields[#fields + 1] = 'completed'
      redis.call('ZADD', KEYS[5], now, id)
      local upstream_state = redis.call('HGET', upstream, 'state')
      if LIVE[upstream_state] then
        redis.call('SADD', watchers, 'job:' .. id)
      else
        -- The promotion decides by how the upstream job ended, as it does for a later end.
        schedule(KEYS[4], id, now, ARGV[2])
      end
    end
    if state == 'queued' then
      fields[#fields + 1] = 'entry'
      fields[#fields + 1] = redis.call('XADD', stream, '*', 'id', id, 'm', message)
    end
    fields[#fields + 1] = 'state'
    fields[#fields + 1] = state
    redis.call('HSET', record, unpack(fields))
    note_made(id, task, queue)
    count(state, task, 1)
    local sums = tally_of(task)
    sums.submitted = (sums.submitted or 0) + 1
    replies[#replies + 1] = state
  end
end
write_made(KEYS[2], KEYS[3])
write_counts(KEYS[1])
write_tally(KEYS[#KEYS], now)
return replies
