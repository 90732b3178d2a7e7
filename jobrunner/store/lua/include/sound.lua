-- In front of every script. Anybody who can write to the store may have left a key of another type,
-- or something that is no number: here that is as what was never written, and is not written to. So a
-- damaged key costs what depends on it, and not the transition that only touches it. `doctor` names
-- it and mends it. Where the caller must know, a script asks by `redis.pcall`.
local server = redis
-- What stands for the reply to a read; no other command is let off with less than 0.
local NOTHING = {HGET = false, GET = false, ZSCORE = false, ZRANK = false}
local LISTS = {HMGET = true, HGETALL = true, SMEMBERS = true, ZRANGE = true, XRANGE = true,
  ZMSCORE = true, LRANGE = true}
-- Replies to damaged values, beside WRONGTYPE.
local DAMAGES = {'not an integer', 'not a valid float', 'not a float', 'overflow', 'Invalid stream ID'}

local function is_damage(message)
  if string.find(message, 'WRONGTYPE', 1, true) then
    return true
  end
  for _, text in ipairs(DAMAGES) do
    if string.find(message, text, 1, true) then
      return true
    end
  end
  return false
end

local redis = setmetatable({call = function(command, ...)
  local reply = server.pcall(command, ...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  elseif command == 'XADD' or command == 'INCR' or not is_damage(reply.err) then
    return error(reply)
  elseif LISTS[command] then
    return {}
  end
  return NOTHING[command] == nil and 0
end}, {__index = server})

-- A number that something else may have written: finite, and so small that no digit of it is lost.
local function number_of(text, default)
  local number = tonumber(text or nil)
  return number and number > -2 ^ 53 and number < 2 ^ 53 and number or default
end
