// Look at HTML pages in a real browser: screenshots, accessibility (axe-core), overflow, requests to the network.
//
//   node tools/check_pages.mjs OUT PAGE.html ...     pages that are one file each
//   node tools/check_pages.mjs OUT SITE              every page of a built site, served from that folder to this machine
//
// needs playwright-core and axe-core (npm install --prefix FOLDER playwright-core axe-core; then NODE_FOLDER=FOLDER) and
// Chromium (CHROMIUM, /usr/bin/chromium unless set). Writes PNG files to OUT and prints one JSON object; exit code 1
// where a page has a serious or critical finding, asks for anything but itself (a page of a site: but files of the site),
// or is wider than the window.

import { createRequire } from "node:module";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(resolve(process.env.NODE_FOLDER ?? "."), "node_modules", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [out, ...given] = process.argv.slice(2);
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
// What to look at: a name for its screenshots, its address, and the addresses that it may ask for.
const pages = [];
const servers = [];
for (const path of given.map((p) => resolve(p))) {
  if (!statSync(path).isDirectory()) {
    const address = pathToFileURL(path).href;
    pages.push({ name: path.split("/").at(-1).replace(/\.html$/, ""), address, own: (url) => url === address });
    continue;
  }
  servers.push(await serve(path));
  const site = `http://127.0.0.1:${servers.at(-1).address().port}/`;
  for (const file of readdirSync(path, { recursive: true }).filter((f) => f.endsWith(".html")).sort()) {
    const name = file.replace(/\.html$/, "").replaceAll("/", "-");
    pages.push({ name, address: site + file, own: (url) => url.startsWith(site) });
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const look = async ({ name: title, address, own }, colorScheme, width) => {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
  const tab = await context.newPage();
  const requests = [];
  const errors = [];
  tab.on("request", (request) => requests.push(request.url()));
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await tab.goto(address);
  const name = `${title}-${width}-${colorScheme}`;
  await tab.screenshot({ path: join(out, `${name}.png`), fullPage: true });
  for (const summary of await tab.$$("summary")) await summary.click();
  await tab.evaluate(axe);
  const found = await tab.evaluate(() => window.axe.run());
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
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
  const result = {
    page: name,
    violations: found.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html.slice(0, 120)) })),
    requests: requests.filter((url) => !own(url)),
    errors,
    wide,
    stops: stops.length,
    unfocused: stops.filter((s) => !s.outlined).map((s) => s.html),
  };
  await context.close();
  return result;
};
const results = [];
for (const page of pages) {
  const windows = ["light", "dark"].flatMap((colorScheme) => [360, 1280].map((width) => [colorScheme, width]));
  results.push(...(await Promise.all(windows.map(([colorScheme, width]) => look(page, colorScheme, width)))));
}
await browser.close();
for (const server of servers) server.close();
console.log(JSON.stringify(results, null, 1));
const bad = (r) =>
  r.wide || r.requests.length || r.errors.length || r.unfocused.length || !r.stops ||
  r.violations.some((v) => ["serious", "critical"].includes(v.impact));
process.exit(results.some(bad) ? 1 : 0);
