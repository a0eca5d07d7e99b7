// Puts editor.mjs and what it imports into one file: see README.md.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const sources = ["editor.mjs", "package.json"];
const digest = createHash("sha256");
for (const name of sources) digest.update(readFileSync(name));

const made = await build({
    entryPoints: ["editor.mjs"],
    bundle: true,
    minify: true,
    format: "iife",
    globalName: "HoldfastEditor",
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
    metafile: true,
    outfile: "editor.js",
    banner: { js: `// Made from workbench/editor; sha256 of its sources: ${digest.digest("hex")}` },
});

// The licence of every package of which anything is in the file.
const packages = new Set(
    Object.keys(made.metafile.inputs)
        .map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
        .filter(Boolean),
);
const texts = [...packages].sort().map((name) => {
    const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
    const file = ["LICENSE", "LICENSE.md"].map((one) => `node_modules/${name}/${one}`).find(existsSync);
    return `${name} ${version} (${license})\n\n${file ? readFileSync(file, "utf8").trim() : ""}\n`;
});
writeFileSync("editor.licences.txt", texts.join(`\n${"-".repeat(78)}\n\n`));
