// Look at HTML pages in a real browser: screenshots, accessibility (axe-core), overflow, requests to the network.
//
//   node tools/check_pages.mjs OUT PAGE.html ...     pages that are one file each
//   node tools/check_pages.mjs OUT SITE              every page of a built site, served from that folder to this machine
//   node tools/check_pages.mjs OUT SITE --only=TEXT  the pages of it whose names match this regular expression
//
// needs playwright-core and axe-core (npm install --prefix FOLDER playwright-core axe-core; then NODE_FOLDER=FOLDER) and
// Chromium (CHROMIUM, /usr/bin/chromium unless set). Writes to OUT, for every page and window, PNG files of at most 16000
// pixels of height and a JSON file of what was found, as it goes: a run that was ended goes on where it stopped, and
// looks only at pages that have changed since (theirs or their site's style sheets). Prints what was found, in one JSON
// list; exit code 1 where a page has a serious or critical finding, asks for anything but itself (a page of a site: but
// files of the site), has no element that a link within the page names, is wider than the window, or cannot be opened.

import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(resolve(process.env.NODE_FOLDER ?? "."), "node_modules", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [out, ...rest] = process.argv.slice(2);
const given = rest.filter((a) => !a.startsWith("--only="));
const only = new RegExp(rest.find((a) => a.startsWith("--only="))?.slice("--only=".length) ?? "");
const HEIGHT = 16_000; // of one picture: Chromium repeats what is below 16384 pixels
const PATIENCE = 120_000; // milliseconds for one step of the browser, on a machine that does other things as well
mkdirSync(out, { recursive: true });

const types = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png" };
const serve = async (folder) => {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    try {
      const body = readFileSync(join(folder, path));
      response.writeHead(200, { "Content-Type": types[extname(path)] ?? "application/octet-stream" }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((started) => server.listen(0, "127.0.0.1", started));
  return server;
};
const digest = (...paths) => paths.reduce((hash, path) => hash.update(readFileSync(path)), createHash("sha256")).digest("hex");
// What to look at: a name for its pictures, its address, the digest of its files, and the addresses that it may ask for.
const pages = [];
const servers = [];
for (const path of given.map((p) => resolve(p))) {
  if (!statSync(path).isDirectory()) {
    const address = pathToFileURL(path).href;
    const name = path.split("/").at(-1).replace(/\.html$/, "");
    pages.push({ name, address, state: digest(path), own: (url) => url === address });
    continue;
  }
  servers.push(await serve(path));
  const site = `http://127.0.0.1:${servers.at(-1).address().port}/`;
  const files = readdirSync(path, { recursive: true }).sort();
  const styles = files.filter((f) => f.endsWith(".css")).map((f) => join(path, f));
  for (const file of files.filter((f) => f.endsWith(".html"))) {
    const name = file.replace(/\.html$/, "").replaceAll("/", "-");
    const state = digest(join(path, file), ...styles);
    pages.push({ name, address: site + file, state, own: (url) => url.startsWith(site) });
  }
}

const start = () => chromium.launch({
  handleSIGTERM: false, // which would end the browser and not this program
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const pictures = async (tab, name) => {
  const { width, height } = await tab.evaluate(() => {
    const { scrollWidth, scrollHeight } = document.documentElement;
    return { width: Math.min(scrollWidth, window.innerWidth), height: scrollHeight };
  });
  for (let y = 0, part = 1; y < height; y += HEIGHT, part++) {
    const clip = { x: 0, y, width, height: Math.min(HEIGHT, height - y) };
    const path = join(out, `${name}-${String(part).padStart(2, "0")}.png`);
    await tab.screenshot({ path, clip, fullPage: true, animations: "disabled", timeout: PATIENCE });
  }
};
let browser = await start();
const look = async ({ address, own }, name, colorScheme, width) => {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
  try {
    const tab = await context.newPage();
    tab.setDefaultTimeout(PATIENCE);
    const requests = [];
    const errors = [];
    tab.on("request", (request) => requests.push(request.url()));
    tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await tab.goto(address, { timeout: PATIENCE });
    await pictures(tab, name);
    for (const summary of await tab.$$("summary")) await summary.click();
    await tab.evaluate(axe);
    const found = await tab.evaluate(() => window.axe.run());
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    const nowhere = await tab.evaluate(() =>
      [...document.querySelectorAll('a[href^="#"]')].map((a) => decodeURIComponent(a.hash.slice(1)))
        .filter((id) => id && !id.startsWith("__") && !document.getElementById(id)));
    const stops = [];
    for (let k = 0; k < 25; k++) {
      await tab.keyboard.press("Tab");
      const stop = await tab.evaluate(() => {
        const e = document.activeElement;
        if (!e || e === document.body) return null;
        // A box that is not drawn shows its focus on what stands behind it, its label.
        const drawn = e.getBoundingClientRect().width > 0 ? e : e.nextElementSibling ?? e;
        const style = getComputedStyle(drawn);
        return { html: e.outerHTML.slice(0, 120), outlined: style.outlineStyle !== "none" && style.outlineWidth !== "0px" };
      });
      if (stop) stops.push(stop);
    }
    return {
      page: name,
      violations: found.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html.slice(0, 120)) })),
      requests: requests.filter((url) => !own(url)),
      errors,
      nowhere,
      wide,
      stops: stops.length,
      unfocused: stops.filter((s) => !s.outlined).map((s) => s.html),
    };
  } finally {
    await context.close();
  }
};
const results = [];
const found = async (page, colorScheme, width) => {
  const name = `${page.name}-${width}-${colorScheme}`;
  const record = join(out, `${name}.json`);
  const before = existsSync(record) ? JSON.parse(readFileSync(record, "utf8")) : null;
  if (before?.state === page.state) return before;
  try {
    const result = { ...(await look(page, name, colorScheme, width)), state: page.state };
    writeFileSync(record, JSON.stringify(result));
    console.error(`${name}: looked at`);
    return result;
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    return { page: name, failed: error.message.split("\n")[0] };
  }
};
for (const page of pages.filter(({ name }) => only.test(name))) {
  for (const colorScheme of ["light", "dark"]) {
    if (!browser.isConnected()) browser = await start();
    results.push(...(await Promise.all([360, 1280].map((width) => found(page, colorScheme, width)))));
  }
}
await browser.close();
for (const server of servers) server.close();
console.log(JSON.stringify(results, null, 1));
const bad = (r) =>
  r.failed || r.wide || r.requests.length || r.errors.length || r.nowhere.length || r.unfocused.length || !r.stops ||
  r.violations.some((v) => ["serious", "critical"].includes(v.impact));
process.exit(results.some(bad) ? 1 : 0);
