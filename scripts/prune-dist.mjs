// Removes compiled files whose source is gone: tsc leaves them, and a test runner would still run them.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";

for (const entry of existsSync("dist") ? readdirSync("dist", { recursive: true, withFileTypes: true }) : []) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const stem = relative("dist", path).replace(/(\.d\.ts|\.js)(\.map)?$/, "");
  if (stem !== relative("dist", path) && !existsSync(`${stem}.ts`)) rmSync(path);
}
