-- The sandbox of scripts: what they may reach, and the functions in it that call functions of scripts, so that errors and
-- yields pass through them as they do through Lua. `raw` has Lua's own functions and those of the interpreter.
--
-- Scripts share tables (`redis`, `string`, the globals). What a script gets of one is an empty table, a view, whose metatable reads
-- from the real one; no function that writes or reads past metatables lets a view through.

local raw = ...
local type, error, select, tonumber, next = raw.type, raw.error, raw.select, raw.tonumber, raw.next
local setmetatable, getmetatable = raw.setmetatable, raw.getmetatable
local visible, check_depth, scan = raw.visible, raw.check_depth, raw.scan

-- A view's table.
local behind = {}

local function refuse()
  error("Attempt to modify a readonly table", 2)
end

-- As C functions say it: without a place.
local function refuse_raw()
  error("Attempt to modify a readonly table", 0)
end

local function view(real)
  local shown = {}
  behind[shown] = real
  return setmetatable(shown, {__index = real, __newindex = refuse})
end

local function type_of(...)
  return select("#", ...) == 0 and "no value" or type((...))
end

-- The error of a wrong argument, at the place where the function that has it was called.
local function check_table(number, name, ...)
  if type((...)) ~= "table" then
    error("bad argument #" .. number .. " to '" .. name .. "' (table expected, got " .. type_of(...) .. ")", 3)
  end
end

local function check_integer(number, name, value)
  local found = tonumber(value)
  if not found then
    error("bad argument #" .. number .. " to '" .. name .. "' (number expected, got " .. type(value) .. ")", 3)
  end
  -- As C makes an `int` of it by way of 64 bits: what doesn't fit into these is the smallest, whose lower half is 0.
  if not (found >= -2^63 and found < 2^63) then
    return 0
  end
  found = (found < 0 and raw.ceil(found) or raw.floor(found)) % 2^32
  return found < 2^31 and found or found - 2^32
end

local globals = {_VERSION = raw._VERSION}
for _, name in raw.ipairs({"tostring", "assert", "tonumber", "rawequal", "type", "select", "ipairs", "error"}) do
  globals[name] = raw[name]
end

-- Errors ------------------------------------------------------------------------------------------------------------------

local function caught(ok, ...)
  if ok then
    return true, ...
  end
  local err = visible((...))
  if type(err) == "table" then
    local text = err.err
    if type(text) == "string" or type(text) == "number" then
      err = text
    end
  end
  return false, err
end

-- An overflow of the stack is an instruction that takes milliseconds: what catches errors looks at the clock by itself.
local pcall, tick, calls = raw.pcall, raw.tick, 0
function globals.pcall(...)
  calls = calls + 1
  if calls >= 64 then
    calls = 0
    tick()
  end
  return caught(pcall(...))
end

-- The handler runs when the error has been caught: where it was raised no tick could end it. A script can't tell, for
-- it can't look at the stack.
local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  local _, value = pcall(handler, visible((...)))
  return false, visible(value)
end

function globals.xpcall(...)
  local f, handler = ...
  if select("#", ...) < 2 then
    error("bad argument #2 to 'xpcall' (value expected)", 2)
  end
  return handled(handler, pcall(f))
end

-- Tables ------------------------------------------------------------------------------------------------------------------

-- Metatables of userdata from `newproxy`, as scripts see them: everything but the finalizer can be set. A finalizer would run
-- while other scripts do.
local proxied = {}

local function newproxy(from)
  local proxy = raw.newproxy(from)
  local metatable = getmetatable(proxy)
  if metatable and not proxied[metatable] then
    proxied[metatable] = setmetatable({}, {__index = metatable, __newindex = function(_, key, value)
      if key ~= "__gc" then
        raw.rawset(metatable, key, value)
      end
    end})
  end
  return proxy
end

function globals.getmetatable(...)
  local value = ...
  if type(value) == "string" then
    return raw.string_metatable
  end
  if value ~= nil and behind[value] then
    return value == globals._G and raw.globals_metatable or nil
  end
  local metatable = getmetatable(...)
  return metatable and proxied[metatable] or metatable
end

