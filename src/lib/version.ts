// The version in package.json, which is the only place that states it.
import { readFileSync } from "node:fs";

/** E.g. "0.1.0". Reads package.json beside dist/. */
export function ripstopVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json beside dist/ states no version; the installation is damaged, install ripstop again");
}
