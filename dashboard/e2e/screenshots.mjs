#!/usr/bin/env node
/**
 * Opens a running dashboard in a headless Chromium, waits until vehicles are on the map
 * and saves pictures of it.
 *
 *   node e2e/screenshots.mjs http://127.0.0.1:8000 out/ [--chromium /usr/bin/chromium] [--timeout 60]
 *
 * Exits with 1 on any console error, page error, failed request, request that leaves
 * loopback, or where no vehicle shows in time; with 2 on bad usage.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    chromium: { type: 'string', default: '/usr/bin/chromium' },
    timeout: { type: 'string', default: '60' },
    only: { type: 'string' },
  },
});
const [url, out] = positionals;
if (!url || !out) {
  console.error(
    'usage: screenshots.mjs URL OUTPUT_FOLDER [--chromium PATH] [--timeout SECONDS] [--only NAME]',
  );
  process.exit(2);
}

const SHOTS = [
  { name: '1440x900-dark', width: 1440, height: 900, colorScheme: 'dark' },
  { name: '1440x900-light', width: 1440, height: 900, colorScheme: 'light' },
  { name: '390x844-dark', width: 390, height: 844, colorScheme: 'dark', mobile: true },
  { name: '390x844-light', width: 390, height: 844, colorScheme: 'light', mobile: true },
].filter((shot) => !options.only || shot.name.includes(options.only));

const ARGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--use-gl=angle',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
const LOCAL_SCHEMES = new Set(['data:', 'blob:', 'about:']);

/** Collects whatever a healthy page does not do. */
function watch(page, name, problems) {
  const complain = (what) => problems.push(`${name}: ${what}`);
  page.on('console', (message) => {
    if (message.type() === 'error') complain(`console error: ${message.text()}`);
  });
  page.on('pageerror', (error) => complain(`page error: ${error.message}`));
  page.on('requestfailed', (request) => {
    complain(`request failed: ${request.url()} (${request.failure()?.errorText})`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) complain(`answer ${response.status()}: ${response.url()}`);
  });
  const loopbackOnly = (address) => {
    const target = new URL(address);
    if (!LOCAL_SCHEMES.has(target.protocol) && !LOOPBACK.has(target.hostname)) {
      complain(`request leaves loopback: ${address}`);
    }
  };
  page.on('request', (request) => loopbackOnly(request.url()));
  page.on('websocket', (socket) => loopbackOnly(socket.url()));
}

/** Past the fade-in and the first fixes: the picture shall show the steady state. */
const SETTLED_FRAMES = 45;

function framesDrawn(wanted) {
  return new Promise((resolve) => {
    let drawn = 0;
    const count = () => (++drawn >= wanted ? resolve() : requestAnimationFrame(count));
    requestAnimationFrame(count);
  });
}

async function shoot(browser, shot, problems) {
  const context = await browser.newContext({
    viewport: { width: shot.width, height: shot.height },
    colorScheme: shot.colorScheme,
    isMobile: shot.mobile ?? false,
    hasTouch: shot.mobile ?? false,
  });
  const page = await context.newPage();
  watch(page, shot.name, problems);
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  try {
    await page.waitForFunction(
      () => window.__citypulse?.state() === 'live' && window.__citypulse.vehicles() > 0,
      undefined,
      { timeout: Number(options.timeout) * 1_000, polling: 250 },
    );
    await page.waitForFunction(() => document.querySelectorAll('[data-tone="loading"]').length === 0);
    await page.evaluate(framesDrawn, SETTLED_FRAMES);
  } catch (error) {
    problems.push(`${shot.name}: ${error.message.split('\n')[0]}`);
  }
  const file = path.join(out, `${shot.name}.png`);
  await page.screenshot({ path: file, timeout: 60_000 });
  const seen = await page.evaluate(() => ({
    vehicles: window.__citypulse?.vehicles() ?? 0,
    fps: Math.round(window.__citypulse?.fps() ?? 0),
    state: window.__citypulse?.state() ?? 'no map',
  }));
  console.log(`${file}: ${seen.vehicles} vehicles, ${seen.fps} frames/s, ${seen.state}`);
  // What the browser aborts while the page closes is not a failure of the page.
  page.removeAllListeners('requestfailed');
  await context.close();
}

await mkdir(out, { recursive: true });
const profile = await mkdtemp(path.join(tmpdir(), 'citypulse-chromium-'));
const problems = [];
const browser = await chromium.launch({
  executablePath: options.chromium,
  args: [...ARGS, `--disk-cache-dir=${profile}`],
});
try {
  for (const shot of SHOTS) await shoot(browser, shot, problems);
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
process.exit(problems.length > 0 ? 1 : 0);