function globals.setmetatable(...)
  local target, metatable = ...
  check_table(1, "setmetatable", ...)
  if metatable ~= nil and type(metatable) ~= "table" or select("#", ...) < 2 then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  if behind[target] then
    refuse_raw()
  end
  local old = getmetatable(target)
  if old and raw.rawget(old, "__metatable") ~= nil then
    error("cannot change a protected metatable", 2)
  end
  return setmetatable(target, metatable)
end

function globals.rawset(...)
  local target, key, value = ...
  check_table(1, "rawset", ...)
  if behind[target] then
    refuse_raw()
  end
  if key == nil then
    error("table index is nil", 2)
  elseif key ~= key then
    error("table index is NaN", 2)
  end
  return raw.rawset(target, key, value)
end

function globals.rawget(...)
  local target, key = ...
  check_table(1, "rawget", ...)
  return raw.rawget(behind[target] or target, key)
end

function globals.next(...)
  local target, key = ...
  check_table(1, "next", ...)
  return next(behind[target] or target, key)
end

function globals.pairs(...)
  local target = ...
  check_table(1, "pairs", ...)
  local real = behind[target]
  if real then
    return function(_, key) return next(real, key) end, target, nil
  end
  return next, target, nil
end

local unpack = raw.unpack
function globals.unpack(...)
  local list, first, last = ...
  check_table(1, "unpack", ...)
  if first == nil and last == nil then
    if #list > 7999 then
      error("too many results to unpack", 2)
    end
    return unpack(list)
  end
  first = first == nil and 1 or check_integer(2, "unpack", first)
  last = last == nil and #list or check_integer(3, "unpack", last)
  if last - first >= 7997 then
    error("too many results to unpack", 2)
  end
  return unpack(list, first, last)
end

local table = {}
for _, name in raw.ipairs({"concat", "foreach", "foreachi", "getn", "maxn", "setn"}) do
  table[name] = raw.table[name]
end

local insert = raw.table.insert
function table.insert(target, ...)
  if type(target) ~= "table" then
    error("bad argument #1 to 'insert' (table expected, got " .. type(target) .. ")", 2)
  end
  if behind[target] then
    refuse_raw()
  end
  local count = select("#", ...)
  if count == 2 then
    local place = check_integer(2, "insert", (...))
    -- Below 1 each number up to it is an index that moves.
    if place < -1000000 then
      error("bad argument #2 to 'insert' (position out of bounds)", 2)
    end
  elseif count ~= 1 then
    error("wrong number of arguments to 'insert'", 2)
  end
  return insert(target, ...)
end

local remove = raw.table.remove
function table.remove(...)
  local target, place = ...
  check_table(1, "remove", ...)
  if behind[target] then
    refuse_raw()
  end
  if place ~= nil then
    check_integer(2, "remove", place)
  end
  return remove(...)
end

local sort = raw.table.sort
function table.sort(...)
  local target, less = ...
  check_table(1, "sort", ...)
  if behind[target] then
    refuse_raw()
  end
  if less ~= nil and type(less) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(less) .. ")", 2)
  end
  return sort(target, less)
end

-- Strings -----------------------------------------------------------------------------------------------------------------

local string = {}
for _, name in raw.ipairs({"byte", "char", "dump", "format", "len", "lower", "reverse", "sub", "upper"}) do
  string[name] = raw.string[name]
end
string.find, string.match, string.rep = raw.find, raw.match, raw.rep

local check_string = raw.check_string
function string.gmatch(...)
  local gmatch = check_string
  local text, pattern = gmatch(...)
  local from = 1
  local function advance(start, stop, ...)
    if start then
      from = stop > start and stop or stop + 1
      return ...
    end
    from = nil
  end
  return function()
    if from and from <= #text + 1 then
      return advance(scan(text, pattern, from, false))
    end
  end
end

string.gfind = string.gmatch

local function replaced(replacement, start, stop, ...)
  if start then
    return start, stop, (replacement(...))
  end
end

