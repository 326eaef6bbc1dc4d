// Replaces a file so that a reader sees the old text or the new one, never a half, also after a power cut: temporary file
// in the same directory, fsync, rename, fsync of the directory. On failure the old file stays and the temporary one goes.
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { randomBytes } from "node:crypto";

export interface AtomicWriteOptions {
  /** Mode of the file whatever the umask; default 0644. */
  readonly mode?: number;
  /** Mode of directories that are created; default 0755. */
  readonly directoryMode?: number;
}

/** In pieces, a long text is never in memory as a whole. */
export type Text = string | Iterable<string>;

export async function writeFileAtomic(path: string, text: Text, options: AtomicWriteOptions = {}): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: options.directoryMode ?? 0o755 });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeDurably(temporary, text, options.mode ?? 0o644);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/** Creates a new file with all its bytes on disk; fails when the name exists. */
export async function writeDurably(path: string, text: Text, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.chmod(mode);
    for (const piece of typeof text === "string" ? [text] : text) await file.appendFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
