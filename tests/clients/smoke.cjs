// ioredis and node-redis against a server: smoke.cjs PORT LIBRARY PROTOCOL [AUTHORITY]. Ends with an error at the first surprise.
// With an authority's certificate it speaks TLS.

const assert = require('node:assert');

const [port, library, protocol] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const ca = process.argv[5] && require('fs').readFileSync(process.argv[5]);
let checks = 0;

function same(found, wanted) {
  checks += 1;
  assert.deepStrictEqual(found, wanted, `check ${checks}`);
}

async function fails(promise, text) {
  checks += 1;
  await assert.rejects(promise, (error) => String(error).includes(text), `check ${checks}`);
}

async function ioredis() {
  const Redis = require('ioredis');
  const options = ca ? { port, tls: { ca } } : { port };
  const r = new Redis(options);
  const other = new Redis(options);
  await r.flushall();
  same(await r.set('s', 'value', 'EX', 100), 'OK');
  same(await r.get('s'), 'value');
  same(await r.get('nothing'), null);
  same(await r.getBuffer('s'), Buffer.from('value'));
  await fails(r.incr('s'), 'not an integer');
  await fails(r.lpush('s', 'x'), 'WRONGTYPE');
  same(await r.rpush('l', 'a', 'b'), 2);
  same(await r.lrange('l', 0, -1), ['a', 'b']);
  same(await r.hset('h', { f: 'v', g: '2' }), 2);
  same(await r.hgetall('h'), { f: 'v', g: '2' });
  same(await r.zadd('z', 1, 'one', 2.5, 'two'), 2);
  same(await r.zrange('z', 0, -1, 'WITHSCORES'), ['one', '1', 'two', '2.5']);
  same(await r.sadd('t', 'x', 'y'), 2);
  same((await r.smembers('t')).sort(), ['x', 'y']);
  const piped = await r.pipeline().set('n', 1).incr('n').lpush('n', 'x').get('n').exec();
  same(piped.map(([error, value]) => (error ? 'error' : value)), ['OK', 2, 'error', '2']);
  same(await r.multi().incr('n').incr('n').exec(), [[null, 3], [null, 4]]);
  await r.watch('n');
  await other.set('n', 0);
  same(await r.multi().get('n').exec(), null);
  const waiting = r.blpop('queue', 10);
  while (!(await other.info('clients')).includes('blocked_clients:1')) ;
  await other.rpush('queue', 'job');
  same(await waiting, ['queue', 'job']);
  await r.mset(Object.fromEntries([...Array(300).keys()].map((n) => [`key:${n}`, n])));
  const seen = new Set();
  for await (const keys of r.scanStream({ match: 'key:*', count: 20 })) keys.forEach((key) => seen.add(key));
  same(seen.size, 300);
  same(await r.xadd('x', '1-1', 'a', '1'), '1-1');
  same(await r.xgroup('CREATE', 'x', 'g', '0'), 'OK');
  same(await r.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 'x', '>'), [['x', [['1-1', ['a', '1']]]]]);
  same(await r.xack('x', 'g', '1-1'), 1);
  const message = new Promise((resolve) => other.once('message', (channel, text) => resolve([channel, text])));
  same(await other.subscribe('news'), 1);
  same(await r.publish('news', 'the message'), 1);
  same(await message, ['news', 'the message']);
  same(await other.unsubscribe('news'), 0);
  const dump = await r.dumpBuffer('h');
  same(await r.restore('again', 0, dump), 'OK');
  same(await r.hlen('again'), 2);
  same(await r.quit(), 'OK');
  other.disconnect();
}

async function nodeRedis() {
  const { createClient } = require('redis');
  const r = createClient({ socket: { host: 'localhost', port, ...(ca && { tls: true, ca }) }, RESP: protocol });
  const other = r.duplicate();
  await r.connect();
  await other.connect();
  await r.flushAll();
  same(await r.set('s', 'value', { expiration: { type: 'EX', value: 100 } }), 'OK');
  same(await r.get('s'), 'value');
  same(await r.get('nothing'), null);
  await fails(r.incr('s'), 'not an integer');
  same(await r.rPush('l', ['a', 'b', 'c']), 3);
  same(await r.lRange('l', 0, -1), ['a', 'b', 'c']);
  same(await r.lmPop(['nothing', 'l'], 'LEFT', { COUNT: 2 }), ['l', ['a', 'b']]);
  same(await r.hSet('h', { f: 'v', g: '2' }), 2);
  same({ ...(await r.hGetAll('h')) }, { f: 'v', g: '2' });
  same(await r.hExpire('h', ['f', 'nothing'], 100), [1, -2]);
  same(await r.zAdd('z', [{ score: 1, value: 'one' }, { score: 2.5, value: 'two' }]), 2);
  same(await r.zRangeWithScores('z', 0, -1), [{ value: 'one', score: 1 }, { value: 'two', score: 2.5 }]);
  same(await r.zScore('z', 'two'), 2.5);
  same(await r.sAdd('t', ['x', 'y']), 2);
  same([...(await r.sMembers('t'))].sort(), ['x', 'y']);
  same((await r.geoAdd('g', { longitude: 13.361389, latitude: 38.115556, member: 'Palermo' })), 1);
  same(await r.geoSearch('g', { longitude: 13, latitude: 38 }, { radius: 100, unit: 'km' }), ['Palermo']);
  same(await r.multi().set('n', '1').incr('n').get('n').exec(), ['OK', 2, '2']);
  const piped = await Promise.all([...Array(200).keys()].map((n) => r.rPush('piped', String(n))));
  same(piped, [...Array(200).keys()].map((n) => n + 1));
  await r.mSet(Object.fromEntries([...Array(300).keys()].map((n) => [`key:${n}`, String(n)])));
  const seen = new Set();
  for await (const keys of r.scanIterator({ MATCH: 'key:*', COUNT: 20 })) keys.forEach((key) => seen.add(key));
  same(seen.size, 300);
  same(await r.xAdd('x', '1-1', { a: '1' }), '1-1');
  same(await r.xGroupCreate('x', 'g', '0'), 'OK');
  same((await r.xRange('x', '-', '+')).map((entry) => [entry.id, { ...entry.message }]), [['1-1', { a: '1' }]]);
  same(JSON.stringify(await r.xInfoStream('x')).includes('1-1'), true);
  same((await r.xPending('x', 'g')).pending, 0);
  const message = new Promise((resolve) => other.subscribe('news', (text, channel) => resolve([channel, text])));
  while ((await r.pubSubNumSub('news')).news !== 1) ;
  same(await r.publish('news', 'the message'), 1);
  same(await message, ['news', 'the message']);
  await other.unsubscribe('news');
  same(String(await other.ping()), 'PONG');
  same((await r.configGet('maxmemory-samples'))['maxmemory-samples'], '5');
  same((await r.clientInfo()).resp, protocol);
  await r.close();
  await other.close();
}

(library === 'ioredis' ? ioredis() : nodeRedis()).then(
  () => console.log(`checks: ${checks}`),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
