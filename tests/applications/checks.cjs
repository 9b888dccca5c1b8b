// What the programs in JavaScript share: counted checks, waiting for a condition, and an end when too much time has passed.

const assert = require('node:assert');

const PATIENCE_MS = 20_000;
let checks = 0;

function same(found, wanted, what) {
  checks += 1;
  assert.deepStrictEqual(found, wanted, `check ${checks}: ${what}`);
}

function between(found, low, high, what) {
  checks += 1;
  assert.ok(found >= low && found <= high, `check ${checks}: ${what}: ${found} is not from ${low} to ${high}`);
}

async function fails(promise, text, what) {
  checks += 1;
  await assert.rejects(promise, (error) => String(error).includes(text), `check ${checks}: ${what}`);
}

// Asks until the answer is true, and gives it.
async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`after check ${checks}, waited too long for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// Runs the parts one after the other, and ends the process: with the number of checks, or with an error.
async function run(parts) {
  let part;
  const late = setTimeout(() => {
    console.error(`${part.name} doesn't end, after check ${checks}`);
    process.exit(1);
  }, 4 * PATIENCE_MS);
  try {
    for (part of parts) await part();
  } catch (error) {
    console.error(`${part.name}:`, error);
    process.exit(1);
  }
  clearTimeout(late);
  console.log(`checks: ${checks}`);
  process.exit(0);
}

module.exports = { same, between, fails, until, run };
