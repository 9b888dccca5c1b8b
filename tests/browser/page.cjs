// Opens the page in headless Chromium, checks what must be seen, and takes pictures.
// Arguments: address, what to check (a JSON array of [selector, text that must be in it]), further options as JSON:
// { scheme, width, height, shots: [[file, fullPage]], filter, sort, user: [name, password], absent: [texts that must not be there] }
const { chromium } = require(process.env.PLAYWRIGHT);
const [address, wanted, given] = [process.argv[2], JSON.parse(process.argv[3]), JSON.parse(process.argv[4] || "{}")];

async function main() {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({
    colorScheme: given.scheme || "light",
    viewport: { width: given.width || 1440, height: given.height || 900 },
    // On a port that is open to this machine nothing asks for them: they are sent at once.
    extraHTTPHeaders: given.user ? { Authorization: "Basic " + Buffer.from(given.user.join(":")).toString("base64") } : undefined,
  });
  const page = await context.newPage();
  const problems = [];
  // A section that the user has no right to answers 403, which Chromium reports as an error of its own.
  page.on("console", message => { if (message.type() === "error" && !/status of 403/.test(message.text())) problems.push(message.text()); });
  page.on("pageerror", error => problems.push(String(error)));
  page.on("dialog", dialog => { problems.push("dialog: " + dialog.message()); dialog.dismiss(); });
  page.on("request", request => { if (!request.url().startsWith(address)) problems.push("request to " + request.url()); });
  await page.goto(address);
  await page.waitForSelector("body[data-ready=yes]", { timeout: 20000 });
  if (given.filter) await page.fill("#filter", given.filter);
  if (given.sort) await page.click(`#clients-body th button:has-text("${given.sort}")`);
  for (const [selector, text] of wanted) {
    try {
      await page.waitForFunction(([selector, text]) => [...document.querySelectorAll(selector)].some(node => node.textContent.includes(text)),
        [selector, text], { timeout: 15000 });
    } catch (error) {
      const there = await page.locator(selector).allTextContents();
      problems.push(`no "${text}" in ${selector}: ${JSON.stringify(there).slice(0, 400)}`);
    }
  }
  const run = await page.evaluate(() => ({
    scripts: document.scripts.length, images: document.images.length, evil: window.evil,
    wider: document.documentElement.scrollWidth - window.innerWidth,
    background: getComputedStyle(document.body).backgroundColor,
    text: document.body.textContent,
  }));
  if (run.scripts !== 1 || run.images !== 0 || run.evil !== undefined) problems.push(`markup of a name took effect: ${run.scripts} scripts, ${run.images} images`);
  if (run.wider > 0) problems.push(`the page is ${run.wider} pixels wider than the window`);
  const dark = run.background.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) < 200;
  if (dark !== (given.scheme === "dark")) problems.push(`background ${run.background} with ${given.scheme || "light"}`);
  for (const text of given.absent || []) if (run.text.includes(text)) problems.push(`"${text}" is on the page`);
  for (const [file, fullPage] of given.shots || []) await page.screenshot({ path: file, fullPage });
  await browser.close();
  for (const problem of problems) console.log(problem);
  process.exit(problems.length ? 1 : 0);
}

main().catch(error => { console.log(String(error)); process.exit(1); });
