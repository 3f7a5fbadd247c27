-- One step of a ledger on Redis or Valkey: settle all of these, report balances, then judge and hold all of those.
--
-- Rule of this file: an amount is never a Lua number. A number of Lua is a double, which is exact to 2^53 only. Amounts are
-- texts of decimal digits: HINCRBY adds them, in 64 bits, and `at_most` compares them. Only counts are numbers here.
-- Everything that may fail is checked before the first write, for Redis does not take back what a script wrote.
--
-- KEYS[1] is what the names of all keys begin with. Its braces keep them in one slot of a cluster.
-- The keys, after that prefix:
--   format        string  the version of this layout
--   version       string  changes with the budgets, personal limits and allowances
--   keys          set     the budget keys that were ever used, each with a letter: n, or r for a rolling window
--   b:KEY         hash    s settled, o of open holds, u used (s + o), in nano-USD; s is there from the first charge on
--   e:KEY         zset    open holds, "NUSD:ID" by the time at which they run out, in microseconds
--   w:KEY         zset    charges in a rolling window, "NUSD:ID" by the time of the charge
--   h:ID          hash    a hold that is not settled: a ask, e runs out, m model, o override, t step, r released, n keys, 1..n
--   open          zset    the ids of the holds that are neither settled nor released, by the time at which they run out
--   c:BUCKET      hash    the ids of the charges in this bucket, with the step that charged them
--   charges       stream  the charges, in their order
--   fence:STEP    string  steps of this name are refused: their client has given them up
local P = KEYS[1]
local call = redis.call
local next_argument = 0

local function take()
  next_argument = next_argument + 1
  return ARGV[next_argument]
end

local function take_list()
  local list = {}
  for n = 1, tonumber(take()) do list[n] = take() end
  return list
end

local function at_most(a, b)
  local a_negative, b_negative = a:byte(1) == 45, b:byte(1) == 45
  if a_negative ~= b_negative then return a_negative end
  if a_negative then a, b = b:sub(2), a:sub(2) end
  if #a ~= #b then return #a < #b end
  return a <= b
end

local function minus(amount)
  return amount == '0' and '0' or '-' .. amount
end

local function amount_of(member)
  return member:match('^%d+')
end

local function read_hold(id)
  local flat = call('HGETALL', P .. 'h:' .. id)
  if #flat == 0 then return nil end
  local hold = {keys = {}}
  for n = 1, #flat, 2 do hold[flat[n]] = flat[n + 1] end
  for n = 1, tonumber(hold.n) do hold.keys[n] = hold[tostring(n)] end
  return hold
end

local function stop_counting(id, hold)
  if hold.r == '1' then return end
  for _, key in ipairs(hold.keys) do
    call('HINCRBY', P .. 'b:' .. key, 'o', minus(hold.a))
    call('HINCRBY', P .. 'b:' .. key, 'u', minus(hold.a))
    call('ZREM', P .. 'e:' .. key, hold.a .. ':' .. id)
  end
  call('ZREM', P .. 'open', id)
end

-- What is under a key at a time, and what is used. `left`: until when charges have left a rolling window; '' for others.
local function balance(key, now, left)
  local sums = call('HMGET', P .. 'b:' .. key, 's', 'o', 'u')
  local used = sums[3] or '0'
  local open, which, counted = call('ZCARD', P .. 'e:' .. key), 'expired', {}
  if open > 0 then
    local expired = call('ZCOUNT', P .. 'e:' .. key, '-inf', now)
    if expired > open - expired then
      which, counted = 'held', call('ZRANGEBYSCORE', P .. 'e:' .. key, '(' .. now, '+inf')
    elseif expired > 0 then
      counted = call('ZRANGEBYSCORE', P .. 'e:' .. key, '-inf', now)
    end
  end
  local left_charges, left_holds = {}, {}
  if left ~= '' then
    left_charges = call('ZRANGEBYSCORE', P .. 'w:' .. key, '-inf', left)
    left_holds = call('ZRANGEBYSCORE', P .. 'e:' .. key, '-inf', left)
  end
  return {sums[1] or '', sums[2] or '0', which, counted, left_charges, left_holds, tostring(open)}, used
end

-- Subtract the charges that have left a rolling window, once and for all.
local function drop_left(key, left)
  local gone = call('ZRANGEBYSCORE', P .. 'w:' .. key, '-inf', left)
  for _, member in ipairs(gone) do
    call('HINCRBY', P .. 'b:' .. key, 's', minus(amount_of(member)))
    call('HINCRBY', P .. 'b:' .. key, 'u', minus(amount_of(member)))
  end
  if #gone > 0 then call('ZREMRANGEBYSCORE', P .. 'w:' .. key, '-inf', left) end
end

-- What is used without the holds that have left a rolling window: HINCRBY subtracts, in a field of its own.
local function without(key, used, left_holds)
  if #left_holds == 0 then return used end
  call('HSET', P .. 'b:' .. key, 'x', used)
  for _, member in ipairs(left_holds) do call('HINCRBY', P .. 'b:' .. key, 'x', minus(amount_of(member))) end
  local rest = call('HGET', P .. 'b:' .. key, 'x')
  call('HDEL', P .. 'b:' .. key, 'x')
  return rest
end

