// The lab's own record, lab.json: which lab is or was being built. Written before the first namespace, removed after the last.
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { RipstopError } from "../lib/errors.js";
import { type LabOptions, type LabPlan, labFiles, labOptionsSchema, planLab } from "./plan.js";

/** The plan of the lab in this folder; null when there is none. */
export async function readState(directory: string): Promise<LabPlan | null> {
  const path = labFiles.config(directory);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  const parsed = labOptionsSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    const problem = parsed.error.issues[0];
    throw new RipstopError(
      "LAB_STATE",
      `cannot read ${path}: ${problem?.path.join(".") ?? ""} ${problem?.message ?? ""}; delete the lab's namespaces with \`ip netns delete\`, then the folder`,
    );
  }
  return planLab(parsed.data, directory);
}

export async function writeState(directory: string, options: LabOptions): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const path = labFiles.config(directory);
  await writeFile(`${path}.new`, `${JSON.stringify(options, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

export async function removeState(directory: string): Promise<void> {
  // Only files are left at this point; a kill in between leaves a folder that the next `up` or `down` takes over.
  await rm(directory, { recursive: true, force: true });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
