// Look at HTML pages in a real browser: screenshots, accessibility (axe-core), overflow, requests to the network.
//
//   node tools/check_pages.mjs OUT PAGE.html ...
//
// needs playwright-core and axe-core (npm install --prefix FOLDER playwright-core axe-core; then NODE_FOLDER=FOLDER) and
// Chromium (CHROMIUM, /usr/bin/chromium unless set). Writes PNG files to OUT and prints one JSON object; exit code 1
// where a page has a serious or critical finding, asks for anything but itself, or is wider than the window.

import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(resolve(process.env.NODE_FOLDER ?? "."), "node_modules", "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const [out, ...pages] = process.argv.slice(2);
mkdirSync(out, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const results = [];
for (const page of pages) {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [360, 1280]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      const tab = await context.newPage();
      const requests = [];
      const errors = [];
      tab.on("request", (request) => requests.push(request.url()));
      tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      const address = pathToFileURL(resolve(page)).href;
      await tab.goto(address);
      const name = `${basename(page, ".html")}-${width}-${colorScheme}`;
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
          const style = getComputedStyle(e);
          return { tag: e.tagName, outlined: style.outlineStyle !== "none" && style.outlineWidth !== "0px" };
        });
        if (stop) stops.push(stop);
      }
      results.push({
        page: name,
        violations: found.violations.map((v) => ({ id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html.slice(0, 120)) })),
        requests: requests.filter((url) => url !== address),
        errors,
        wide,
        stops: stops.length,
        unfocused: stops.filter((s) => !s.outlined).length,
      });
      await context.close();
    }
  }
}
await browser.close();
console.log(JSON.stringify(results, null, 1));
const bad = (r) =>
  r.wide || r.requests.length || r.errors.length || r.unfocused || !r.stops ||
  r.violations.some((v) => ["serious", "critical"].includes(v.impact));
process.exit(results.some(bad) ? 1 : 0);