local function is_too_much(keys)
  for _, key in ipairs(keys) do
    local used = call('HGET', P .. 'b:' .. key, 'u')
    if used and #used > 18 then return true end
  end
  return false
end

local function settle(one, step, before)
  local charged_by = call('HGET', P .. 'c:' .. one.bucket, one.id)
  if charged_by then
    if before == '' or charged_by ~= before then return 'repeated' end
    call('HSET', P .. 'c:' .. one.bucket, one.id, step)
    return 'charged'
  end
  local hold = one.hold
  if hold then
    stop_counting(one.id, hold)
    call('DEL', P .. 'h:' .. one.id)
  elseif #one.keys == 0 then
    return 'unknown'
  else
    hold = {keys = one.keys, m = one.model, o = one.override}
  end
  local record = {'i', one.id, 'a', one.nusd, 'b', one.basis, 't', one.now, 'm', hold.m, 'o', hold.o, 'n', tostring(#hold.keys)}
  for n, key in ipairs(hold.keys) do
    call('HINCRBY', P .. 'b:' .. key, 's', one.nusd)
    call('HINCRBY', P .. 'b:' .. key, 'u', one.nusd)
    call('SADD', P .. 'keys', key)
    if key:sub(1, 1) == 'r' then call('ZADD', P .. 'w:' .. key, one.now, one.nusd .. ':' .. one.id) end
    record[#record + 1] = tostring(n)
    record[#record + 1] = key
  end
  call('HSET', P .. 'c:' .. one.bucket, one.id, step)
  call('XADD', P .. 'charges', '*', unpack(record))
  return 'charged'
end

local function keep(one, step)
  local record = {'a', one.ask, 'e', one.expires, 'm', one.model, 'o', one.override, 't', step, 'n', tostring(#one.keys)}
  for n, key in ipairs(one.keys) do
    call('HINCRBY', P .. 'b:' .. key, 'o', one.ask)
    call('HINCRBY', P .. 'b:' .. key, 'u', one.ask)
    call('ZADD', P .. 'e:' .. key, one.expires, one.ask .. ':' .. one.id)
    call('SADD', P .. 'keys', key)
    record[#record + 1] = tostring(n)
    record[#record + 1] = key
  end
  call('HSET', P .. 'h:' .. one.id, unpack(record))
  call('ZADD', P .. 'open', one.expires, one.id)
end

local function reserve(one, step)
  local fits, standings = true, {}
  for _, limit in ipairs(one.limits) do
    if limit.left ~= '' then drop_left(limit.key, limit.left) end
  end
  for n, limit in ipairs(one.limits) do
    local standing, used = balance(limit.key, one.now, limit.left)
    local leaving = {}
    if limit.threshold ~= '' and not at_most(without(limit.key, used, standing[6]), limit.threshold) then
      fits = false
      if limit.left ~= '' then
        leaving = call('ZRANGEBYSCORE', P .. 'w:' .. limit.key, '(' .. limit.left, '+inf', 'WITHSCORES', 'LIMIT', 0, 100)
      end
    end
    standing[8] = leaving
    standings[n] = standing
  end
  if fits then keep(one, step) end
  return {fits and '1' or '0', standings}
end

-- The step: its name, that of the attempt before it (or ''), the terms it was made by (or '*'), and whether to write in any case.
local step, before, terms, must_write = take(), take(), take(), take()
local settles, wanted, reserves = {}, {}, {}
for n = 1, tonumber(take()) do
  settles[n] = {id = take(), bucket = take(), nusd = take(), basis = take(), now = take(), model = take(), override = take()}
  settles[n].keys = take_list()
end
for n = 1, tonumber(take()) do wanted[n] = {take(), take(), take()} end
for n = 1, tonumber(take()) do
  local one = {id = take(), bucket = take(), ask = take(), expires = take(), model = take(), override = take(), now = take()}
  one.keys, one.limits = take_list(), {}
  for place = 1, tonumber(take()) do one.limits[place] = {key = take(), threshold = take(), left = take()} end
  reserves[n] = one
end

local known = call('MGET', P .. 'format', P .. 'version', P .. 'fence:' .. step)
if known[1] and known[1] ~= '1' then return {'foreign', known[1]} end
if known[3] then return {'fenced'} end
if terms ~= '*' and terms ~= (known[2] or '') then return {'terms'} end
for _, one in ipairs(reserves) do
  if one.bucket == '' or call('EXISTS', P .. 'h:' .. one.id) == 1 or call('HEXISTS', P .. 'c:' .. one.bucket, one.id) == 1 then
    return {'used', one.id}
  end
  if is_too_much(one.keys) then return {'full'} end
end
for _, one in ipairs(settles) do
  one.hold = read_hold(one.id)
  if is_too_much(one.hold and one.hold.keys or one.keys) then return {'full'} end
end

if not known[1] and (must_write == '1' or #settles + #reserves > 0) then call('SET', P .. 'format', '1') end
if must_write == '1' then call('SET', P .. 'checked', '1') end
local settled, balances, decisions = {}, {}, {}
for n, one in ipairs(settles) do settled[n] = settle(one, step, before) end
for n, one in ipairs(wanted) do balances[n] = balance(one[1], one[2], one[3]) end
for n, one in ipairs(reserves) do decisions[n] = reserve(one, step) end
return {'ok', call('TIME'), settled, balances, decisions}
