-- In front of every script. Anybody who can write to the store may have left a key of another type,
-- or something that is no number: here that is as what was never written, and is not written to. So a
-- damaged key costs what depends on it, and not the transition that only touches it. `doctor` names
-- it and mends it. Where the caller must know, a script asks by `redis.pcall`.
-- Every run of a script runs this: tables are made only where something is damaged.
local function is_damage(message)
  -- Replies to keys of another type, and to damaged values of the right one.
  for _, text in ipairs({'WRONGTYPE', 'not an integer', 'not a valid float', 'not a float',
    'overflow', 'Invalid stream ID', 'exhausted the last possible ID'}) do
    if string.find(message, text, 1, true) then
      return true
    end
  end
  return false
end

-- What stands for the reply to a read; no other command is let off with less than 0.
local function reply_of_damaged(command)
  local nothing = {HGET = false, GET = false, ZSCORE = false, ZRANK = false,
    HMGET = {}, HGETALL = {}, SMEMBERS = {}, ZRANGE = {}, XRANGE = {}, ZMSCORE = {}, LRANGE = {}}
  local reply = nothing[command]
  return reply == nil and 0 or reply
end

local try, type = redis.pcall, type
local redis = {pcall = try, error_reply = redis.error_reply, call = function(command, ...)
  local reply = try(command, ...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  elseif command == 'XADD' or command == 'INCR' or not is_damage(reply.err) then
    return error(reply)
  end
  return reply_of_damaged(command)
end}

-- A number that something else may have written: finite, and so small that no digit of it is lost.
local function number_of(text, default)
  local number = tonumber(text or nil)
  return number and number > -2 ^ 53 and number < 2 ^ 53 and number or default
end