local sub, concat, replace = raw.string.sub, raw.table.concat, raw.replace
local function replace_calling(replacement, text, pattern, most)
  local anchored = sub(pattern, 1, 1) == "^"
  if anchored then
    pattern = sub(pattern, 2)
  end
  local parts, n, from, count = {}, 0, 1, 0
  while count < most do
    local start, stop, value = replaced(replacement, scan(text, pattern, from, anchored))
    if not start then
      break
    end
    count = count + 1
    local kind = type(value)
    if not value then
      value = sub(text, start, stop - 1)
    elseif kind ~= "string" and kind ~= "number" then
      error("invalid replacement value (a " .. kind .. ")", 3)
    end
    parts[n + 1], parts[n + 2] = sub(text, from, start - 1), value
    n, from = n + 2, stop
    if stop == start then
      if start > #text then
        break
      end
      n = n + 1
      parts[n] = sub(text, start, start)
      from = start + 1
    end
    if anchored then
      break
    end
  end
  parts[n + 1] = sub(text, from)
  return concat(parts), count
end

function string.gsub(...)
  local gsub = check_string
  local _, _, replacement, most = ...
  local kind = type(replacement)
  if kind == "function" or kind == "table" then
    local text, pattern = gsub(...)
    most = most == nil and #text + 1 or check_integer(4, "gsub", most)
    if kind == "table" then
      local found = replacement
      replacement = function(key) return found[key] end
    end
    local result, count = replace_calling(replacement, text, pattern, most)
    return result, count
  end
  gsub = replace
  return gsub(...)
end

-- Coroutines --------------------------------------------------------------------------------------------------------------

local coroutine = {create = raw.coroutine.create, running = raw.coroutine.running, status = raw.coroutine.status,
  yield = raw.coroutine.yield}
local create, resume = raw.coroutine.create, raw.coroutine.resume

local function resumed(ok, ...)
  if ok then
    return true, ...
  end
  return false, visible((...))
end

function coroutine.resume(...)
  check_depth()
  return resumed(resume(...))
end

local function yielded(ok, ...)
  if ok then
    return ...
  end
  local err = visible((...))
  error(err, type(err) == "string" and 3 or 0)
end

function coroutine.wrap(f)
  if type(f) ~= "function" then
    error("bad argument #1 to 'wrap' (Lua function expected)", 2)
  end
  local thread = create(f)
  return function(...)
    check_depth()
    return yielded(resume(thread, ...))
  end
end

-- The rest ----------------------------------------------------------------------------------------------------------------

local loadstring = raw.loadstring
globals.loadstring = loadstring

function globals.load(f, name)
  if type(f) ~= "function" then
    error("bad argument #1 to 'load' (function expected, got " .. type(f) .. ")", 2)
  end
  local parts, n = {}, 0
  while true do
    local part = f()
    if part == nil or part == "" then
      break
    elseif type(part) ~= "string" and type(part) ~= "number" then
      return nil, "reader function must return a string"
    end
    n = n + 1
    parts[n] = part
  end
  return loadstring(concat(parts), name == nil and "=(load)" or name)
end

globals.collectgarbage, globals.gcinfo = raw.collectgarbage, raw.gcinfo

local math = {}
for name, value in next, raw.math do
  math[name] = value
end
math.random, math.randomseed = raw.random, raw.randomseed

globals.string, globals.table, globals.math, globals.coroutine = view(string), view(table), view(math), view(coroutine)
globals.os = view({clock = raw.clock})
for _, name in raw.ipairs({"cjson", "cmsgpack", "struct", "bit"}) do
  globals[name] = view(raw[name])
end
if raw.insecure then
  globals.setfenv, globals.getfenv, globals.newproxy = raw.setfenv, raw.getfenv, newproxy
end

local metatable = {__index = function(_, name)
  if type(name) ~= "string" and type(name) ~= "number" then
    error("Second argument to luaProtectedTableError must be a string or number", 2)
  end
  error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
end}
setmetatable(globals, metatable)
raw.globals_metatable = view(metatable)
getmetatable("").__index = globals.string
raw.string_metatable = view(getmetatable(""))
globals._G = view(globals)

-- Libraries, while they are loaded, have only what registers functions.
local library = view(setmetatable(raw.library_redis, metatable))
local library_globals = setmetatable({redis = library, server = library}, metatable)

return globals, globals._G, view, library_globals
