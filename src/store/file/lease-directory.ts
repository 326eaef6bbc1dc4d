// The directory that holds lease records, shared by agents in several processes without a lock. The only write is "create
// version N+1 if it does not exist", by link(2), which the kernel decides; so a crash leaves either nothing or a whole
// record, and of two writers one loses. Never rewrites a file in place.
import { randomBytes } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory, writeDurably } from "../../lib/atomic-file.js";
import { decodeRecord, type FileRecord, parseRecordName, recordName, type RecordTime } from "./record.js";

export interface StoredRecord {
  readonly key: string;
  readonly version: bigint;
  readonly record: FileRecord;
}

/** Larger than any lease by two orders of magnitude. */
const RECORD_BYTES_MAX = 64 * 1024;
const LIST_ATTEMPTS = 8;

export class LeaseDirectory {
  readonly path: string;
  readonly #now: () => RecordTime;
  /** Versions never change, so each is read once; hand-written files are read every time. */
  #read = new Map<string, FileRecord>();

  constructor(path: string, now: () => RecordTime) {
    this.path = path;
    this.#now = now;
  }

  /** The highest version of every key. A missing directory holds nothing. */
  async list(): Promise<Map<string, StoredRecord>> {
    for (let attempt = 1; ; attempt++) {
      const listed = await this.#listOnce();
      if (listed !== null) return listed;
      if (attempt === LIST_ATTEMPTS) throw new Error(`${this.path} changes faster than it can be read`);
    }
  }

  async find(key: string): Promise<StoredRecord | null> {
    return (await this.list()).get(key) ?? null;
  }

  /** True when `text` became version `version` of the key and no higher one exists. */
  async append(key: string, version: bigint, text: string): Promise<boolean> {
    await mkdir(this.path, { recursive: true });
    const temporary = join(this.path, `.tmp-${process.pid}-${randomBytes(6).toString("hex")}`);
    const target = join(this.path, recordName(key, version));
    await writeDurably(temporary, text, 0o644);
    try {
      await link(temporary, target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(this.path);
    // A writer that slept since it read the record may have linked a version that was superseded and removed.
    const newest = await this.find(key);
    if (newest !== null && newest.version > version) {
      await rm(target, { force: true });
      return false;
    }
    await this.#dropBelow(key, version);
    return true;
  }

  async #dropBelow(key: string, version: bigint): Promise<void> {
    for (const name of await readdir(this.path)) {
      const parsed = parseRecordName(name);
      if (parsed?.key === key && parsed.version < version) await rm(join(this.path, name), { force: true });
    }
  }

  /** Null when a file vanished between listing and reading: somebody wrote, look again. */
  async #listOnce(): Promise<Map<string, StoredRecord> | null> {
    const highest = new Map<string, bigint>();
    for (const name of await this.#names()) {
      const parsed = parseRecordName(name);
      if (parsed === null) continue;
      const seen = highest.get(parsed.key);
      if (seen === undefined || parsed.version > seen) highest.set(parsed.key, parsed.version);
    }
    const records = new Map<string, StoredRecord>();
    const read = new Map<string, FileRecord>();
    for (const [key, version] of highest) {
      const name = recordName(key, version);
      const record = (version > 0n ? this.#read.get(name) : undefined) ?? (await this.#readRecord(name, key, version));
      if (record === null) return null;
      if (version > 0n) read.set(name, record);
      records.set(key, { key, version, record });
    }
    this.#read = read;
    return records;
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  async #readRecord(name: string, key: string, version: bigint): Promise<FileRecord | null> {
    const path = join(this.path, name);
    try {
      const facts = await stat(path);
      if (!facts.isFile()) return { kind: "garbage", reason: "it is no file" };
      if (facts.size > RECORD_BYTES_MAX) return { kind: "garbage", reason: `it has ${facts.size} bytes` };
      return decodeRecord({ key, version }, await readFile(path, "utf8"), this.#now());
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      return { kind: "garbage", reason: (error as Error).message };
    }
  }
}
