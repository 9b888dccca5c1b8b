// A cluster client of Node.js: cluster.cjs PORT LIBRARY, the library being ioredis, iovalkey or redis. Ends with an error at the first surprise.
// After its checks it writes numbers, one after the other, until its input ends, and tells how many that were acknowledged are lost. The cluster
// changes meanwhile.

const assert = require('node:assert');

const [port, library] = [Number(process.argv[2]), process.argv[3]];
const KEYS = 2000;
let checks = 0;

function same(found, wanted) {
  checks += 1;
  assert.deepStrictEqual(found, wanted, `${library}, check ${checks}`);
}

const prefix = `node-${library}`;
const key = (number) => `${prefix}:${number}`;
const numbers = [...Array(KEYS).keys()];
const tag = `{${prefix}}`;

async function writeUntilTold(write, read) {
  let over = false;
  process.stdin.resume().on('end', () => { over = true; });
  console.log('READY');
  const written = [];
  let failed = 0;
  for (let number = 0; !over; number += 1) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    try {
      await write(`${prefix}:run:${number}`, String(number));
      written.push(number);
    } catch {
      failed += 1;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  let lost = 0;
  for (const number of written) {
    if ((await read(`${prefix}:run:${number}`)) !== String(number)) lost += 1;
  }
  console.log(`${lost} lost of ${written.length}, ${failed} failed, checks: ${checks}`);
}

async function ioredis() {
  const Redis = require(library);
  const r = new Redis.Cluster([{ host: '127.0.0.1', port }], { scaleReads: 'master' });
  same(await Promise.all(numbers.map((n) => r.set(key(n), n))), numbers.map(() => 'OK'));
  same(await Promise.all(numbers.map((n) => r.get(key(n)))), numbers.map(String));
  same(r.nodes('master').length, 3);
  // A replica is shown once its primary has heard that it has data.
  for (let tries = 0; tries < 100 && r.nodes('slave').length < 3; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => { r.refreshSlotsCache(resolve); });
  }
  same(r.nodes('slave').length, 3);
  const piped = await r.pipeline().set(`${tag}n`, 1).incr(`${tag}n`).lpush(`${tag}n`, 'x').exec();
  same(piped.map(([error, value]) => (error ? 'error' : value)), ['OK', 2, 'error']);
  same(await r.multi().incr(`${tag}n`).incr(`${tag}n`).exec(), [[null, 3], [null, 4]]);
  r.defineCommand('add', { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" });
  same(await r.add(`${tag}c`, 5), 5);
  await assert.rejects(r.mget(key(1), key(2), key(3)), /slot/i);
  const listener = new Redis.Cluster([{ host: '127.0.0.1', port }]);
  const message = new Promise((resolve) => { listener.on('message', (_, text) => resolve(text)); });
  await listener.subscribe(`${tag}news`);
  await r.publish(`${tag}news`, 'text');
  same(await message, 'text');
  const reader = new Redis.Cluster([{ host: '127.0.0.1', port }], { scaleReads: 'slave' });
  let values = [];
  for (let tries = 0; tries < 100 && values.some((value, n) => value !== String(n)) | values.length === 0; tries += 1) {
    values = await Promise.all(numbers.slice(0, 100).map((n) => reader.get(key(n))));
  }
  same(values, numbers.slice(0, 100).map(String));
  await writeUntilTold((name, value) => r.set(name, value), (name) => r.get(name));
}

async function nodeRedis() {
  const { createCluster } = require('redis');
  const r = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] });
  r.on('error', () => {});
  await r.connect();
  same(await Promise.all(numbers.map((n) => r.set(key(n), String(n)))), numbers.map(() => 'OK'));
  same(await Promise.all(numbers.map((n) => r.get(key(n)))), numbers.map(String));
  same(r.masters.length, 3);
  same(await r.multi().set(`${tag}n`, '1').incr(`${tag}n`).incr(`${tag}n`).exec(), ['OK', 2, 3]);
  same(await r.eval("return redis.call('incrby', KEYS[1], ARGV[1])", { keys: [`${tag}c`], arguments: ['5'] }), 5);
  let heard;
  const message = new Promise((resolve) => { heard = resolve; });
  await r.sSubscribe(`${tag}shard`, (text) => heard(text));
  await r.sPublish(`${tag}shard`, 'text');
  same(await message, 'text');
  await writeUntilTold((name, value) => r.set(name, value), (name) => r.get(name));
}

(library === 'redis' ? nodeRedis() : ioredis()).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
