-- A cron's last handled fire time, and the way back when it lies ahead of the store's clock.
-- A fire time is handled once this clock has reached it, and not before. So one that is ahead tells
-- that the clock was ahead and has been set back (or that something else has written there), and
-- nothing would fire until that instant comes. `since`: after it, each fire time up to `handled` has
-- a job or a record of its own; what a misfire policy skipped lies before it.
local LATEST = 253402214400000 -- the end of the year 9999: what is later, or no number, is damaged
-- By so much it may be ahead: what a clock is set back by its synchronisation. It is waited for.
local LARGEST_SKEW_MS = 5000
-- So long fire times that had their jobs before their time are known, also without their records.
local LONGEST_MADE_MS = 86400000

local function instant_of(text)
  local ms = text and tonumber(text)
  return ms and ms >= 0 and ms <= LATEST and math.floor(ms) or nil
end

-- Whether it must be set back; and whether what lies between has had its jobs.
local function must_go_back(now, handled, since)
  if handled <= now + LARGEST_SKEW_MS then
    return false
  end
  local were_made = since and since < handled and handled <= now + LONGEST_MADE_MS
  -- When all that come until then have had their jobs, there is nothing to go back for.
  return not (were_made and since <= now), were_made
end

-- By the texts of these two fields. Returns it, nil where none is known; and from which instant it was
-- set back, if it was.
local function handled_of(cron, now, handled, since)
  handled, since = instant_of(handled), instant_of(since)
  if not handled then
    return nil
  end
  local is_ahead, were_made = must_go_back(now, handled, since)
  if not is_ahead then
    return handled
  end
  redis.call('HSET', cron, 'handled', now, 'since', now, 'set_back_at', now,
    'set_back_from', handled)
  if were_made then
    redis.call('HSET', cron, 'made_after', since, 'made_until', handled)
  else
    redis.call('HDEL', cron, 'made_after', 'made_until')
  end
  return now, handled
end
