// node-redis with a cache of its own, whose keys the server tells it to forget, on a fresh server: client_cache.cjs PORT.

const { createClient, BasicClientSideCache } = require('redis');
const { same, between, until, run } = require('./checks.cjs');

const url = `redis://127.0.0.1:${process.argv[2]}`;

async function cached(options) {
  const cache = new BasicClientSideCache({ maxEntries: 100, ttl: 0, ...options });
  const client = createClient({ url, RESP: 3, clientSideCache: cache });
  client.on('error', (error) => console.error('node-redis:', error));
  await client.connect();
  return [client, cache];
}

// The number of commands that the server has got.
async function calls(client, command) {
  const stats = await client.info('commandstats');
  return Number(stats.match(new RegExp(`cmdstat_${command}:calls=(\\d+)`))?.[1] ?? 0);
}

async function invalidation() {
  const [reader, cache] = await cached();
  const writer = createClient({ url });
  await writer.connect();
  await writer.set('s', 'one');
  await writer.hSet('h', { f: '1', g: '2' });
  for (let n = 0; n < 10; n += 1) same(await reader.get('s'), 'one', 'a cached string');
  for (let n = 0; n < 10; n += 1) same({ ...(await reader.hGetAll('h')) }, { f: '1', g: '2' }, 'a cached hash');
  same([await calls(writer, 'get'), await calls(writer, 'hgetall')], [1, 1], 'commands that reach the server');
  const changes = [
    () => writer.set('s', 'two'),
    () => writer.append('s', '!'),
    () => writer.multi().set('s', 'in a transaction').exec(),
    () => writer.eval('return redis.call("set", KEYS[1], "by a script")', { keys: ['s'] }),
    () => writer.rename('s', 'moved'),
  ];
  for (const change of changes) {
    const before = await reader.get('s');
    await change();
    const now = await writer.get('s');
    await until(async () => (await reader.get('s')) === now, `${now} instead of ${before}`);
  }
  await writer.set('s', 'short', { expiration: { type: 'PX', value: 200 } });
  await until(async () => (await reader.get('s')) === null, 'expiry');
  await reader.set('s', 'by the reader');
  await until(async () => (await reader.get('s')) === 'by the reader', 'its own write');
  await writer.flushAll();
  await until(async () => (await reader.get('s')) === null, 'an empty database');
  same(Object.keys(await reader.hGetAll('h')), [], 'an empty database');
  between(cache.stats().hitCount, 18, 1000000, 'answers from the cache');
  await reader.close();
  await writer.close();
}

// Many readers and a writer: when all is quiet, each reader's cache has what the server has.
async function manyReaders() {
  const writer = createClient({ url });
  await writer.connect();
  const readers = await Promise.all([...Array(8).keys()].map(() => cached({ maxEntries: 20 })));
  let writing = true;
  const reading = readers.map(async ([reader]) => {
    for (let n = 0; writing; n += 1) await reader.get(`key:${n % 30}`);
  });
  for (let n = 0; n < 600; n += 1) await writer.set(`key:${(n * 7) % 30}`, `value ${n}`);
  writing = false;
  await Promise.all(reading);
  // What a reader is told of the last write comes with the answer to a PING at the latest.
  const keys = [...Array(30).keys()].map((n) => `key:${n}`);
  const found = await writer.mGet(keys);
  for (const [reader] of readers) {
    await reader.ping();
    same(await Promise.all(keys.map((key) => reader.get(key))), found, 'values of a reader');
    await reader.close();
  }
  await until(async () => /tracking_clients:0\r/.test(await writer.info('clients')), 'no client is tracked');
}

run([invalidation, manyReaders]);
