-- Return where topics stand. O(topics).
-- KEYS position and stream of each topic in turn
-- ARGV[1] run id of the server  ARGV[2] end of a new epoch  ARGV[3] how long a topic is kept (ms)
-- Returns {epoch, offset, epoch, offset ...}
local answer = {}
for i = 1, #KEYS, 2 do
  local at = look(KEYS[i], KEYS[i + 1], ARGV[1], ARGV[2], tonumber(ARGV[3]))
  answer[i], answer[i + 1] = at[1], string.format('%.0f', at[2])
end
return answer
