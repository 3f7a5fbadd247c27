-- Stop counting a hold. Its record stays: a bill that comes after all still finds its keys.
-- KEYS[1]: see redis_step.lua. ARGV: its id, and the id of the call: one that was not answered is repeated.
local P, id, call_id = KEYS[1], ARGV[1], ARGV[2]
local call = redis.call
local hold = call('HMGET', P .. 'h:' .. id, 'a', 'r', 'n', 'c')
if not hold[1] then return '0' end
if hold[2] == '1' then return hold[4] == call_id and '1' or '0' end
for number = 1, tonumber(hold[3]) do
  local key = call('HGET', P .. 'h:' .. id, tostring(number))
  local less = hold[1] == '0' and '0' or '-' .. hold[1]
  call('HINCRBY', P .. 'b:' .. key, 'o', less)
  call('HINCRBY', P .. 'b:' .. key, 'u', less)
  call('ZREM', P .. 'e:' .. key, hold[1] .. ':' .. id)
end
call('ZREM', P .. 'open', id)
call('HSET', P .. 'h:' .. id, 'r', '1', 'c', call_id)
return '1'
