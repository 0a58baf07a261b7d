// Builds the page into the Python package, whose wheel ships it: people who install from source need no Node.
//
//   node build.mjs             write the five files to ../src/predictscale/serving/web
//   node build.mjs --out DIR   write them elsewhere, for trials
//   node build.mjs --check     build into a temporary folder and fail unless the committed files are the same bytes
import { build } from "esbuild";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SHIPPED = join(HERE, "../src/predictscale/serving/web");
/** What a browser may have to be sent, compressed as the service does it. */
const MOST_BYTES = 80_000;

async function make(out) {
  await mkdir(out, { recursive: true });
  await build({
    absWorkingDir: HERE,
    entryPoints: { app: "src/app.ts" },
    outdir: out,
    bundle: true,
    minify: true,
    format: "iife",
    target: ["es2022", "chrome123", "firefox124", "safari17.5"],
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  for (const name of ["index.html", "icon.svg"]) await cp(join(HERE, "src", name), join(out, name));
  await writeFile(join(out, "LICENSES.txt"), await licences());
}

async function licences() {
  const home = join(HERE, "node_modules/uplot");
  const { name, version, license } = JSON.parse(await readFile(join(home, "package.json"), "utf8"));
  const text = (await readFile(join(home, "LICENSE"), "utf8")).trim();
  return `app.js and app.css contain ${name} ${version} (${license}):\n\n${text}\n`;
}

async function check() {
  const fresh = await mkdtemp(join(tmpdir(), "page-"));
  try {
    await make(fresh);
    const names = new Set([...(await readdir(fresh)), ...(await readdir(SHIPPED))]);
    const stale = [];
    for (const name of [...names].sort()) if (!(await same(join(fresh, name), join(SHIPPED, name)))) stale.push(name);
    if (stale.length) throw new Error(`not what the sources build: ${stale.join(", ")}; run npm run build`);
    await weigh(fresh);
  } finally {
    await rm(fresh, { recursive: true });
  }
}

async function same(one, other) {
  const [a, b] = await Promise.all([one, other].map((path) => readFile(path).catch(() => null)));
  return a !== null && b !== null && a.equals(b);
}

async function weigh(folder) {
  let total = 0;
  for (const name of await readdir(folder)) total += gzipSync(await readFile(join(folder, name)), { level: 9 }).length;
  if (total >= MOST_BYTES) throw new Error(`the page takes ${total} bytes to send; it may take ${MOST_BYTES}`);
  console.log(`the page takes ${total} bytes to send, of at most ${MOST_BYTES}`);
}

const [how, where] = process.argv.slice(2);
if (how === "--check") await check();
else {
  const out = how === "--out" ? where : SHIPPED;
  await make(out);
  await weigh(out);
}
