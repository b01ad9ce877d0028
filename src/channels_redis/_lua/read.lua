-- Return where a topic stands and what is kept of it from an offset on. O(what is returned).
-- KEYS[1] position  KEYS[2] stream
-- ARGV[1] run id of the server  ARGV[2] end of a new epoch  ARGV[3] how long a topic is kept (ms)
-- ARGV[4] first offset that is asked for
-- Returns {epoch, offset, the first offset that follows, bodies ...}
local at = look(KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3]))
local offset = string.format('%.0f', at[2])
local answer = {at[1], offset, '0'}
if tonumber(ARGV[4]) > at[2] then return answer end
local now = now_ms()
local entries = redis.call('XRANGE', KEYS[2], ARGV[4], '+')
local last = entries[#entries]
if not last or last[1] ~= offset .. '-0' then return answer end
for _, entry in ipairs(entries) do
  if entry[2][2] + at[3] > now then
    if #answer == 3 then answer[3] = string.match(entry[1], '^%d+') end
    answer[#answer + 1] = entry[2][6]
  elseif #answer > 3 then
    -- The clock was set back: what is before this one would have a hole behind it.
    answer = {at[1], offset, '0'}
  end
end
return answer
