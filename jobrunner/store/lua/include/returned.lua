-- How long ago this server came back, milliseconds: began to serve as another run than the one before
-- (`run_id`), which nobody but a restart or a failover makes. While it was away, or loaded its file, no
-- lease could be renewed, so one that ended then says nothing of its holder.
local function ms_since_return(key, now)
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  local noted = redis.pcall('HMGET', key, 'run_id', 'since')
  if not run or noted.err then
    return math.huge -- a user that may not ask, or a damaged key: leases go by the clock alone
  end
  local since = tonumber(noted[2])
  if noted[1] == run and since and since <= now then
    return now - since
  end
  -- Of the first run that is noted no earlier one is known.
  since = noted[1] and now or 0
  redis.call('HSET', key, 'run_id', run, 'since', since)
  return now - since
end
