// Exits 0 when node_modules holds what package-lock.json says, 1 when `npm ci` is needed. Compares with npm's own record
// of what it installed, so it also notices a foreign `npm install`.
import { existsSync, readFileSync } from "node:fs";

function packages(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : {};
}

const installed = packages("node_modules/.package-lock.json");
const missing = Object.entries(packages("package-lock.json")).filter(
  ([path, wanted]) =>
    path !== "" && installed[path]?.version !== wanted.version && !(wanted.optional && !(path in installed)),
);
process.exit(missing.length === 0 ? 0 : 1);
